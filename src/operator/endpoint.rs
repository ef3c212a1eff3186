//! Where the operator may send a token: a check of the URL before anything is resolved, and of each address before a connection.
//!
//! Nothing here resolves or connects; [`transport`](super::transport) asks both questions for every request, so that a name
//! that changes its address between two look-ups (DNS rebinding) is judged by the address that is connected to.

mod address;
mod file;
mod host;
#[cfg(test)]
pub(crate) mod hostile;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use ipnet::IpNet;
use thiserror::Error;
use url::{Host, Url};

use address::{Standing, destination, hidden, private, standing};
pub use file::PolicyError;
use host::HostPattern;

/// What the operator may call. The default is public addresses over `https`; rules of a file add to it.
///
/// Never allowed, whatever a rule says: unspecified, link-local, multicast and broadcast addresses, the metadata services of
/// clouds, and the names `svc`, `cluster.local`, `kubernetes`, `kubernetes.default`, `metadata`, `metadata.google.internal`,
/// `metadata.goog` and `instance-data` with all below them. Allowed only where a rule lists the address: loopback, private,
/// shared, documentation, benchmark and reserved networks, everything of IPv6 outside of 2000::/3, and tunnel forms. Allowed
/// only where a rule names the host: a name of one label, and `localhost`.
///
/// ```yaml
/// rules:
/// # Hosts of our own network, over https.
/// - hosts: ["art.corp.example.com", "*.tools.corp.example.com"]
///   addresses: ["10.0.0.0/8", "fd12:3456::/32"]
/// # A simulator on this machine, without TLS.
/// - hosts: ["127.0.0.1", "localhost"]
///   addresses: ["127.0.0.0/8", "::1/128"]
///   schemes: [https, http]
/// ```
///
/// - `hosts`: as the URL writes them, in lower case: a name, `*.domain` (any depth, not the domain itself) or a literal
///   address. Default: every host that needs no naming.
/// - `addresses`: networks that these hosts may resolve to beside public addresses. IPv4 as IPv4, also where the resolver
///   gives it mapped into IPv6 or behind NAT64.
/// - `schemes`: `https`, `http` or both; `http` only with `hosts`. Default: `[https]`. `https` stays allowed in any case.
///
/// The address of a proxy is judged as that of a token API; see [`check_proxy`](Self::check_proxy).
///
/// What the rules that match a host allow adds up. A rule that adds nothing is refused, because it looks like a limit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EndpointPolicy {
    rules: Vec<Rule>,
    reach: Reach,
}

/// Whose word it is that an address may be called.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Reach {
    /// Somebody's who may write objects in a namespace: private addresses need a rule.
    #[default]
    Namespace,
    /// An administrator's, in a `ClusterTokenProvider`: private addresses of RFC 1918 and RFC 4193 need none.
    Cluster,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Rule {
    /// Empty: any host.
    hosts: Vec<HostPattern>,
    networks: Vec<IpNet>,
    http: bool,
}

impl Rule {
    fn matches(&self, host: &str) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|pattern| pattern.matches(host))
    }
}

/// Why an endpoint is refused. Holds nothing of the URL.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
pub enum Refused {
    /// Not an absolute URL in plain form.
    #[error("the URL is not absolute, holds characters that are not visible ASCII, or is over 2048 characters")]
    NotAUrl,
    /// Neither `https` nor allowed `http`.
    #[error("the URL must begin with https:// (http:// needs a rule of the endpoint policy that names the host)")]
    Scheme,
    /// No address of a proxy.
    #[error("the address of a proxy must be http:// with a host and a port")]
    ProxyForm,
    /// `user:password@`.
    #[error("the URL must not hold user information")]
    UserInfo,
    /// `#fragment`.
    #[error("the URL must not hold a fragment")]
    Fragment,
    /// A second spelling of a host.
    #[error("the host must be a plain name, a dotted IPv4 address or an IPv6 address in brackets; the port must not be 0")]
    HostForm,
    /// A name of the cluster or of a metadata service.
    #[error("the host is a name of the cluster or of a metadata service, which is never allowed")]
    HostName,
    /// A name that only a rule can allow.
    #[error("the host is a single label or localhost, which needs a rule of the endpoint policy that names it")]
    HostUnnamed,
    /// An address that only a rule can allow.
    #[error("the address is not public and no rule of the endpoint policy lists it for this host")]
    AddressUnlisted,
    /// An address that nothing can allow.
    #[error("the address is unspecified, link-local, multicast, broadcast or of a metadata service, which is never allowed")]
    Address,
}

