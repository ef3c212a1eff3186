//! An issuer of tokens, made of values: it knows the newest token of every chain and sees each one that is presented.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use refreshable_token_operator::provider::{RawBody, Reply, TokenRequest};
use refreshable_token_operator::refresh::exchange::Question;
use serde_json::json;

/// What the issuer does with a refresh token that was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It works once; a second presentation revokes its chain.
    Strict,
    /// It works once, and for so many seconds after its first use brings the same pair again.
    Grace(i32),
    /// It works once, and brings the same pair again under the same key.
    IdempotencyKey,
    /// It stays valid.
    Reusable,
    /// There is none: the client's credentials bring an access token each time.
    Reissue,
}

/// One chain of tokens.
#[derive(Clone, Debug)]
pub struct Chain {
    pub current: String,
    pub access: String,
    pub revoked: bool,
    spent: BTreeSet<String>,
    last_use: Option<(String, DateTime<Utc>)>,
    last_key: Option<String>,
    serial: u32,
}

#[derive(Clone, Debug)]
pub struct Issuer {
    pub kind: Kind,
    pub chains: Vec<Chain>,
    /// Spent tokens that were presented again outside any grace.
    pub replays: Vec<String>,
    /// Requests that were handled.
    pub handled: u32,
    /// Its answers hold no access token.
    pub withholds: bool,
    /// What it answers to every question.
    pub evades: Option<u16>,
    /// It accepts no access token.
    pub distrusts: bool,
    /// Access tokens that were revoked, in order.
    pub retired: Vec<String>,
    /// Questions that were answered.
    pub questions: Vec<Question>,
}

impl Issuer {
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            chains: Vec::new(),
            replays: Vec::new(),
            handled: 0,
            withholds: false,
            evades: None,
            distrusts: false,
            retired: Vec::new(),
            questions: Vec::new(),
        }
    }

    /// Answers a question, which spends nothing (RFC 7662, RFC 7009).
    pub fn asked(&mut self, question: Question, request: &TokenRequest) -> Reply {
        self.questions.push(question);
        if let Some(status) = self.evades {
            return reply(status, "{}");
        }
        let body = request.body.as_ref().unwrap().content.reveal().to_owned();
        let token = body.split('&').find_map(|pair| pair.strip_prefix("token=")).unwrap().to_owned();
        let chain = self.chain();
        let active = !chain.revoked && (chain.current == token || chain.access == token && !self.distrusts);
        match question {
            Question::Probe | Question::Verification => reply(200, &json!({ "active": active }).to_string()),
            Question::Retirement => {
                assert_ne!(token, chain.access, "the newest access token is revoked");
                self.retired.push(token);
                reply(200, "")
            }
            Question::Step => panic!("this API has no steps"),
        }
    }

    /// Begins a chain and gives its first refresh token.
    pub fn begin(&mut self) -> String {
        let family = self.chains.len();
        let current = format!("refresh-{family}-0");
        self.chains.push(Chain {
            current: current.clone(),
            access: format!("access-{family}-0"),
            revoked: false,
            spent: BTreeSet::new(),
            last_use: None,
            last_key: None,
            serial: 0,
        });
        current
    }

    /// The newest chain.
    pub fn chain(&self) -> &Chain {
        self.chains.last().unwrap()
    }

    /// Handles a refresh request.
    pub fn present(&mut self, token: &str, key: Option<&str>, now: DateTime<Utc>) -> Reply {
        self.handled += 1;
        let kind = self.kind;
        if kind == Kind::Reissue {
            assert_eq!(token, "", "a token was presented where none is asked for");
            let chain = self.chains.last_mut().unwrap();
            chain.serial += 1;
            chain.access = format!("anew-{}", chain.serial);
            return grant(&chain.access, None);
        }
        let owner = self.chains.iter_mut().enumerate().find(|(_, c)| c.current == token || c.spent.contains(token));
        let Some((family, chain)) = owner.filter(|(_, chain)| !chain.revoked) else { return refusal("invalid_grant") };
        if chain.current != token {
            let window = if let Kind::Grace(seconds) = kind { TimeDelta::seconds(seconds.into()) } else { TimeDelta::zero() };
            if kind == Kind::IdempotencyKey && key.is_some() && chain.last_key.as_deref() == key {
                return grant(&chain.access, Some(&chain.current));
            }
            let graced = chain.last_use.as_ref().is_some_and(|(used, at)| used == token && now - *at < window);
            if graced {
                return grant(&chain.access, Some(&chain.current));
            }
            chain.revoked = true;
            self.replays.push(token.to_owned());
            return refusal("invalid_grant");
        }
        chain.serial += 1;
        chain.access = format!("access-{family}-{}", chain.serial);
        if kind == Kind::Reusable {
            return grant(&chain.access, None);
        }
        chain.spent.insert(std::mem::replace(&mut chain.current, format!("refresh-{family}-{}", chain.serial)));
        chain.last_use = Some((token.to_owned(), now));
        chain.last_key = key.map(str::to_owned);
        if self.withholds {
            return reply(200, &json!({"refresh_token": chain.current}).to_string());
        }
        grant(&chain.access, Some(&chain.current))
    }
}

fn grant(access: &str, refresh: Option<&str>) -> Reply {
    let mut body = json!({"access_token": access, "token_type": "Bearer", "expires_in": 3600});
    if let Some(refresh) = refresh {
        body["refresh_token"] = refresh.into();
    }
    reply(200, &body.to_string())
}

pub fn refusal(code: &str) -> Reply {
    reply(400, &json!({ "error": code }).to_string())
}

pub fn reply(status: u16, body: &str) -> Reply {
    Reply { status, headers: vec![("retry-after".into(), "120".into())], body: RawBody(body.as_bytes().to_vec()) }
}
