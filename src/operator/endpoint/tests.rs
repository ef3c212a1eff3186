//! Tables of endpoints, hostile and good, and of policy files.

use std::net::IpAddr;

use super::hostile::{HOSTILE, LASTING, NEVER, UNLISTED, hostile, widest};
use super::{EndpointPolicy, Reach, Refused};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn policy(text: &str) -> EndpointPolicy {
    EndpointPolicy::from_yaml(text).unwrap()
}

#[test]
fn hostile_urls_are_refused() {
    assert!(HOSTILE.len() >= 200, "{}", HOSTILE.len());
    for (url, why) in hostile(8443) {
        assert_eq!(EndpointPolicy::default().check_url(&url), Err(why), "{url:?}");
    }
}

#[test]
fn lengths_have_limits() {
    let told = |url: String| EndpointPolicy::default().check_url(&url).err();
    let path = |length: usize| format!("https://art.example.com/{}", "x".repeat(length - 24));
    assert_eq!((told(path(2048)), told(path(2049))), (None, Some(Refused::NotAUrl)));
    let label = |length: usize| format!("https://{}.example.com/", "x".repeat(length));
    assert_eq!((told(label(63)), told(label(64))), (None, Some(Refused::HostForm)));
    let name = |length: usize| format!("https://{}com/", "x.".repeat((length - 3) / 2));
    assert_eq!((told(name(253)), told(name(255))), (None, Some(Refused::HostForm)));
}

#[test]
fn plain_https_urls_to_public_hosts_are_allowed() {
    for url in [
        "https://art.example.com",
        "HTTPS://Art.Example.COM/",
        "https://art.example.com:8443/access/api/v1/tokens",
        "https://idp.example.com/oauth2/token?tenant=a@b",
        "https://art_1.example.com/",
        "https://xn--bcher-kva.example/",
        "https://svc.example.com/",
        "https://kubernetes.example.com/",
        "https://notlocalhost.example/",
        "https://8.8.8.8/",
        "https://[2606:4700::1111]:443/",
        "https://[64:ff9b::808:808]/",
    ] {
        assert!(EndpointPolicy::default().check_url(url).is_ok(), "{url}");
    }
}

#[test]
fn the_widest_file_cannot_allow_what_is_never_allowed() {
    for (url, why) in hostile(8443).filter(|(_, why)| LASTING.contains(why)) {
        assert_eq!(widest().check_url(&url), Err(why), "{url:?}");
    }
    for address in NEVER.split_whitespace() {
        assert_eq!(widest().check_address("art.example.com", ip(address)), Err(Refused::Address), "{address}");
    }
}

#[test]
fn addresses_are_refused_by_default_in_every_dress() {
    for address in UNLISTED.split_whitespace() {
        let told = EndpointPolicy::default().check_address("art.example.com", ip(address));
        assert_eq!(told, Err(Refused::AddressUnlisted), "{address}");
        assert_eq!(widest().check_address("art.example.com", ip(address)), Ok(()), "{address}");
    }
    for address in NEVER.split_whitespace() {
        let told = EndpointPolicy::default().check_address("art.example.com", ip(address));
        assert!(told.is_err(), "{address}");
    }
}

#[test]
fn the_word_of_the_cluster_reaches_private_addresses_and_no_others() {
    let own = EndpointPolicy::default().reaching(Reach::Cluster);
    for address in
        ["10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.7.8", "fd12:3456::1", "::ffff:10.1.2.3", "64:ff9b::a01:203"]
    {
        assert_eq!(own.check_address("art.example.com", ip(address)), Ok(()), "{address}");
        let others = EndpointPolicy::default().check_address("art.example.com", ip(address));
        assert_eq!(others, Err(Refused::AddressUnlisted), "{address}");
    }
    for address in ["127.0.0.1", "::1", "100.64.0.1", "172.32.0.1", "192.0.2.1", "198.18.0.1", "2001:db8::1", "2002:7f00:1::"] {
        let told = own.check_address("art.example.com", ip(address));
        let public = EndpointPolicy::default().check_address("art.example.com", ip(address));
        assert_eq!(told, public, "{address}");
    }
    for address in NEVER.split_whitespace() {
        assert!(own.check_address("art.example.com", ip(address)).is_err(), "{address}");
    }
}

#[test]
fn public_addresses_need_no_rule() {
    let public = "\
        8.8.8.8 1.1.1.1 9.255.255.255 11.0.0.0 172.15.255.255 172.32.0.0 192.167.255.255 192.169.0.0 100.63.255.255 \
        100.128.0.0 126.255.255.255 128.0.0.0 198.17.255.255 198.20.0.0 223.255.255.255 169.253.255.255 169.255.0.0 \
        2606:4700::1111 2a00:1450::1 ::ffff:8.8.8.8 64:ff9b::808:808 2a00::5efe:808:808";
    for address in public.split_whitespace() {
        assert_eq!(EndpointPolicy::default().check_address("art.example.com", ip(address)), Ok(()), "{address}");
    }
}

