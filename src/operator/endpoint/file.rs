//! The endpoint policy file: strict, small, and every mistake names its rule.

use ipnet::IpNet;
use serde::Deserialize;
use serde_saphyr::Spanned;
use thiserror::Error;

use super::address::{destination, never};
use super::host::{self, HostPattern};
use super::{EndpointPolicy, Rule};

/// Our choice: a file with more bytes is not a policy that a person keeps.
const MOST_BYTES: usize = 256 * 1024;

/// Why an endpoint policy file is refused. Rules count from 1.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum PolicyError {
    /// The file as a whole is not a policy.
    #[error("endpoint policy: {0}")]
    File(String),
    /// One rule is wrong.
    #[error("endpoint policy, rule {rule} (line {line}): {what}")]
    Rule {
        /// Position of the rule, from 1.
        rule: usize,
        /// Line of the file where the rule begins.
        line: u64,
        /// What is wrong and what to write instead.
        what: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rules: Vec<Spanned<serde_json::Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(default)]
    hosts: Vec<String>,
    #[serde(default)]
    addresses: Vec<String>,
    #[serde(default)]
    schemes: Option<Vec<Scheme>>,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Scheme {
    Https,
    Http,
}

pub(super) fn parse(text: &str) -> Result<EndpointPolicy, PolicyError> {
    if text.len() > MOST_BYTES {
        return Err(PolicyError::File("must not be larger than 256 KiB".into()));
    }
    let file: File = serde_saphyr::from_str(text).map_err(|error| PolicyError::File(error.to_string()))?;
    let rules = file.rules.into_iter().enumerate().map(|(index, entry)| {
        let line = entry.referenced.line();
        let read = serde_json::from_value(entry.value).map_err(|error| error.to_string());
        read.and_then(rule).map_err(|what| PolicyError::Rule { rule: index + 1, line, what })
    });
    Ok(EndpointPolicy { rules: rules.collect::<Result<_, _>>()? })
}

fn rule(entry: Entry) -> Result<Rule, String> {
    let hosts = entry.hosts.iter().map(|text| host::pattern(text)).collect::<Result<Vec<_>, _>>()?;
    let networks = entry.addresses.iter().map(|text| network(text)).collect::<Result<Vec<_>, _>>()?;
    let schemes = entry.schemes.unwrap_or(vec![Scheme::Https]);
    if schemes.is_empty() {
        return Err("schemes must name https, http or both".into());
    }
    let http = schemes.contains(&Scheme::Http);
    if http && hosts.is_empty() {
        return Err("schemes with http needs hosts: tokens in clear text are allowed for named hosts only".into());
    }
    if !http && networks.is_empty() && !hosts.iter().any(HostPattern::needs_naming) {
        return Err("allows nothing: rules add to what is allowed (public addresses over https) and never take away".into());
    }
    Ok(Rule { hosts, networks, http })
}

fn network(text: &str) -> Result<IpNet, String> {
    let net: IpNet = text.parse().map_err(|_| format!("{text:?} is not a network such as 10.0.0.0/8"))?;
    if net != net.trunc() {
        return Err(format!("{text:?} has bits behind its prefix: write {}", net.trunc()));
    }
    if destination(net.network()) != net.network() {
        return Err(format!("{text:?} is IPv4 written as IPv6: write the IPv4 network"));
    }
    if never(net) {
        return Err(format!("{text:?} is never allowed: unspecified, link-local, multicast, broadcast or cloud metadata"));
    }
    Ok(net)
}
