//! CEL rules of `provider.http`, each with a message that says what to write instead.
//!
//! Lists and texts have sizes, because the API server estimates what a rule costs from the largest value that the schema allows.

use kube::core::{Reason, Rule};

use super::object_rule::PROXY_READS_NOTHING;

/// The form of a JSON Pointer (RFC 6901 section 3) to something inside a document: a tilde stands before 0 or 1 only.
///
/// Control characters are left out, by our choice: no API has them in a name, and the pointer is shown to people.
const POINTER_PATTERN: &str = r"^(/([^/~\x00-\x1f\x7f]|~[01])*)+$";

/// Header fields that frame a message or its body (RFC 9110 sections 6 to 8, RFC 9112), speak to proxies, or ask for an answer
/// that the operator does not read (it takes no compressed one). `Content-Type` follows from the encoding.
pub(super) const RESERVED: [&str; 14] = [
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "accept-encoding",
    "range",
    "http2-settings",
];

/// A place in an answer.
pub(super) fn pointer() -> Rule {
    Rule::new(format!("self.matches(r'{POINTER_PATTERN}')"))
        .message("must be a JSON Pointer (RFC 6901) such as /auth/client_token; ~ is written ~0 and / inside a name ~1")
}

/// The name of a header field, or a scheme of authentication.
pub(super) fn header_name() -> Rule {
    Rule::new("self.matches('^[A-Za-z0-9][A-Za-z0-9._-]*$')")
        .message("must be a name such as X-Api-Key: letters, digits, '.', '_' and '-', a letter or digit first")
}

/// No header field that is the transport's.
pub(super) fn free_header() -> Rule {
    Rule::new(format!("!self.matches('(?i)^(proxy-.*|{})$')", RESERVED.join("|"))).message(
        "must not be a header field that frames the message or speaks to proxies (such as Host, Content-Length and \
         Transfer-Encoding); Content-Type follows from encoding",
    )
}

/// Credentials stand in one place.
pub(super) fn no_authorization() -> Rule {
    Rule::new("!self.matches('(?i)^authorization$')")
        .message("must not be Authorization: use auth with bearer, basic, or header with a prefix")
}

/// A literal that a header field can carry (RFC 9110 section 5.5).
pub(super) fn header_value() -> Rule {
    Rule::new("self.matches('^[!-~]([ -~]*[!-~])?$')")
        .message("must be visible ASCII characters, with spaces inside only: no line break can be in a header field")
}

/// Names of header fields that differ from each other, whatever their case.
pub(super) fn headers_once() -> Rule {
    Rule::new("self.all(h, self.exists_one(o, o.name.lowerAscii() == h.name.lowerAscii()))")
        .message("each header field may stand only once")
}

/// The header field of `auth` stands nowhere else.
pub(super) fn auth_header_once() -> Rule {
    Rule::new(
        "!has(self.auth) || !has(self.auth.header) || !has(self.headers) || \
         self.headers.all(h, h.name.lowerAscii() != self.auth.header.name.lowerAscii())",
    )
    .message("must not have the header field of auth once more")
    .field_path(".headers")
}

/// Names of fields that differ from each other: readers differ in which of two values they take.
pub(super) fn fields_once() -> Rule {
    Rule::new("self.all(f, self.exists_one(o, o.name == f.name))").message("each field may stand only once")
}

/// An encoding encodes something.
pub(super) fn encoding_has_fields() -> Rule {
    Rule::new("!has(self.encoding) || has(self.fields)").message("belongs to fields: set both or neither").field_path(".encoding")
}

/// A type of JSON needs JSON.
pub(super) fn json_type_has_json() -> Rule {
    Rule::new("(has(self.encoding) && self.encoding == 'JSON') || !has(self.fields) || self.fields.all(f, !has(f.jsonType))")
        .message("jsonType belongs to encoding: JSON")
        .field_path(".fields")
}

/// A literal that is what its type says.
pub(super) fn json_type() -> Rule {
    Rule::new(
        "!has(self.jsonType) || (has(self.value) && (self.jsonType == 'Boolean' ? self.value in ['true', 'false'] : \
         self.value.matches('^-?(0|[1-9][0-9]{0,14})([.][0-9]{1,9})?$')))",
    )
    .message("jsonType is for a value: a number of at most 15 digits such as 3600, or true or false")
}

