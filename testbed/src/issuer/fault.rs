//! Faults: what goes wrong on the way to the issuer and back, for which requests, and how often.
//!
//! Drawing a fault is pure; playing it is the business of the wire (here the server, elsewhere a simulation).

use serde::{Deserialize, Serialize};

use super::core::Target;
use super::record::{Api, ChainId, Operation};

/// One thing that goes wrong. In JSON: `{"type": "dropAnswer", …}` with the fields in camelCase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Fault {
    /// Wait before processing, and again before answering. Joins with another fault on the same request.
    Delay {
        /// Milliseconds between the last byte of the request and its processing.
        #[serde(default)]
        before_ms: u64,
        /// Milliseconds between processing and the first byte of the answer.
        #[serde(default)]
        answer_ms: u64,
    },
    /// Process, then close the connection without a byte of answer.
    DropAnswer {
        /// Close with RST and not with FIN.
        #[serde(default)]
        reset: bool,
    },
    /// Read the whole request, process nothing, close with RST.
    ResetBefore,
    /// Answer with this in place of the issuer's answer.
    Status {
        /// The status code.
        code: u16,
        /// Headers such as `Retry-After`.
        #[serde(default)]
        headers: Vec<(String, String)>,
        /// The body.
        #[serde(default)]
        body: String,
        /// Process the request all the same, as when a gateway loses the answer. Default: not processed.
        #[serde(default)]
        process: bool,
    },
    /// Process, then answer 200 with these bytes as `application/json`.
    Malformed {
        /// The body.
        body: String,
    },
    /// Process, then send the head and only the first bytes of the body.
    Truncate {
        /// How many bytes of the body are sent.
        keep: usize,
        /// Cut inside a chunk and not below a `content-length`.
        #[serde(default)]
        chunked: bool,
    },
    /// Never answer; the connection stays open until the client gives up.
    Hang {
        /// Process the request all the same. Default: not processed.
        #[serde(default)]
        process: bool,
    },
}

impl Fault {
    /// Whether the issuer processes the request under this fault.
    #[must_use]
    pub fn processes(&self) -> bool {
        match self {
            Self::Delay { .. } | Self::DropAnswer { .. } | Self::Malformed { .. } | Self::Truncate { .. } => true,
            Self::ResetBefore => false,
            Self::Status { process, .. } | Self::Hang { process } => *process,
        }
    }
}

fn once() -> usize {
    1
}

/// A fault, the requests it is for, and how many of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// Only this API.
    #[serde(default)]
    pub api: Option<Api>,
    /// Only this operation; refresh unless said otherwise, because that is what everything here is about.
    #[serde(default = "refresh")]
    pub operation: Option<Operation>,
    /// Only this chain.
    #[serde(default)]
    pub chain: Option<ChainId>,
    /// Only chains of this user or subject.
    #[serde(default)]
    pub subject: Option<String>,
    /// Let this many matching requests pass first.
    #[serde(default)]
    pub after: usize,
    /// Then strike this many.
    #[serde(default = "once")]
    pub times: usize,
    /// What happens.
    pub fault: Fault,
}

#[expect(clippy::unnecessary_wraps, reason = "serde wants the type of the field")]
fn refresh() -> Option<Operation> {
    Some(Operation::Refresh)
}

impl Rule {
    /// The fault once, for the next refresh of any chain.
    #[must_use]
    pub fn once(fault: Fault) -> Self {
        Self { api: None, operation: refresh(), chain: None, subject: None, after: 0, times: 1, fault }
    }

    /// The same rule for that many requests.
    #[must_use]
    pub fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    /// The same rule after that many requests.
    #[must_use]
    pub fn after(self, after: usize) -> Self {
        Self { after, ..self }
    }

    /// The same rule for one API.
    #[must_use]
    pub fn on(self, api: Api) -> Self {
        Self { api: Some(api), ..self }
    }

    /// The same rule for another operation.
    #[must_use]
    pub fn operation(self, operation: Operation) -> Self {
        Self { operation: Some(operation), ..self }
    }

    /// The same rule for one chain.
    #[must_use]
    pub fn chain(self, chain: ChainId) -> Self {
        Self { chain: Some(chain), ..self }
    }

