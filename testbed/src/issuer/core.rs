//! The issuer without a socket and without a clock: a request and the time in, an answer out, everything in the ledger.
//!
//! One call of [`Core::handle`] is one atomic act of the issuer. The server calls it behind a lock; an in-memory simulation calls it in
//! virtual time and plays the wire itself.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::config::{Config, never_if_zero};
use super::fault::{Faults, Plan};
use super::ledger::{Ledger, RefreshState};
use super::random::Entropy;
use super::record::{Api, ChainId, Delivery, Mint, Operation, Pair, Presentation, RefreshForm, RefreshShape, Verdict};
use super::wire::{Authorization, Params, Reply, Request};
use super::{access, access_tokens, distribution, ece, oauth2, oauth2_inspect};

/// The endpoints. Paths are the vendors'.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    AccessTokens,
    AccessRead,
    AccessRevoke,
    DistributionRefresh,
    DistributionRevoke,
    EceLogin,
    EceRefresh,
    EceLogout,
    EceRead,
    Oauth2Token,
    Oauth2Revoke,
    Oauth2Introspect,
    Oauth2Metadata,
}

impl Route {
    fn of(request: &Request) -> Result<Self, Reply> {
        let path = request.path.as_str();
        let (method, route) = match (request.method.as_str(), path) {
            (_, "/access/api/v1/tokens") => ("POST", Self::AccessTokens),
            ("GET", path) if path.starts_with("/access/api/v1/tokens/") => ("GET", Self::AccessRead),
            (_, path) if path.starts_with("/access/api/v1/tokens/") => ("DELETE", Self::AccessRevoke),
            (_, "/distribution/api/v1/security/token") => ("POST", Self::DistributionRefresh),
            (_, "/distribution/api/v1/security/token/revoke") => ("POST", Self::DistributionRevoke),
            (_, "/api/v1/users/auth/_login") => ("POST", Self::EceLogin),
            (_, "/api/v1/users/auth/_refresh") => ("POST", Self::EceRefresh),
            (_, "/api/v1/users/auth/_logout") => ("POST", Self::EceLogout),
            (_, "/api/v1/users/auth") => ("GET", Self::EceRead),
            (_, "/oauth2/token") => ("POST", Self::Oauth2Token),
            (_, "/oauth2/revoke") => ("POST", Self::Oauth2Revoke),
            (_, "/oauth2/introspect") => ("POST", Self::Oauth2Introspect),
            (_, "/.well-known/oauth-authorization-server") => ("GET", Self::Oauth2Metadata),
            _ => return Err(Reply::text(404, "Not Found")),
        };
        if request.method == method {
            Ok(route)
        } else {
            Err(Reply::text(405, "Method Not Allowed").with_header("allow", method))
        }
    }

    fn api(self) -> Api {
        match self {
            Self::AccessTokens | Self::AccessRead | Self::AccessRevoke => Api::JfrogAccess,
            Self::DistributionRefresh | Self::DistributionRevoke => Api::JfrogDistribution,
            Self::EceLogin | Self::EceRefresh | Self::EceLogout | Self::EceRead => Api::ElasticCloudEnterprise,
            Self::Oauth2Token | Self::Oauth2Revoke | Self::Oauth2Introspect | Self::Oauth2Metadata => Api::Oauth2,
        }
    }

    fn operation(self, params: &Params) -> Operation {
        match self {
            Self::AccessTokens | Self::Oauth2Token if params.get("grant_type") == Some("refresh_token") => Operation::Refresh,
            Self::DistributionRefresh | Self::EceRefresh => Operation::Refresh,
            Self::AccessTokens | Self::Oauth2Token | Self::EceLogin => Operation::Create,
            Self::AccessRead | Self::EceRead | Self::Oauth2Introspect | Self::Oauth2Metadata => Operation::Inspect,
            Self::AccessRevoke | Self::DistributionRevoke | Self::EceLogout | Self::Oauth2Revoke => Operation::Revoke,
        }
    }
}

/// What a handler of one API decides.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) verdict: Verdict,
    /// The chain that was begun or used, where the handler knows better than the token says.
    pub(super) chain: Option<ChainId>,
    pub(super) reply: Reply,
}

impl Outcome {
    pub(super) fn new(verdict: Verdict, reply: Reply) -> Self {
        Self { verdict, chain: None, reply }
    }

    pub(super) fn of_pair(verdict: Verdict, pair: &Pair, reply: Reply) -> Self {
        Self { verdict, chain: Some(pair.chain), reply }
    }
}

/// What a request is about, as far as can be told before it is processed.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) api: Api,
    pub(super) operation: Operation,
    pub(super) token: Option<String>,
    pub(super) bearer: Option<String>,
    pub(super) chain: Option<ChainId>,
    pub(super) subject: Option<String>,
}