/// What is only asked for is asked for in the URL and header fields.
pub(super) fn get_has_no_fields() -> Rule {
    Rule::new("!has(self.method) || self.method != 'GET' || !has(self.fields)")
        .message("must be left out with method: GET, which has no body")
        .field_path(".fields")
}

/// One source of a value.
pub(super) fn one_value() -> Rule {
    Rule::new("[has(self.value), has(self.from), has(self.seedKey), has(self.fromResult)].exists_one(x, x)")
        .message("must have exactly one of value, from, seedKey and fromResult")
}

/// One source of a secret.
pub(super) fn one_secret() -> Rule {
    Rule::new("[has(self.from), has(self.seedKey), has(self.fromResult)].exists_one(x, x)")
        .message("must have exactly one of from, seedKey and fromResult")
}

/// What a missing refresh token means is said where there is one.
pub(super) fn missing_refresh_token() -> Rule {
    Rule::new("!has(self.onMissingRefreshToken) || has(self.refreshToken)")
        .message("belongs to refreshToken: set that too, or leave both out")
        .field_path(".onMissingRefreshToken")
}

/// An error is told from an answer that could not be read: a status of success says nothing of itself.
pub(super) fn error_says_enough() -> Rule {
    Rule::new("has(self.pointer) || (has(self.status) && self.status >= 300)")
        .message("must have a status of 300 or above, or a pointer: a status of success alone proves no error")
}

/// A comparison has something to compare.
pub(super) fn equals_has_pointer() -> Rule {
    Rule::new("!has(self.equals) || has(self.pointer)").message("belongs to pointer: set both or neither").field_path(".equals")
}

/// Whether a request names this source, as CEL.
pub(super) fn names(request: &str, source: &str) -> String {
    let auth = format!(
        "(has({request}.auth) && ((has({request}.auth.bearer) && {request}.auth.bearer == {source}) || \
         (has({request}.auth.header) && has({request}.auth.header.from) && {request}.auth.header.from == {source})))"
    );
    let list = |list: &str| format!("(has({request}.{list}) && {request}.{list}.exists(e, has(e.from) && e.from == {source}))");
    format!("({auth} || {} || {})", list("headers"), list("fields"))
}

/// Whether a request names a key of the seed, as CEL.
fn names_seed(request: &str) -> String {
    let auth = format!(
        "(has({request}.auth) && (has({request}.auth.basic) || (has({request}.auth.header) && has({request}.auth.header.seedKey))))"
    );
    let list = |list: &str| format!("(has({request}.{list}) && {request}.{list}.exists(e, has(e.seedKey)))");
    format!("({auth} || {} || {})", list("headers"), list("fields"))
}

/// Whether this holds for one of the requests of a refresh, as CEL.
fn any(holds: impl Fn(&str) -> String) -> String {
    format!("({} || (has(self.steps) && self.steps.exists(s, {})))", holds("self.request"), holds("s.request"))
}

/// The rotations with which a request spends nothing.
pub(super) const SPENDS_NOTHING: &str = "self.semantics.rotation in ['Reusable', 'RenewsItself', 'Reissue']";

/// The requests present what they refresh.
pub(super) fn presents() -> Rule {
    let rotation = "self.semantics.rotation";
    let access = any(|request| names(request, "'AccessToken'"));
    let refresh = any(|request| names(request, "'RefreshToken'"));
    Rule::new(format!("{rotation} == 'RenewsItself' ? {access} : ({rotation} == 'Reissue' || {refresh})"))
        .message(
            "must present the token that is refreshed, in auth, headers or fields: AccessToken with rotation RenewsItself, \
             RefreshToken with all others but Reissue",
        )
        .field_path(".request")
}

/// What is obtained anew is obtained for what the seed holds.
pub(super) fn reissues() -> Rule {
    let (seed, access) = (any(names_seed), any(|request| names(request, "'AccessToken'")));
    Rule::new(format!("self.semantics.rotation != 'Reissue' || ({seed} && !{access})"))
        .message("must name a key of the seed Secret with rotation Reissue, in auth, headers or fields, and no AccessToken")
        .field_path(".request")
}

