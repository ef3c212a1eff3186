//! A declared token API: its requests and the reading of their answers, as the manifest says; it must not read more into an answer
//! than that.

mod answer;
mod build;
mod document;

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::reply::{answered, error, revoked, unverified, verified};
use super::{
    Beside, Class, Probed, Reached, RefreshInput, Reply, RequestError, Semantics, Sketch, StepResults, TokenApi, TokenError,
    TokenRequest, Wish,
};
use crate::api::{Http, HttpMissing, HttpRotation, Invalid, RequestSpec, check_http};
use crate::token::TokenSet;

use answer::Refusal;
use build::build;

impl Http {
    /// What a manifest begins with.
    pub const SKETCH: Sketch = Sketch {
        name: "http",
        title: "Any other token API, declared",
        provider: "                      # docs/http-provider.md has every field, and whole examples
      request:
        url: '{url}'
        encoding: JSON
        fields:
        - {name: refresh_token, from: RefreshToken}
      reply:
        accessToken: /access_token
        refreshToken: /refresh_token
        expiry: {pointer: /expires_in, format: Seconds}
      semantics: {rotation: Strict}   # what the API does with a used token; if in doubt: Strict",
        url: "https://api.example.com/token/refresh",
        seed: "refresh_token",
        request: None,
    };
}

impl TokenApi for Http {
    fn name(&self) -> &'static str {
        Self::SKETCH.name
    }

    fn url(&self) -> &str {
        &self.request.url
    }

    fn connection(&self) -> Reached<'_> {
        Reached { tls: self.tls.as_ref(), proxy: self.proxy.as_ref(), timeouts: self.timeouts }
    }

    fn urls(&self) -> Vec<&str> {
        self.requests().map(|request| request.url.as_str()).collect()
    }

    fn check(&self) -> Result<(), Invalid> {
        check_http(self)
    }

    fn takes(&self, wish: Wish) -> bool {
        wish == Wish::Trial && self.verify.is_some()
    }

    fn beside(&self) -> Beside<'_> {
        let keys = self.seed_keys();
        if keys.is_empty() { Beside::Nothing } else { Beside::Keys(keys) }
    }

    /// What the manifest declares. `Grace` without a time, which the CRD refuses, is the strict reading.
    fn semantics(&self) -> Semantics {
        let grace = self.semantics.grace_seconds.and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
        match (self.semantics.rotation, grace) {
            (HttpRotation::Grace, Some(seconds)) => Semantics::Grace(Duration::from_secs(seconds)),
            (HttpRotation::Strict, _) | (HttpRotation::Grace, None) => Semantics::SingleUse,
            (HttpRotation::IdempotencyKey, _) => Semantics::IdempotencyKey,
            (HttpRotation::Reusable, _) => Semantics::Reusable,
            (HttpRotation::RenewsItself, _) => Semantics::RenewsItself,
            (HttpRotation::Reissue, _) => Semantics::Reissue,
        }
    }

    fn keeps_omitted_refresh_token(&self) -> bool {
        self.reply.on_missing_refresh_token.unwrap_or_default() == HttpMissing::Keep
    }

    fn request(&self, _wish: &RequestSpec, input: &RefreshInput<'_>) -> Result<TokenRequest, RequestError> {
        build(&self.request, input)
    }

    fn read(&self, _wish: &RequestSpec, reply: &Reply, sent: DateTime<Utc>) -> Result<TokenSet, TokenError> {
        let read = answer::read(&self.reply, TokenApi::semantics(self), reply, sent);
        read.map_err(|refusal| self.proved(refusal)).map_err(|(class, detail)| error(reply, sent, class, detail))
    }

    fn steps(&self) -> usize {
        self.steps().len()
    }

    fn step(&self, index: usize, input: &RefreshInput<'_>) -> Result<TokenRequest, RequestError> {
        let step = self.steps().get(index).ok_or(RequestError::Declared("there is no such step"))?;
        build(&step.request, input)
    }

    fn read_step(&self, index: usize, reply: &Reply, results: &mut StepResults) -> Result<(), TokenError> {
        let step = self.steps().get(index).ok_or_else(|| answered(reply, Class::Configuration, "there is no such step"))?;
        let found = answer::results(step, &self.reply, reply).map_err(|refusal| self.proved(refusal));
        for (name, value) in found.map_err(|(class, detail)| answered(reply, class, detail))? {
            results.put(name, value);
        }
        Ok(())
    }

    /// The declared question, if there is one.
    fn probes(&self) -> bool {
        self.probe.is_some()
    }

    fn probe(&self, input: &RefreshInput<'_>) -> Option<Result<TokenRequest, RequestError>> {
        Some(build(&self.probe.as_ref()?.request, input))
    }

    fn read_probe(&self, reply: &Reply) -> Probed {
        self.probe.as_ref().map_or(Probed::Unclear, |probe| answer::probed(probe, reply))
    }

    /// The declared request, if there is one.
    fn verification(&self, input: &RefreshInput<'_>) -> Option<Result<TokenRequest, RequestError>> {
        Some(build(&self.verify.as_ref()?.request, input))
    }

    fn read_verification(&self, reply: &Reply) -> Result<(), TokenError> {
        let Some(success) = self.verify.as_ref().and_then(|verify| verify.success.as_ref()) else { return verified(reply) };
        if !(200..300).contains(&reply.status) {
            return verified(reply);
        }
        let (class, detail) = match answer::succeeded(success, reply) {
            Ok(true) => return Ok(()),
            Ok(false) => (Class::Configuration, "the answer is not what verify.success requires"),
            Err(_) => unverified(reply.status),
        };
        Err(answered(reply, class, detail))
    }

    fn revocation_lacks(&self) -> Option<&'static str> {
        self.revoke.is_none().then_some("spec.provider.http.revoke")
    }

    /// The declared request, if there is one.
    fn revocation(&self, input: &RefreshInput<'_>) -> Option<Result<TokenRequest, RequestError>> {
        Some(build(&self.revoke.as_ref()?.request, input))
    }

    /// The declared statuses, or what the API answers about a token that is over.
    fn read_revocation(&self, reply: &Reply, sent: DateTime<Utc>) -> Result<(), TokenError> {
        if answer::listed(&self.reply, reply).is_some_and(|(class, _)| class == Class::ChainOver) {
            return Ok(());
        }
        let declared = self.revoke.as_ref().and_then(|revoke| revoke.statuses.as_deref());
        let done: Vec<u16> = match declared {
            Some(statuses) => statuses.iter().filter_map(|status| u16::try_from(status.0).ok()).collect(),
            None => vec![200, 204],
        };
        revoked(reply, sent, &done)
    }
}

impl Http {
    /// What a refusal proves here: where each token is obtained anew, there is no chain that could be over.
    fn proved(&self, refusal: Refusal) -> Refusal {
        match (refusal, self.semantics.rotation) {
            ((Class::ChainOver, _), HttpRotation::Reissue) => (
                Class::Configuration,
                "an error that provider.http lists as ChainOver: the API gives no token for what the seed holds",
            ),
            (refusal, _) => refusal,
        }
    }
}