#[test]
fn a_listed_tunnel_does_not_open_the_network_inside_it() {
    let policy = policy("rules:\n- addresses: [\"2002::/16\"]\n");
    assert_eq!(policy.check_address("a.example.com", ip("2002:808:808::1")), Ok(()));
    assert_eq!(policy.check_address("a.example.com", ip("2002:a00:1::1")), Err(Refused::AddressUnlisted));
    assert_eq!(policy.check_address("a.example.com", ip("10.0.0.1")), Err(Refused::AddressUnlisted));
}

#[test]
fn an_ipv6_rule_does_not_open_ipv4() {
    let policy = policy("rules:\n- addresses: [\"::/0\"]\n");
    assert_eq!(policy.check_address("a.example.com", ip("::ffff:10.0.0.1")), Err(Refused::AddressUnlisted));
    assert_eq!(policy.check_address("a.example.com", ip("fd12::1")), Ok(()));
}

#[test]
fn rules_add_up_for_the_hosts_they_name_and_no_other() {
    let policy = policy(
        "rules:\n\
         - hosts: [art.corp.example.com, \"*.tools.example.com\", art]\n  addresses: [10.0.0.0/8]\n\
         - hosts: [art.corp.example.com, \"127.0.0.1\", \"::1\", localhost]\n  addresses: [127.0.0.0/8, \"::1/128\"]\n  schemes: [http]\n",
    );
    for (url, allowed) in [
        ("http://art.corp.example.com/", true),
        ("https://art.corp.example.com/", true),
        ("http://ART.corp.example.com/", true),
        ("http://a.tools.example.com/", false),
        ("https://art/", true),
        ("http://art/", false),
        ("https://other/", false),
        ("http://127.0.0.1:8080/", true),
        ("http://127.0.0.2:8080/", false),
        ("https://127.0.0.2/", false),
        ("https://[::1]/", true),
        ("http://[0:0::1]:80/", true),
        ("http://localhost/", true),
        ("http://localhost.example.com/", false),
    ] {
        assert_eq!(policy.check_url(url).is_ok(), allowed, "{url}");
    }
    for (host, address, allowed) in [
        ("art.corp.example.com", "10.1.2.3", true),
        ("art.corp.example.com", "::ffff:10.1.2.3", true),
        ("art.corp.example.com", "64:ff9b::a01:203", true),
        ("ART.Corp.example.com", "127.0.0.1", true),
        ("x.art.corp.example.com", "10.1.2.3", false),
        ("a.tools.example.com", "10.1.2.3", true),
        ("a.b.tools.example.com", "10.1.2.3", true),
        ("tools.example.com", "10.1.2.3", false),
        ("eviltools.example.com", "10.1.2.3", false),
        ("a.tools.example.com", "127.0.0.1", false),
        ("a.tools.example.com", "192.168.0.1", false),
        ("a.tools.example.com.evil.example", "10.1.2.3", false),
    ] {
        assert_eq!(policy.check_address(host, ip(address)).is_ok(), allowed, "{host} {address}");
    }
}

#[test]
fn a_proxy_is_judged_as_a_token_api_is() {
    let default = EndpointPolicy::default();
    for url in
        ["http://proxy.example.com:3128", "http://proxy.example.com/", "HTTP://8.8.8.8:3128", "http://[2606:4700::1111]:3128/"]
    {
        assert!(default.check_proxy(url).is_ok(), "{url}");
    }
    for (url, why) in [
        ("https://proxy.example.com:3128", Refused::ProxyForm),
        ("http://proxy.example.com:3128/path", Refused::ProxyForm),
        ("http://proxy.example.com:3128?query", Refused::ProxyForm),
        ("http://user:password@proxy.example.com:3128", Refused::UserInfo),
        ("http://proxy.example.com:3128#x", Refused::Fragment),
        ("http://proxy.example.com:0", Refused::HostForm),
        ("socks5://proxy.example.com:1080", Refused::Scheme),
        ("http://proxy:3128", Refused::HostUnnamed),
        ("http://10.0.0.1:3128", Refused::AddressUnlisted),
        ("http://127.0.0.1:3128", Refused::AddressUnlisted),
        ("http://169.254.169.254", Refused::Address),
        ("http://proxy.kube-system.svc:3128", Refused::HostName),
    ] {
        assert_eq!(default.check_proxy(url).err(), Some(why), "{url}");
    }
    for (url, _) in hostile(8443).filter(|(_, why)| *why != Refused::Scheme) {
        assert!(default.check_proxy(&url.replace("https:", "http:")).is_err(), "{url:?}");
    }
    // A rule for the host is enough: tokens in clear text need another one.
    let own = policy("rules:\n- hosts: [proxy, 10.0.0.1]\n  addresses: [10.0.0.0/8]\n");
    assert!(own.check_proxy("http://proxy:3128").is_ok() && own.check_proxy("http://10.0.0.1:3128").is_ok());
    assert_eq!(own.check_url("http://10.0.0.1:3128").err(), Some(Refused::Scheme));
    let cluster = default.reaching(Reach::Cluster);
    assert!(cluster.check_proxy("http://10.0.0.1:3128").is_ok() && cluster.check_proxy("http://127.0.0.1:3128").is_err());
}
