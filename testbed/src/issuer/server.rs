//! The issuer as a server on a port of its own, and what tests ask of it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::task::AbortHandle;

use super::config::{Client, Config, Rotation, User};
use super::core::Core;
use super::fault::Rule;
use super::random::Entropy;
use super::record::{Api, Chain, ChainId, Pair, Presentation};
use super::wire::{Reply, Request};
use super::{connection, tls};

/// Gives the time; the issuer's clock is this plus its offset.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// What the lock protects.
#[derive(Debug)]
pub(super) struct State {
    pub(super) core: Core,
    pub(super) offset: TimeDelta,
}

/// What the connections share.
pub(super) struct Shared {
    state: Mutex<State>,
    clock: Clock,
    pub(super) ca_pem: Option<String>,
    client: Option<(String, String)>,
}

impl Shared {
    /// The lock; a panic elsewhere does not spoil the ledger, whose changes are complete or not begun.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The issuer's time at the offset held by `state`.
    pub(super) fn now(&self, state: &State) -> DateTime<Utc> {
        let now = (self.clock)();
        now.checked_add_signed(state.offset).unwrap_or(now)
    }

    /// One request, processed or only noted.
    pub(super) fn process(&self, request: &Request, processed: bool) -> (Option<usize>, Reply) {
        let mut state = self.lock();
        let now = self.now(&state);
        if processed {
            let answer = state.core.handle(request, now);
            (answer.number, answer.reply)
        } else {
            (state.core.ignore(request, now), Reply::empty(500))
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place where the simulator reads the wall clock")]
fn wall_clock() -> DateTime<Utc> {
    Utc::now()
}

/// Settings of an issuer before it starts.
pub struct Builder {
    config: Config,
    listen: SocketAddr,
    tls: bool,
    mutual: bool,
    host: Option<String>,
    seed: Option<u64>,
    clock: Clock,
}

impl Builder {
    /// Changes any setting.
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Adds a user, or changes one.
    #[must_use]
    pub fn user(self, name: &str, password: &str, admin: bool) -> Self {
        let user = User { password: password.into(), admin };
        self.configure(|config| drop(config.users.insert(name.into(), user)))
    }

    /// Adds a JFrog identity token of a user.
    #[must_use]
    pub fn identity_token(self, token: &str, user: &str) -> Self {
        self.configure(|config| drop(config.identity_tokens.insert(token.into(), user.into())))
    }

    /// Adds an OAuth 2.0 client, or changes one.
    #[must_use]
    pub fn client(self, id: &str, client: Client) -> Self {
        self.configure(|config| drop(config.clients.insert(id.into(), client)))
    }

    /// Sets what a refresh does to an OAuth 2.0 refresh token.
    #[must_use]
    pub fn rotation(self, rotation: Rotation) -> Self {
        self.configure(|config| config.rotation = rotation)
    }

    /// Sets whether a spent token kills its chain.
    #[must_use]
    pub fn family_revocation(self, on: bool) -> Self {
        self.configure(|config| config.family_revocation = on)
    }

    /// Serves TLS with a certificate authority made for this issuer.
    #[must_use]
    pub fn tls(mut self, on: bool) -> Self {
        self.tls = on;
        self
    }

    /// With TLS: asks clients for a certificate of the same authority.
    #[must_use]
    pub fn mutual_tls(mut self) -> Self {
        self.tls = true;
        self.mutual = true;
        self
    }

    /// Is called by this name, which is in its URL and, with TLS, in its certificate. Making it lead here is the caller's business.
    #[must_use]
    pub fn host(mut self, name: &str) -> Self {
        self.host = Some(name.to_owned());
        self
    }

    /// Listens there; 127.0.0.1 and any free port unless said otherwise.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// The same tokens in every run.
    #[must_use]
    pub fn seed(mut self, number: u64) -> Self {
        self.seed = Some(number);
        self
    }

    /// Another clock than the wall clock.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Starts to listen.
    pub async fn start(mut self) -> anyhow::Result<Issuer> {
        let listener = tokio::net::TcpListener::bind(self.listen).await.context("listen for token requests")?;
        let address = listener.local_addr().context("learn the address")?;
        let made = if self.tls { Some(tls::make(address.ip(), self.host.as_deref(), self.mutual)?) } else { None };
        let (acceptor, ca_pem, client) =
            made.map_or((None, None, None), |made| (Some(made.acceptor), Some(made.authority), made.client));
        let authority = self.host.map_or_else(|| address.to_string(), |name| format!("{name}:{}", address.port()));
        let url = format!("{}://{authority}", if self.tls { "https" } else { "http" });
        self.config.issuer_url.clone_from(&url);
        let entropy = self.seed.map(Entropy::seeded).or_else(Entropy::system).context("draw random bytes")?;
        let state = Mutex::new(State { core: Core::new(self.config, entropy), offset: TimeDelta::zero() });
        let shared = Arc::new(Shared { state, clock: self.clock, ca_pem, client });
        let accept = tokio::spawn(connection::accept(Arc::clone(&shared), listener, acceptor)).abort_handle();
        Ok(Issuer { shared, url, accept })
    }
}

/// A running issuer with all four APIs; it stops when it is dropped.
pub struct Issuer {
    shared: Arc<Shared>,
    url: String,
    accept: AbortHandle,
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

impl Issuer {
    /// An issuer with the default settings (see [`Config::default`]).
    #[must_use]
    pub fn builder() -> Builder {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Builder {
            config: Config::default(),
            listen,
            tls: false,
            mutual: false,
            host: None,
            seed: None,
            clock: Arc::new(wall_clock),
        }
    }

    /// Scheme, address and port, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The certificate authority to trust, where TLS is on.
    #[must_use]
    pub fn ca_pem(&self) -> Option<&str> {
        self.shared.ca_pem.as_deref()
    }

    /// A certificate and its private key, in PEM form, with which a client is let in; where clients are asked for one.
    #[must_use]
    pub fn client_certificate(&self) -> Option<(&str, &str)> {
        self.shared.client.as_ref().map(|(certificate, key)| (certificate.as_str(), key.as_str()))
    }

    /// The issuer's clock.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.shared.now(&self.shared.lock())
    }

    /// Sets the issuer's clock ahead of (or behind) the real one: another host's clock, or time that has passed.
    pub fn set_clock_offset(&self, offset: TimeDelta) {
        self.shared.lock().offset = offset;
    }

    /// Anything else that can be asked of the logic, under its lock.
    pub fn with<T>(&self, ask: impl FnOnce(&mut Core, DateTime<Utc>) -> T) -> T {
        let mut state = self.shared.lock();
        let now = self.shared.now(&state);
        ask(&mut state.core, now)
    }

    /// A first pair on JFrog Access, with a reference token. A lifetime of zero is never, here and below.
    #[must_use]
    pub fn seed_jfrog_access(&self, user: &str, lifetime: TimeDelta) -> Pair {
        self.with(|core, now| core.seed_jfrog_access(user, lifetime, now))
    }

    /// A first pair on JFrog Distribution.
    #[must_use]
    pub fn seed_jfrog_distribution(&self, user: &str, lifetime: TimeDelta) -> Pair {
        self.with(|core, now| core.seed_jfrog_distribution(user, lifetime, now))
    }

    /// An ECE session; its token is the access token of the pair.
    #[must_use]
    pub fn seed_ece(&self, user: &str, lifetime: TimeDelta) -> Pair {
        self.with(|core, now| core.seed_ece(user, lifetime, now))
    }

    /// An OAuth 2.0 grant of `subject` to `client`.
    #[must_use]
    pub fn seed_oauth2(&self, subject: &str, client: &str, lifetime: TimeDelta) -> Pair {
        self.with(|core, now| core.seed_oauth2(subject, client, lifetime, now))
    }

    /// Access and refresh token of another JFrog instance.
    #[must_use]
    pub fn foreign_pair(&self, user: &str) -> (String, String) {
        self.with(|core, _| core.ledger.foreign_pair(user))
    }

    /// The chain of that user or subject that began last.
    #[must_use]
    pub fn chain_of(&self, api: Api, subject: &str) -> Option<ChainId> {
        self.with(|core, _| core.ledger.chain_of(api, subject))
    }

    /// All chains, oldest first.
    #[must_use]
    pub fn chains(&self) -> Vec<Chain> {
        self.with(|core, _| core.ledger.chains().cloned().collect())
    }

    /// The pair of a chain that was issued last.
    #[must_use]
    pub fn newest(&self, chain: ChainId) -> Option<Pair> {
        self.with(|core, _| core.ledger.newest(chain).cloned())
    }

    /// Accepted refreshes of a chain.
    #[must_use]
    pub fn refreshes(&self, chain: ChainId) -> usize {
        self.with(|core, _| core.ledger.chain(chain).map_or(0, |known| known.refreshes))
    }

    /// How often a refresh was asked for with that token, processed or not.
    #[must_use]
    pub fn presented(&self, token: &str) -> usize {
        self.with(|core, _| core.ledger.presented(token))
    }

    /// How often a refresh was asked for with a token that was spent already.
    #[must_use]
    pub fn double_spends(&self) -> usize {
        self.with(|core, _| core.ledger.double_spends())
    }

    /// Every request so far.
    #[must_use]
    pub fn log(&self) -> Vec<Presentation> {
        self.with(|core, _| core.ledger.log().to_vec())
    }

    /// Arms a fault.
    pub fn arm(&self, rule: Rule) {
        self.with(|core, _| core.faults.arm(rule));
    }

    /// Disarms all faults.
    pub fn clear_faults(&self) {
        self.with(|core, _| core.faults.clear());
    }

    /// Kills a chain, as an administrator of the vendor would.
    pub fn revoke_chain(&self, chain: ChainId) {
        self.with(|core, _| core.ledger.revoke_chain(chain));
    }
}