    fn fits(&self, target: &Target) -> bool {
        self.times > 0
            && self.api.is_none_or(|api| api == target.api)
            && self.operation.is_none_or(|operation| operation == target.operation)
            && self.chain.is_none_or(|chain| Some(chain) == target.chain)
            && self.subject.as_ref().is_none_or(|subject| Some(subject) == target.subject.as_ref())
    }

    /// Counts one matching request; true when the fault strikes it.
    fn strikes(&mut self) -> bool {
        if self.after > 0 {
            self.after -= 1;
            return false;
        }
        self.times -= 1;
        true
    }
}

/// What is to happen to one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Milliseconds before processing.
    pub before_ms: u64,
    /// Milliseconds before answering.
    pub answer_ms: u64,
    /// Anything but a delay.
    pub fault: Option<Fault>,
}

/// The faults that are armed, in the order they were set.
#[derive(Debug, Default)]
pub struct Faults(Vec<Rule>);

impl Faults {
    /// Arms a rule behind the others.
    pub fn arm(&mut self, rule: Rule) {
        self.0.push(rule);
    }

    /// Disarms all.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The rules that have not struck as often as they should.
    #[must_use]
    pub fn armed(&self) -> &[Rule] {
        &self.0
    }

    /// The first delay and the first other fault that fit.
    pub(super) fn take(&mut self, target: &Target) -> Plan {
        let mut plan = Plan::default();
        let mut delayed = false;
        for rule in &mut self.0 {
            let delay = matches!(rule.fault, Fault::Delay { .. });
            let taken = if delay { delayed } else { plan.fault.is_some() };
            if taken || !rule.fits(target) || !rule.strikes() {
                continue;
            }
            match rule.fault {
                Fault::Delay { before_ms, answer_ms } => (delayed, plan.before_ms, plan.answer_ms) = (true, before_ms, answer_ms),
                _ => plan.fault = Some(rule.fault.clone()),
            }
        }
        self.0.retain(|rule| rule.times > 0);
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(chain: u64) -> Target {
        Target {
            api: Api::JfrogAccess,
            operation: Operation::Refresh,
            token: None,
            bearer: None,
            chain: Some(ChainId(chain)),
            subject: None,
        }
    }

    #[test]
    fn a_rule_strikes_its_chain_as_often_as_it_says_and_not_before_it_says() {
        let mut faults = Faults::default();
        faults.arm(Rule::once(Fault::ResetBefore).chain(ChainId(1)).after(1).times(2));
        assert_eq!(faults.take(&target(2)).fault, None);
        let struck: Vec<_> = (0..4).map(|_| faults.take(&target(1)).fault.is_some()).collect();
        assert_eq!(struck, [false, true, true, false]);
        assert!(faults.armed().is_empty());
    }

    #[test]
    fn a_delay_joins_another_fault_and_two_faults_take_turns() {
        let mut faults = Faults::default();
        faults.arm(Rule::once(Fault::DropAnswer { reset: false }));
        faults.arm(Rule::once(Fault::Delay { before_ms: 5, answer_ms: 6 }));
        faults.arm(Rule::once(Fault::ResetBefore));
        let first = faults.take(&target(1));
        assert_eq!(first, Plan { before_ms: 5, answer_ms: 6, fault: Some(Fault::DropAnswer { reset: false }) });
        assert_eq!(faults.take(&target(1)), Plan { fault: Some(Fault::ResetBefore), ..Plan::default() });
    }

    #[test]
    fn rules_are_read_from_json() {
        let rule: Rule =
            serde_json::from_str(r#"{"api":"oauth2","fault":{"type":"status","code":503,"headers":[["retry-after","7"]]}}"#)
                .unwrap();
        let fault =
            Fault::Status { code: 503, headers: vec![("retry-after".into(), "7".into())], body: String::new(), process: false };
        assert_eq!(rule, Rule::once(fault).on(Api::Oauth2));
        assert!(serde_json::from_str::<Rule>(r#"{"fault":{"type":"resetBefore"},"tims":2}"#).is_err());
    }
}
