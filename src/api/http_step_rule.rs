//! CEL rules of the requests of `provider.http` beside that of a refresh, each with a message that says what to write instead.

use kube::core::Rule;

use super::http_rule::{SPENDS_NOTHING, names};

/// The name of a result.
pub(super) fn result_name() -> Rule {
    Rule::new("self.matches('^[A-Za-z][A-Za-z0-9_-]*$')")
        .message("must be a name such as exchanged: letters, digits, '_' and '-', a letter first")
}

/// An answer says something of a token only where the API looked at it.
pub(super) fn sign_says_something() -> Rule {
    Rule::new("(self.status < 300 || self.status >= 400) && !(self.status in [408, 429])")
        .message("must be 200 to 299, or 400 to 499 but 408 and 429: a redirect and a pause say nothing of a token")
        .field_path(".status")
}

/// What is spent is spent by one request: after the second of two, nobody could tell what a lost answer means.
pub(super) fn nothing_spent() -> Rule {
    Rule::new(format!("!has(self.steps) || {SPENDS_NOTHING}"))
        .message(
            "belongs to rotation Reusable, RenewsItself and Reissue: with the others the request that spends the token is the only one",
        )
        .field_path(".steps")
}

/// Each result has a name of its own.
pub(super) fn results_once() -> Rule {
    Rule::new(
        "!has(self.steps) || self.steps.all(s, s.results.all(r, s.results.exists_one(o, o.name == r.name) && \
         self.steps.exists_one(t, t.results.exists(o, o.name == r.name))))",
    )
    .message("each name of a result may stand only once in all steps")
    .field_path(".steps")
}

/// Whether every result that a request names is known, as CEL; `known` tells it of the text that it is given.
fn names_only(request: &str, known: impl Fn(&str) -> String) -> String {
    let named = format!("{request}.auth.header.fromResult");
    let auth = format!("(!has({request}.auth) || !has({request}.auth.header) || !has({named}) || {})", known(&named));
    let each = known("e.fromResult");
    let list = |list: &str| format!("(!has({request}.{list}) || {request}.{list}.all(e, !has(e.fromResult) || {each}))");
    format!("({auth} && {} && {})", list("headers"), list("fields"))
}

/// No result at all.
fn none(_: &str) -> String {
    "false".to_owned()
}

/// The request of the refresh names what steps brought.
pub(super) fn results_exist() -> Rule {
    let known = |named: &str| format!("(has(self.steps) && self.steps.exists(s, s.results.exists(r, r.name == {named})))");
    Rule::new(names_only("self.request", known))
        .message("fromResult must be the name of a result of steps")
        .field_path(".request")
}

/// A step names what the steps before it brought.
pub(super) fn results_earlier() -> Rule {
    let step = |index: usize| {
        let before = |named: &str| {
            let brought = (0..index).map(|before| format!("self.steps[{before}].results.exists(r, r.name == {named})"));
            let brought: Vec<_> = brought.collect();
            if brought.is_empty() { none(named) } else { format!("({})", brought.join(" || ")) }
        };
        format!("(self.steps.size() <= {index} || {})", names_only(&format!("self.steps[{index}].request"), before))
    };
    Rule::new(format!("!has(self.steps) || ({})", [0, 1, 2, 3].map(step).join(" && ")))
        .message("fromResult must be the name of a result of an earlier step")
        .field_path(".steps")
}

/// A request that is no part of a refresh names no results: `place` holds it.
pub(super) fn no_results(place: &str) -> Rule {
    Rule::new(format!("!has(self.{place}) || {}", names_only(&format!("self.{place}.request"), none)))
        .message("must not have fromResult: steps are taken for a refresh only")
        .field_path(format!(".{place}.request"))
}

/// There is something to ask.
pub(super) fn probe_needed() -> Rule {
    Rule::new(format!("!has(self.probe) || !({SPENDS_NOTHING})"))
        .message(
            "belongs to rotation Strict, Grace and IdempotencyKey: the others spend nothing, so that there is nothing to ask",
        )
        .field_path(".probe")
}

/// A question about a token names it, and is no attempt at a refresh.
pub(super) fn probe_presents() -> Rule {
    let name = |source: &str| names("self.probe.request", source);
    let (refresh, access, attempt) = (name("'RefreshToken'"), name("'AccessToken'"), name("'AttemptID'"));
    Rule::new(format!("!has(self.probe) || (({refresh} || {access}) && !{attempt})"))
        .message(
            "must present RefreshToken, or the AccessToken that a refresh ends, in auth, headers or fields, and must not send AttemptID",
        )
        .field_path(".probe.request")
}

/// What is verified is the access token.
pub(super) fn verify_presents() -> Rule {
    let name = |source: &str| names("self.verify.request", source);
    let (access, refresh, attempt) = (name("'AccessToken'"), name("'RefreshToken'"), name("'AttemptID'"));
    Rule::new(format!("!has(self.verify) || ({access} && !{refresh} && !{attempt})"))
        .message("must present AccessToken, in auth, headers or fields, and neither RefreshToken nor AttemptID")
        .field_path(".verify.request")
}
