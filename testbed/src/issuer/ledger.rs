//! The ledger: every token ever issued, which refresh token is the newest of its chain, and what was presented.
//!
//! It knows no HTTP and no clock. All changes of one request happen under one `&mut`, so of two requests with one token one is first.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde_json::json;

use super::press::Press;
use super::random::Entropy;
use super::record::{Api, Chain, ChainId, Delivery, Mint, Operation, Pair, Presentation, RefreshShape};

#[derive(Debug, Clone)]
struct Refresh {
    chain: ChainId,
    generation: usize,
    expires_at: Option<DateTime<Utc>>,
    spent_at: Option<DateTime<Utc>>,
    successor: Option<usize>,
    revoked: bool,
    presented: usize,
}

#[derive(Debug, Clone)]
struct Access {
    chain: ChainId,
    generation: usize,
    revoked: bool,
}

/// How a refresh token stands at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RefreshState {
    Unknown,
    Foreign,
    Live { chain: ChainId, generation: usize },
    Spent { chain: ChainId, at: DateTime<Utc>, successor: Option<usize> },
    Revoked { chain: ChainId },
    Expired { chain: ChainId },
}

/// How an access or reference token stands at one instant.
#[derive(Debug, Clone)]
pub(super) enum AccessState {
    Unknown,
    Live(Pair),
    Expired(Pair, DateTime<Utc>),
    Revoked(Pair),
}

/// Every chain, token and presentation of one issuer.
#[derive(Debug)]
pub struct Ledger {
    press: Press,
    next_chain: u64,
    chains: BTreeMap<ChainId, Chain>,
    refresh: HashMap<String, Refresh>,
    access: HashMap<String, Access>,
    references: HashMap<String, String>,
    ids: HashMap<String, String>,
    foreign: HashSet<String>,
    log: Vec<Presentation>,
    double_spends: usize,
}

impl Ledger {
    pub(super) fn new(entropy: Entropy, instance: &str, issuer_url: &str) -> Self {
        Self {
            press: Press { entropy, instance: instance.into(), issuer_url: issuer_url.into() },
            next_chain: 0,
            chains: BTreeMap::new(),
            refresh: HashMap::new(),
            access: HashMap::new(),
            references: HashMap::new(),
            ids: HashMap::new(),
            foreign: HashSet::new(),
            log: Vec::new(),
            double_spends: 0,
        }
    }

    /// All chains, oldest first.
    pub fn chains(&self) -> impl Iterator<Item = &Chain> {
        self.chains.values()
    }

    /// One chain.
    #[must_use]
    pub fn chain(&self, id: ChainId) -> Option<&Chain> {
        self.chains.get(&id)
    }

    /// The chain of that subject on that API that began last.
    #[must_use]
    pub fn chain_of(&self, api: Api, subject: &str) -> Option<ChainId> {
        self.chains.values().rev().find(|chain| chain.api == api && chain.subject == subject).map(|chain| chain.id)
    }

    /// The pair of a chain that was issued last.
    #[must_use]
    pub fn newest(&self, id: ChainId) -> Option<&Pair> {
        self.chains.get(&id)?.pairs.last()
    }

    /// How often a refresh was asked for with that token (refresh token, or ECE token), processed or not.
    #[must_use]
    pub fn presented(&self, token: &str) -> usize {
        match self.refresh.get(token) {
            Some(known) => known.presented,
            None => self
                .log
                .iter()
                .filter(|entry| entry.operation == Operation::Refresh && entry.token.as_deref() == Some(token))
                .count(),
        }
    }

    /// How often a refresh was asked for with a token that was spent already. The figure that must be zero.
    #[must_use]
    pub fn double_spends(&self) -> usize {
        self.double_spends
    }

    /// Every request so far.
    #[must_use]
    pub fn log(&self) -> &[Presentation] {
        &self.log
    }