impl EndpointPolicy {
    /// Reads a policy file; the format is above.
    pub fn from_yaml(text: &str) -> Result<Self, PolicyError> {
        file::parse(text)
    }

    /// The same rules for somebody else's word.
    #[must_use]
    pub fn reaching(&self, reach: Reach) -> Self {
        Self { rules: self.rules.clone(), reach }
    }

    /// Everything that can be told without DNS; literal addresses are judged here.
    ///
    /// The host must be written as it is understood, so that no second reader of the same text (CRD rule, resolver, log) sees
    /// another host: `2130706433`, `0x7f.1`, percent signs, backslashes and characters beyond ASCII are refused.
    pub fn check_url(&self, text: &str) -> Result<Url, Refused> {
        let url = self.check_place(text)?;
        let http = url.scheme() == "http" && self.matching(url.host_str().unwrap_or_default()).any(|rule| rule.http);
        if url.scheme() == "https" || http { Ok(url) } else { Err(Refused::Scheme) }
    }

    /// As [`check_url`](Self::check_url), for the address of a proxy: a host and a port. They are judged as those of a token API are. Its
    /// `http` needs no rule: a tunnel is asked for in clear text, and no token goes outside of it.
    pub fn check_proxy(&self, text: &str) -> Result<Url, Refused> {
        let url = self.check_place(text)?;
        if url.scheme() != "http" {
            return Err(Refused::ProxyForm);
        }
        let bare = url.path() == "/" && url.query().is_none();
        if bare { Ok(url) } else { Err(Refused::ProxyForm) }
    }

    /// What holds for every URL: its form, its host, its port.
    fn check_place(&self, text: &str) -> Result<Url, Refused> {
        let written = written_host(text)?;
        let url = Url::parse(text).map_err(|_| Refused::NotAUrl)?;
        if url.fragment().is_some() {
            return Err(Refused::Fragment);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::UserInfo);
        }
        let host = url.host_str().unwrap_or_default();
        match url.host() {
            Some(Host::Domain(name)) if written.eq_ignore_ascii_case(name) => host::check(name, self.names(name))?,
            Some(Host::Ipv4(ip)) if written == host => self.check_address(host, ip.into())?,
            Some(Host::Ipv6(ip)) if written.starts_with('[') => self.check_address(host, ip.into())?,
            _ => return Err(Refused::HostForm),
        }
        if url.port() == Some(0) { Err(Refused::HostForm) } else { Ok(url) }
    }

    /// Whether `host`, a name or a literal address, may be called at `ip`.
    ///
    /// A name with several addresses must pass with each: a resolver that answers with one good and one bad address is either
    /// misconfigured or hostile, and the bad one might be tried first.
    pub fn check_address(&self, host: &str, ip: IpAddr) -> Result<(), Refused> {
        let host = host.to_ascii_lowercase();
        let ip = destination(ip);
        match standing(ip) {
            Standing::Public => Ok(()),
            Standing::Listed if self.lists(&host, ip) => Ok(()),
            Standing::Listed => Err(Refused::AddressUnlisted),
            Standing::Never => Err(Refused::Address),
        }?;
        hidden(ip).map_or(Ok(()), |inner| self.check_address(&host, inner.into()))
    }

    fn matching<'a>(&'a self, host: &'a str) -> impl Iterator<Item = &'a Rule> {
        self.rules.iter().filter(move |rule| rule.matches(host))
    }

    fn lists(&self, host: &str, ip: IpAddr) -> bool {
        let own = self.reach == Reach::Cluster && private(ip);
        own || self.matching(host).any(|rule| rule.networks.iter().any(|net| net.contains(&ip)))
    }

    fn names(&self, name: &str) -> bool {
        self.matching(name).any(|rule| rule.hosts.contains(&HostPattern::Name(name.to_owned())))
    }
}

/// The host as the text writes it, without port; refuses what the URL standard forgives (WHATWG URL section 4.4: white space,
/// backslashes, missing or surplus slashes).
fn written_host(text: &str) -> Result<&str, Refused> {
    /// Our choice: twice the longest URL that the CRD admits.
    const MOST: usize = 2048;
    let plain = text.len() <= MOST && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let (scheme, rest) = text.split_once("://").filter(|_| plain).ok_or(Refused::NotAUrl)?;
    if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
        return Err(Refused::Scheme);
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(Refused::UserInfo);
    }
    let behind = authority.rfind(']').map_or(authority, |end| authority.get(end..).unwrap_or_default());
    let host = if behind.contains(':') { authority.rsplit_once(':').map_or(authority, |(host, _)| host) } else { authority };
    if host.is_empty() { Err(Refused::NotAUrl) } else { Ok(host) }
}
