//! The rules of requests beside that of a refresh once more in code.

use std::collections::BTreeSet;

use super::super::{Invalid, require};
use super::{HERE, compared, pointer, request, spends_nothing, success};
use crate::api::{Http, HttpFrom, HttpProbe, HttpRequest, HttpSign, HttpSource, HttpVerify};

pub(super) fn check(spec: &Http) -> Result<(), Invalid> {
    steps(spec)?;
    if let Some(revoke) = &spec.revoke {
        results(&format!("{HERE}.revoke.request"), &revoke.request, &BTreeSet::new())?;
    }
    if let Some(spec) = &spec.verify {
        verify(spec)?;
    }
    let Some(asked) = &spec.probe else { return Ok(()) };
    let what = "belongs to rotation Strict, Grace and IdempotencyKey";
    require(!spends_nothing(spec.semantics.rotation), &format!("{HERE}.probe"), what)?;
    probe(asked)
}

fn steps(spec: &Http) -> Result<(), Invalid> {
    let place = format!("{HERE}.steps");
    let some = spec.steps.is_none() || (1..=4).contains(&spec.steps().len());
    require(some, &place, "must have 1 to 4 entries")?;
    let what = "belongs to rotation Reusable, RenewsItself and Reissue";
    require(spec.steps.is_none() || spends_nothing(spec.semantics.rotation), &place, what)?;
    let mut known = BTreeSet::new();
    for (index, step) in spec.steps().iter().enumerate() {
        let place = format!("{place}[{index}]");
        request(&format!("{place}.request"), &step.request)?;
        results(&format!("{place}.request"), &step.request, &known)?;
        success(&format!("{place}.success"), step.success.as_ref())?;
        let place = format!("{place}.results");
        require((1..=8).contains(&step.results.len()), &place, "must have 1 to 8 entries")?;
        for result in &step.results {
            require(is_result(&result.name), &place, "a name has letters, digits, '_' and '-', a letter first, at most 64")?;
            require(known.insert(result.name.as_str()), &place, "each name of a result may stand only once in all steps")?;
            pointer(&place, Some(&result.pointer))?;
        }
    }
    results(&format!("{HERE}.request"), &spec.request, &known)
}

/// A request names these results at most.
fn results(field: &str, request: &HttpRequest, known: &BTreeSet<&str>) -> Result<(), Invalid> {
    let named = request.sources().all(|source| match source {
        HttpSource::Result(name) => known.contains(name),
        HttpSource::Literal(_) | HttpSource::Held(_) | HttpSource::SeedKey(_) => true,
    });
    require(named, field, "fromResult must be the name of a result of an earlier step, in a request of a refresh")
}

fn is_result(name: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    name.len() <= 64 && name.starts_with(|first: char| first.is_ascii_alphabetic()) && name.bytes().all(inside)
}

fn verify(spec: &HttpVerify) -> Result<(), Invalid> {
    let place = format!("{HERE}.verify.request");
    request(&place, &spec.request)?;
    results(&place, &spec.request, &BTreeSet::new())?;
    let names = |from| spec.request.names(HttpSource::Held(from));
    let only = names(HttpFrom::AccessToken) && !names(HttpFrom::RefreshToken) && !names(HttpFrom::AttemptId);
    require(only, &place, "must present AccessToken, and neither RefreshToken nor AttemptID")?;
    success(&format!("{HERE}.verify.success"), spec.success.as_ref())
}

fn probe(spec: &HttpProbe) -> Result<(), Invalid> {
    let place = format!("{HERE}.probe.request");
    request(&place, &spec.request)?;
    results(&place, &spec.request, &BTreeSet::new())?;
    let names = |from| spec.request.names(HttpSource::Held(from));
    let one = (names(HttpFrom::AccessToken) || names(HttpFrom::RefreshToken)) && !names(HttpFrom::AttemptId);
    require(one, &place, "must present RefreshToken or AccessToken, and must not send AttemptID")?;
    signs(&format!("{HERE}.probe.unspent"), &spec.unspent)?;
    signs(&format!("{HERE}.probe.spent"), &spec.spent)
}

fn signs(field: &str, signs: &[HttpSign]) -> Result<(), Invalid> {
    require((1..=8).contains(&signs.len()), field, "must have 1 to 8 entries")?;
    for sign in signs {
        let says = matches!(sign.status, 200..=299 | 400..=407 | 409..=428 | 430..=499);
        require(says, field, "status must be 200 to 299, or 400 to 499 but 408 and 429")?;
        require(sign.equals.is_none() || sign.pointer.is_some(), field, "equals belongs to pointer")?;
        pointer(field, sign.pointer.as_deref())?;
        compared(field, sign.equals.as_deref())?;
    }
    Ok(())
}