    /// An access and a refresh token as another instance would have issued them; this one only knows that it did not.
    pub fn foreign_pair(&mut self, subject: &str) -> (String, String) {
        let (refresh, id) = (self.press.entropy.uuid(), self.press.entropy.uuid());
        let access = self.press.entropy.jwt(&json!({"sub": subject, "iss": "jfac@01other", "aud": "*@*", "jti": id}));
        self.foreign.extend([refresh.clone(), access.clone(), id]);
        (access, refresh)
    }

    pub(super) fn begin(&mut self, api: Api, subject: &str, client: Option<&str>, mint: Mint, now: DateTime<Utc>) -> Pair {
        let id = ChainId(self.next_chain);
        self.next_chain += 1;
        let mut chain = Chain {
            id,
            api,
            subject: subject.into(),
            client: client.map(str::to_owned),
            scope: mint.scope.clone(),
            refreshes: 0,
            revoked: false,
            pairs: Vec::new(),
            mint: mint.clone(),
        };
        let pair = self.press.pair(&mut chain, mint, None, now);
        self.remember(&pair, chain.mint.refresh);
        self.chains.insert(id, chain);
        pair
    }

    /// Spends `token` and issues its successor; the caller has seen that it is live.
    pub(super) fn rotate(&mut self, token: &str, mint: &Mint, now: DateTime<Utc>, old_access_dies: bool) -> Option<Pair> {
        let spent = self.refresh.get_mut(token)?;
        let (chain, generation) = (spent.chain, spent.generation);
        spent.spent_at = Some(now);
        if old_access_dies {
            self.revoke_access(chain, generation);
        }
        let pair = self.further(chain, mint, None, now)?;
        if let Some(spent) = self.refresh.get_mut(token) {
            spent.successor = Some(pair.generation);
        }
        self.chains.get_mut(&chain)?.refreshes += 1;
        Some(pair)
    }

    /// A new access token that keeps `token` as the refresh token of the chain.
    pub(super) fn reuse(&mut self, token: &str, mint: &Mint, now: DateTime<Utc>, old_access_dies: bool) -> Option<Pair> {
        let known = self.refresh.get(token)?;
        let (chain, generation) = (known.chain, known.generation);
        if old_access_dies {
            self.revoke_access(chain, generation);
        }
        let pair = self.further(chain, mint, Some(token), now)?;
        self.refresh.get_mut(token)?.generation = pair.generation;
        self.chains.get_mut(&chain)?.refreshes += 1;
        Some(pair)
    }

    /// A new token of a chain that has no refresh token: ECE's renewal of itself.
    pub(super) fn renew(&mut self, old: &Pair, now: DateTime<Utc>, old_access_dies: bool) -> Option<Pair> {
        if old_access_dies {
            self.revoke_access(old.chain, old.generation);
        }
        let mint = self.chains.get(&old.chain)?.mint.clone();
        let pair = self.further(old.chain, &mint, None, now)?;
        self.chains.get_mut(&old.chain)?.refreshes += 1;
        Some(pair)
    }

    /// One pair more in a chain.
    pub(super) fn further(&mut self, chain: ChainId, mint: &Mint, keep: Option<&str>, now: DateTime<Utc>) -> Option<Pair> {
        let pair = self.press.pair(self.chains.get_mut(&chain)?, mint.clone(), keep, now);
        self.remember(&pair, mint.refresh.filter(|_| keep.is_none()));
        Some(pair)
    }

    fn remember(&mut self, pair: &Pair, shape: Option<RefreshShape>) {
        let (chain, generation) = (pair.chain, pair.generation);
        self.access.insert(pair.access_token.clone(), Access { chain, generation, revoked: false });
        self.ids.insert(pair.token_id.clone(), pair.access_token.clone());
        if let Some(reference) = &pair.reference_token {
            self.references.insert(reference.clone(), pair.access_token.clone());
        }
        if let (Some(token), Some(shape)) = (&pair.refresh_token, shape) {
            let expires_at = shape.lifetime.and_then(|life| pair.issued_at.checked_add_signed(life));
            let record = Refresh { chain, generation, expires_at, spent_at: None, successor: None, revoked: false, presented: 0 };
            self.refresh.insert(token.clone(), record);
        }
    }