/// An answer and its place in the log (`None` for a path that is no endpoint).
#[derive(Debug)]
pub struct Answer {
    /// Where [`Core::deliver`] notes what became of it.
    pub number: Option<usize>,
    /// What the issuer wants to send.
    pub reply: Reply,
}

/// One issuer: its settings, its ledger and the faults that are armed.
#[derive(Debug)]
pub struct Core {
    /// The settings; they may change while it runs.
    pub config: Config,
    /// Every token and presentation.
    pub ledger: Ledger,
    /// The faults that are armed.
    pub faults: Faults,
    /// Assertions of clients that were used.
    pub(super) assertions: BTreeSet<String>,
}

impl Core {
    /// An issuer that has issued nothing yet.
    #[must_use]
    pub fn new(config: Config, entropy: Entropy) -> Self {
        let ledger = Ledger::new(entropy, &config.instance, &config.issuer_url);
        Self { config, ledger, faults: Faults::default(), assertions: BTreeSet::new() }
    }

    /// Processes one request at the issuer's time `now`.
    pub fn handle(&mut self, request: &Request, now: DateTime<Utc>) -> Answer {
        let route = match Route::of(request) {
            Ok(route) => route,
            Err(reply) => {
                return Answer { number: None, reply };
            }
        };
        let target = self.target_of(route, request);
        let was_spent = self.counts_as_spent(&target, now);
        let outcome = self.dispatch(route, request, now);
        if target.operation == Operation::Refresh && outcome.verdict == Verdict::Spent && self.config.family_revocation {
            target.chain.into_iter().for_each(|chain| self.ledger.revoke_chain(chain));
        }
        let entry = self.entry(&target, was_spent, &outcome, now);
        Answer { number: Some(self.ledger.record(entry)), reply: outcome.reply }
    }

    /// Notes a request that was read and deliberately not processed. Gives its place in the log.
    pub fn ignore(&mut self, request: &Request, now: DateTime<Utc>) -> Option<usize> {
        let target = self.target(request)?;
        let was_spent = self.counts_as_spent(&target, now);
        let outcome = Outcome::new(Verdict::NotProcessed, Reply::empty(0));
        let entry = self.entry(&target, was_spent, &outcome, now);
        Some(self.ledger.record(entry))
    }

    /// Notes what became of an answer.
    pub fn deliver(&mut self, number: usize, delivery: Delivery) {
        self.ledger.deliver(number, delivery);
    }

    /// Takes the faults that are due for this request; each counts as used once taken.
    pub fn plan(&mut self, request: &Request) -> Plan {
        match self.target(request) {
            Some(target) => self.faults.take(&target),
            None => Plan::default(),
        }
    }

    /// Seeds a chain on JFrog Access: refreshable, with a reference token. A lifetime of zero is never.
    pub fn seed_jfrog_access(&mut self, user: &str, lifetime: TimeDelta, now: DateTime<Utc>) -> Pair {
        let mint = self.jfrog_mint("applied-permissions/user", "*@*", lifetime, true);
        self.ledger.begin(Api::JfrogAccess, user, None, mint, now)
    }

    /// Seeds a chain on JFrog Distribution. A lifetime of zero is never.
    pub fn seed_jfrog_distribution(&mut self, user: &str, lifetime: TimeDelta, now: DateTime<Utc>) -> Pair {
        let audience = format!("jfds@{}", self.config.instance);
        let mint = self.jfrog_mint("applied-permissions/user", &audience, lifetime, false);
        self.ledger.begin(Api::JfrogDistribution, user, None, mint, now)
    }

    /// Seeds an ECE session, which has no refresh token.
    pub fn seed_ece(&mut self, user: &str, lifetime: TimeDelta, now: DateTime<Utc>) -> Pair {
        let mint = Mint {
            scope: String::new(),
            audience: "adminconsole".into(),
            description: None,
            lifetime: never_if_zero(lifetime),
            refresh: None,
            reference: false,
        };
        self.ledger.begin(Api::ElasticCloudEnterprise, user, None, mint, now)
    }

    /// Seeds an OAuth 2.0 grant of `subject` to `client`, with the scope of that client.
    pub fn seed_oauth2(&mut self, subject: &str, client: &str, lifetime: TimeDelta, now: DateTime<Utc>) -> Pair {
        let scope = self.config.clients.get(client).map(|known| known.scope.clone()).unwrap_or_default();
        let mint = self.oauth2_mint(&scope, lifetime, true);
        self.ledger.begin(Api::Oauth2, subject, Some(client), mint, now)
    }

