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
    Ok(EndpointPolicy { rules: rules.collect::<Result<_, _>>()?, ..EndpointPolicy::default() })
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

#[cfg(test)]
mod tests {
    use super::EndpointPolicy;

    #[test]
    fn the_documented_example_is_a_policy() {
        let page = include_str!("../endpoint.rs");
        let example = page.split("/// ```yaml\n").nth(1).and_then(|rest| rest.split("/// ```").next()).unwrap();
        let policy = EndpointPolicy::from_yaml(&example.replace("/// ", "")).unwrap();
        assert_eq!(policy.rules.len(), 2);
        assert!(policy.check_url("http://127.0.0.1:8080/").is_ok());
    }

    #[test]
    fn mistakes_in_the_file_are_named_with_their_rule() {
        let second = |rule: &str| format!("rules:\n- addresses: [10.0.0.0/8]\n- {rule}\n");
        for (rule, part) in [
            ("{address: [10.0.0.0/8]}", "unknown field `address`"),
            ("{addresses: [10.0.0.1/8]}", "write 10.0.0.0/8"),
            ("{addresses: [10.0.0.1]}", "is not a network"),
            ("{addresses: [corp.example.com]}", "is not a network"),
            ("{addresses: [169.254.0.0/16]}", "never allowed"),
            ("{addresses: [169.254.169.254/32]}", "never allowed"),
            ("{addresses: [\"fe80::/64\"]}", "never allowed"),
            ("{addresses: [\"fd00:ec2::/64\"]}", "never allowed"),
            ("{addresses: [\"::ffff:10.0.0.0/104\"]}", "write the IPv4 network"),
            ("{hosts: [kubernetes.default.svc], addresses: [10.0.0.0/8]}", "never allowed"),
            ("{hosts: [\"*.svc\"], addresses: [10.0.0.0/8]}", "never allowed"),
            ("{hosts: [\"*\"], addresses: [10.0.0.0/8]}", "is not a host"),
            ("{hosts: [Art.example.com], addresses: [10.0.0.0/8]}", "is not a host"),
            ("{hosts: [\"art.example.com:443\"], addresses: [10.0.0.0/8]}", "is not a host"),
            ("{hosts: [\"https://art.example.com\"], addresses: [10.0.0.0/8]}", "is not a host"),
            ("{hosts: [\"a*.example.com\"], addresses: [10.0.0.0/8]}", "is not a host"),
            ("{hosts: [\"2130706433\"], addresses: [10.0.0.0/8]}", "is not a host"),
            ("{hosts: [art.example.com]}", "allows nothing"),
            ("{}", "allows nothing"),
            ("{schemes: [http]}", "needs hosts"),
            ("{hosts: [art.example.com], schemes: []}", "schemes must name"),
            ("{hosts: [art.example.com], schemes: [ftp]}", "unknown variant `ftp`"),
            ("{hosts: art.example.com, addresses: [10.0.0.0/8]}", "expected a sequence"),
        ] {
            let told = EndpointPolicy::from_yaml(&second(rule)).unwrap_err().to_string();
            assert!(told.starts_with("endpoint policy, rule 2 (line 3): ") && told.contains(part), "{rule}: {told}");
        }
        for file in [
            "",
            "{}",
            "rule: []",
            "rules: {}",
            "rules: []\nrules: []",
            "rules: []\nrule: []",
            "- a",
            "rules:\n- a: 1\n  a: 2",
            "rules: [\n",
        ] {
            let told = EndpointPolicy::from_yaml(file).unwrap_err().to_string();
            assert!(told.starts_with("endpoint policy"), "{file:?}: {told}");
        }
        assert!(EndpointPolicy::from_yaml(&format!("rules: []\n#{}", "x".repeat(300 * 1024))).is_err());
        assert_eq!(EndpointPolicy::from_yaml("rules: []"), Ok(EndpointPolicy::default()));
    }
}
