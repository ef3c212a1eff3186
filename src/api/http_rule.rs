//! CEL rules of `provider.http`, each with a message that says what to write instead.
//!
//! Lists and texts have sizes, because the API server estimates what a rule costs from the largest value that the schema allows.

use kube::core::{Reason, Rule};

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

/// One source of a value.
pub(super) fn one_value() -> Rule {
    Rule::new("[has(self.value), has(self.from), has(self.seedKey)].exists_one(x, x)")
        .message("must have exactly one of value, from and seedKey")
}

/// One source of a secret.
pub(super) fn one_secret() -> Rule {
    Rule::new("[has(self.from), has(self.seedKey)].exists_one(x, x)").message("must have exactly one of from and seedKey")
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
fn names(request: &str, source: &str) -> String {
    let auth = format!(
        "(has({request}.auth) && ((has({request}.auth.bearer) && {request}.auth.bearer == {source}) || \
         (has({request}.auth.header) && has({request}.auth.header.from) && {request}.auth.header.from == {source})))"
    );
    let list = |list: &str| format!("(has({request}.{list}) && {request}.{list}.exists(e, has(e.from) && e.from == {source}))");
    format!("({auth} || {} || {})", list("headers"), list("fields"))
}

/// The request presents the token that it refreshes.
pub(super) fn presents() -> Rule {
    let renews = "self.semantics.rotation == 'RenewsItself'";
    let (access, refresh) = (names("self.request", "'AccessToken'"), names("self.request", "'RefreshToken'"));
    Rule::new(format!("{renews} ? {access} : {refresh}"))
        .message(
            "must present the token that is refreshed, in auth, headers or fields: AccessToken with rotation RenewsItself, else \
             RefreshToken",
        )
        .field_path(".request")
}

/// A token that renews itself has no other beside it.
pub(super) fn renews_itself() -> Rule {
    let (refresh, revoke) = (names("self.request", "'RefreshToken'"), names("self.revoke.request", "'RefreshToken'"));
    Rule::new(format!(
        "self.semantics.rotation != 'RenewsItself' || (!has(self.reply.refreshToken) && !has(self.reply.refreshExpiry) && \
         !{refresh} && (!has(self.revoke) || !{revoke}))"
    ))
    .message("with rotation RenewsItself there is no refresh token: leave RefreshToken, refreshToken and refreshExpiry out")
    .field_path(".semantics.rotation")
}

/// A token that works once is followed by another.
pub(super) fn successor() -> Rule {
    Rule::new("self.semantics.rotation in ['Reusable', 'RenewsItself'] || has(self.reply.refreshToken)")
        .message("must be set with rotation Strict, Grace and IdempotencyKey: it is where an answer has the next refresh token")
        .field_path(".reply.refreshToken")
        .reason(Reason::FieldValueRequired)
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

/// What has no refresh token cannot hand it out. A rule of the spec.
pub(super) fn refresh_token_exists() -> Rule {
    Rule::new(
        "!has(self.provider) || !has(self.provider.http) || self.provider.http.semantics.rotation != 'RenewsItself' || \
         self.outputs.all(o, !has(o.opaque) || !has(o.opaque.refreshTokenKey))",
    )
    .message("with rotation RenewsItself there is no refresh token: leave refreshTokenKey out")
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
