//! Host names: how a URL may write one, which are never called, and how a rule names them.

use std::net::IpAddr;

use super::Refused;

/// Names of the cluster itself and of metadata services: they and all below them are never called.
const NEVER: &[&str] = &[
    "svc",
    "cluster.local",
    "kubernetes",
    "kubernetes.default",
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "instance-data",
];

/// A host as a rule names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum HostPattern {
    /// Exactly this name, in lower case.
    Name(String),
    /// Every name that ends in this text, which begins with a dot; at any depth, not the domain itself.
    Below(String),
    /// Exactly this literal address.
    Address(IpAddr),
}

impl HostPattern {
    /// Whether `host` is meant: a name in lower case, or a literal address with or without brackets.
    pub(super) fn matches(&self, host: &str) -> bool {
        match self {
            Self::Name(name) => host == name,
            // A suffix is a name, so no literal address ends in it.
            Self::Below(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
            Self::Address(address) => literal(host) == Some(*address),
        }
    }

    /// Whether this is a name that the operator calls only if a rule names it.
    pub(super) fn needs_naming(&self) -> bool {
        match self {
            Self::Name(name) => needs_naming(name),
            Self::Below(_) | Self::Address(_) => false,
        }
    }
}

/// The address that `host` is, if it is a literal one.
pub(super) fn literal(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    bare.parse().ok()
}

/// Reads a host of the policy file.
pub(super) fn pattern(text: &str) -> Result<HostPattern, String> {
    if let Some(address) = literal(text) {
        return Ok(HostPattern::Address(address));
    }
    let name = text.strip_prefix("*.").unwrap_or(text);
    if !is_name(name) {
        return Err(format!(
            "{text:?} is not a host: write a lower case name, *.domain or an address, without port or final dot"
        ));
    }
    if is_never(name) {
        return Err(format!("{text:?} is never allowed: names of the cluster and of metadata services"));
    }
    if name.len() < text.len() { Ok(HostPattern::Below(format!(".{name}"))) } else { Ok(HostPattern::Name(name.to_owned())) }
}

/// Checks the name of a URL; `named` tells whether a rule names it exactly.
pub(super) fn check(name: &str, named: bool) -> Result<(), Refused> {
    if !is_name(name) {
        return Err(Refused::HostForm);
    }
    if is_never(name) {
        return Err(Refused::HostName);
    }
    if needs_naming(name) && !named {
        return Err(Refused::HostUnnamed);
    }
    Ok(())
}

/// A host name in lower case (RFC 1123 section 2.1, underscores allowed as DNS does), without the dot of the root, whose last
/// label is no number: resolvers read such a name as an IPv4 address (WHATWG URL section 3.5).
fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    let hex = last.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let number = hex || last.bytes().all(|byte| byte.is_ascii_digit());
    name.len() <= 253 && name.split('.').all(label) && !number
}

fn is_never(name: &str) -> bool {
    // The API server's name goes on with the cluster's domain, however that is called.
    name.starts_with("kubernetes.default.")
        || NEVER.iter().any(|never| name.strip_suffix(never).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

/// A single label means whatever the resolver's search list makes of it; `localhost` and all below is this host (RFC 6761
/// section 6.3).
fn needs_naming(name: &str) -> bool {
    !name.contains('.') || name.ends_with(".localhost")
}