/// Where there is no refresh token, none is named.
pub(super) fn no_refresh_token() -> Rule {
    let refresh = any(|request| names(request, "'RefreshToken'"));
    let revoke = names("self.revoke.request", "'RefreshToken'");
    Rule::new(format!(
        "!(self.semantics.rotation in ['RenewsItself', 'Reissue']) || (!has(self.reply.refreshToken) && \
         !has(self.reply.refreshExpiry) && !{refresh} && (!has(self.revoke) || !{revoke}))"
    ))
    .message(
        "with rotation RenewsItself and Reissue there is no refresh token: leave RefreshToken, refreshToken and refreshExpiry out",
    )
    .field_path(".semantics.rotation")
}

/// A token that works once is followed by another.
pub(super) fn successor() -> Rule {
    Rule::new(format!("{SPENDS_NOTHING} || has(self.reply.refreshToken)"))
        .message("must be set with rotation Strict, Grace and IdempotencyKey: it is where an answer has the next refresh token")
        .field_path(".reply.refreshToken")
        .reason(Reason::FieldValueRequired)
}

/// A request that spends something changes something.
pub(super) fn spends() -> Rule {
    Rule::new(format!("!has(self.request.method) || self.request.method != 'GET' || {SPENDS_NOTHING}"))
        .message("must not be GET with rotation Strict, Grace and IdempotencyKey: what lies between may repeat it")
        .field_path(".request.method")
}

/// A revocation changes something.
pub(super) fn revokes() -> Rule {
    Rule::new("!has(self.revoke) || !has(self.revoke.request.method) || self.revoke.request.method != 'GET'")
        .message("must not be GET: a revocation changes something")
        .field_path(".revoke.request.method")
}

/// Whoever promises to know a repeat by its key is told the key.
pub(super) fn idempotency_key() -> Rule {
    let attempt = names("self.request", "'AttemptID'");
    Rule::new(format!("self.semantics.rotation != 'IdempotencyKey' || {attempt}"))
        .message("must send AttemptID with rotation IdempotencyKey, in headers or fields, where the API takes the key")
        .field_path(".request")
}

/// A revocation is no attempt at a refresh.
pub(super) fn revoke_has_no_attempt() -> Rule {
    let attempt = names("self.revoke.request", "'AttemptID'");
    Rule::new(format!("!has(self.revoke) || !{attempt}"))
        .message("must not send AttemptID: it names an attempt at a refresh")
        .field_path(".revoke.request")
}

/// What goes through a tunnel is closed to the proxy.
pub(super) fn proxy_reads_nothing() -> Rule {
    Rule::new(
        "!has(self.proxy) || (self.request.url.startsWith('https://') && \
         (!has(self.revoke) || self.revoke.request.url.startsWith('https://')) && \
         (!has(self.probe) || self.probe.request.url.startsWith('https://')) && \
         (!has(self.verify) || self.verify.request.url.startsWith('https://')) && \
         (!has(self.steps) || self.steps.all(s, s.request.url.startsWith('https://'))))",
    )
    .message(PROXY_READS_NOTHING)
}

/// What has no refresh token cannot hand it out. A rule of the spec.
pub(super) fn refresh_token_exists() -> Rule {
    Rule::new(
        "!has(self.provider) || !has(self.provider.http) || \
         !(self.provider.http.semantics.rotation in ['RenewsItself', 'Reissue']) || \
         self.outputs.all(o, !has(o.opaque) || !has(o.opaque.refreshTokenKey))",
    )
    .message("with rotation RenewsItself and Reissue there is no refresh token: leave refreshTokenKey out")
    .field_path(".outputs")
}

/// Who can be asked to revoke a token has told how. A rule of the spec.
pub(super) fn revoke() -> Rule {
    Rule::new(
        "!has(self.deletionPolicy) || self.deletionPolicy != 'Revoke' || !has(self.provider) || !has(self.provider.http) || \
         has(self.provider.http.revoke)",
    )
    .message("must be set with deletionPolicy: Revoke: the request that revokes what is held")
    .field_path(".provider.http.revoke")
    .reason(Reason::FieldValueRequired)
}