    /// How a refresh token stands. Spent comes before revoked and expired: a double use stays one when the chain has died since.
    pub(super) fn refresh_state(&self, token: &str, now: DateTime<Utc>) -> RefreshState {
        let Some(known) = self.refresh.get(token) else {
            return if self.foreign.contains(token) { RefreshState::Foreign } else { RefreshState::Unknown };
        };
        let chain = known.chain;
        match known.spent_at {
            Some(at) => RefreshState::Spent { chain, at, successor: known.successor },
            None if known.revoked => RefreshState::Revoked { chain },
            None if known.expires_at.is_some_and(|at| at <= now) => RefreshState::Expired { chain },
            None => RefreshState::Live { chain, generation: known.generation },
        }
    }

    /// How an access token or a reference token stands.
    pub(super) fn access_state(&self, token: &str, now: DateTime<Utc>) -> AccessState {
        let token = self.references.get(token).map_or(token, String::as_str);
        let Some(known) = self.access.get(token) else {
            return AccessState::Unknown;
        };
        match (self.pair(known.chain, known.generation), known.revoked) {
            (None, _) => AccessState::Unknown,
            (Some(pair), true) => AccessState::Revoked(pair.clone()),
            (Some(pair), false) => match pair.expires_at {
                Some(at) if at <= now => AccessState::Expired(pair.clone(), at),
                _ => AccessState::Live(pair.clone()),
            },
        }
    }

    /// The access token with that `token_id`.
    pub(super) fn by_id(&self, token_id: &str) -> Option<&str> {
        self.ids.get(token_id).map(String::as_str)
    }

    pub(super) fn pair(&self, chain: ChainId, generation: usize) -> Option<&Pair> {
        self.chains.get(&chain)?.pairs.get(generation)
    }

    /// End of a refresh token's life; `None` is never or no such token.
    pub(super) fn refresh_expires_at(&self, token: &str) -> Option<DateTime<Utc>> {
        self.refresh.get(token)?.expires_at
    }

    pub(super) fn is_foreign(&self, token: &str) -> bool {
        self.foreign.contains(token)
    }

    /// The chain of any token that was ever issued here.
    pub(super) fn chain_of_token(&self, token: &str) -> Option<ChainId> {
        let access = self.references.get(token).map_or(token, String::as_str);
        self.refresh.get(token).map(|known| known.chain).or_else(|| self.access.get(access).map(|known| known.chain))
    }

    fn revoke_access(&mut self, chain: ChainId, generation: usize) {
        let token = self.pair(chain, generation).map(|pair| pair.access_token.clone());
        if let Some(known) = token.and_then(|token| self.access.get_mut(&token)) {
            known.revoked = true;
        }
    }

    /// Revokes one pair: its access, reference and refresh token.
    pub(super) fn revoke_pair(&mut self, pair: &Pair) {
        self.revoke_access(pair.chain, pair.generation);
        if let Some(known) = pair.refresh_token.as_ref().and_then(|token| self.refresh.get_mut(token)) {
            known.revoked = true;
        }
    }

    /// Revokes a chain: every token that was ever issued in it.
    pub fn revoke_chain(&mut self, id: ChainId) {
        self.refresh.values_mut().filter(|known| known.chain == id).for_each(|known| known.revoked = true);
        self.access.values_mut().filter(|known| known.chain == id).for_each(|known| known.revoked = true);
        if let Some(chain) = self.chains.get_mut(&id) {
            chain.revoked = true;
        }
    }

    pub(super) fn record(&mut self, mut entry: Presentation) -> usize {
        entry.number = self.log.len();
        if entry.operation == Operation::Refresh {
            self.double_spends += usize::from(entry.was_spent);
            if let Some(known) = entry.token.as_ref().and_then(|token| self.refresh.get_mut(token)) {
                known.presented += 1;
            }
        }
        self.log.push(entry);
        self.log.len() - 1
    }

    pub(super) fn deliver(&mut self, number: usize, delivery: Delivery) {
        if let Some(entry) = self.log.get_mut(number) {
            entry.delivery = delivery;
        }
    }
}