    /// A refreshable pair as JFrog issues it, or one without a refresh token where `token.allow-refreshable` is off.
    pub(super) fn jfrog_mint(&self, scope: &str, audience: &str, lifetime: TimeDelta, reference: bool) -> Mint {
        let lifetime = never_if_zero(lifetime);
        let form = if self.config.opaque_refresh_tokens { RefreshForm::Opaque } else { RefreshForm::Uuid };
        let window = lifetime.and_then(|life| life.checked_add(&self.config.refresh_window));
        Mint {
            scope: scope.into(),
            audience: audience.into(),
            description: None,
            lifetime,
            refresh: self.config.allow_refreshable.then_some(RefreshShape { form, lifetime: window }),
            reference,
        }
    }

    pub(super) fn oauth2_mint(&self, scope: &str, lifetime: TimeDelta, refreshable: bool) -> Mint {
        let shape = RefreshShape { form: RefreshForm::Oauth, lifetime: never_if_zero(self.config.oauth2_refresh_lifetime) };
        Mint {
            scope: scope.into(),
            audience: self.config.issuer_url.clone(),
            description: None,
            lifetime: never_if_zero(lifetime),
            refresh: refreshable.then_some(shape),
            reference: false,
        }
    }

    fn dispatch(&mut self, route: Route, request: &Request, now: DateTime<Utc>) -> Outcome {
        match route {
            Route::AccessTokens => access::tokens(self, request, now),
            Route::AccessRead => access_tokens::read(self, request, now),
            Route::AccessRevoke => access_tokens::revoke(self, request, now),
            Route::DistributionRefresh => distribution::refresh(self, request, now),
            Route::DistributionRevoke => distribution::revoke(self, request, now),
            Route::EceLogin => ece::login(self, request, now),
            Route::EceRefresh => ece::refresh(self, request, now),
            Route::EceLogout => ece::logout(self, request, now),
            Route::EceRead => ece::read(self, request, now),
            Route::Oauth2Token => oauth2::token(self, request, now),
            Route::Oauth2Revoke => oauth2_inspect::revoke(self, request, now),
            Route::Oauth2Introspect => oauth2_inspect::introspect(self, request, now),
            Route::Oauth2Metadata => oauth2_inspect::metadata(self),
        }
    }

    fn target(&self, request: &Request) -> Option<Target> {
        Route::of(request).ok().map(|route| self.target_of(route, request))
    }

    fn target_of(&self, route: Route, request: &Request) -> Target {
        let params = Params::form_or_json(request).unwrap_or_default();
        let operation = route.operation(&params);
        let bearer = match request.authorization() {
            Authorization::Bearer(token) => Some(token),
            Authorization::None | Authorization::Basic(..) | Authorization::Unreadable => None,
        };
        let named = match operation {
            Operation::Refresh => params.get("refresh_token"),
            Operation::Create => {
                params.get("refresh_token").or_else(|| params.get("subject_token")).or_else(|| params.get("assertion"))
            }
            Operation::Inspect | Operation::Revoke => params.get("token"),
        };
        let token = if route.api() == Api::ElasticCloudEnterprise { bearer.clone() } else { named.map(str::to_owned) };
        let known = |token: &Option<String>| token.as_ref().and_then(|token| self.ledger.chain_of_token(token));
        let chain = known(&token).or_else(|| if token.is_none() { known(&bearer) } else { None });
        let subject = chain.and_then(|id| self.ledger.chain(id)).map(|chain| chain.subject.clone());
        Target { api: route.api(), operation, token, bearer, chain, subject }
    }

    /// Spent at `now`, with no grace window open in which a repetition is allowed.
    fn counts_as_spent(&self, target: &Target, now: DateTime<Utc>) -> bool {
        let Some(token) = &target.token else {
            return false;
        };
        let spent = matches!(self.ledger.refresh_state(token, now), RefreshState::Spent { .. });
        spent && (target.api != Api::Oauth2 || oauth2::grace(self, token, now).is_none())
    }

    fn entry(&self, target: &Target, was_spent: bool, outcome: &Outcome, now: DateTime<Utc>) -> Presentation {
        let unprocessed = outcome.verdict == Verdict::NotProcessed;
        Presentation {
            number: self.ledger.log().len(),
            at: now,
            api: target.api,
            operation: target.operation,
            token: target.token.clone(),
            bearer: target.bearer.clone(),
            chain: target.chain.or(outcome.chain),
            was_spent,
            verdict: outcome.verdict,
            status: outcome.reply.status,
            answer: String::from_utf8_lossy(&outcome.reply.body).into_owned(),
            delivery: if unprocessed { Delivery::Dropped } else { Delivery::Pending },
        }
    }
}
