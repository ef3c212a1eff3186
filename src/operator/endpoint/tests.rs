//! Tables of endpoints, hostile and good, and of policy files.

use std::net::IpAddr;

use super::{EndpointPolicy, Refused};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn policy(text: &str) -> EndpointPolicy {
    EndpointPolicy::from_yaml(text).unwrap()
}

/// Allows as much as a file can, so that what it refuses is refused always.
fn widest() -> EndpointPolicy {
    policy("rules:\n- addresses: [\"0.0.0.0/0\", \"::/0\"]\n- hosts: [localhost, art, \"*.com\"]\n  schemes: [http]\n")
}

/// URLs that the default policy refuses, and why.
const HOSTILE: &[(&str, Refused)] = &[
    ("", Refused::NotAUrl),
    ("art.example.com", Refused::NotAUrl),
    ("//art.example.com/", Refused::NotAUrl),
    ("https:art.example.com", Refused::NotAUrl),
    ("https:/art.example.com", Refused::NotAUrl),
    ("https:///art.example.com", Refused::NotAUrl),
    ("https://", Refused::NotAUrl),
    ("https://:443/", Refused::NotAUrl),
    (" https://art.example.com", Refused::NotAUrl),
    ("https://art.example.com/a b", Refused::NotAUrl),
    ("https://art.exa\tmple.com", Refused::NotAUrl),
    ("https://art.example.com\r\nHost: x", Refused::NotAUrl),
    ("https://art.example.com/\u{0}", Refused::NotAUrl),
    ("https:\\\\art.example.com", Refused::NotAUrl),
    ("https://art.example.com\\@127.0.0.1/", Refused::NotAUrl),
    ("https://art.example.com:65536/", Refused::NotAUrl),
    ("https://art.example.com:port/", Refused::NotAUrl),
    ("https://[::1", Refused::NotAUrl),
    ("https://[fe80::1%25eth0]/", Refused::NotAUrl),
    ("https://1.2.3.4.5/", Refused::NotAUrl),
    ("https://256.1.1.1/", Refused::NotAUrl),
    ("https://ａrt.example.com/", Refused::NotAUrl),
    ("https://аrt.example.com/", Refused::NotAUrl),
    ("https://①②⑦.⓪.⓪.①/", Refused::NotAUrl),
    ("https://127。0。0。1/", Refused::NotAUrl),
    ("http://art.example.com/", Refused::Scheme),
    ("HTTP://art.example.com/", Refused::Scheme),
    ("http://8.8.8.8/", Refused::Scheme),
    ("ftp://art.example.com/", Refused::Scheme),
    ("file:///etc/passwd", Refused::Scheme),
    ("unix://var/run/x.sock", Refused::Scheme),
    ("gopher://art.example.com:70/", Refused::Scheme),
    ("https+unix://x/", Refused::Scheme),
    ("https://user:pw@art.example.com/", Refused::UserInfo),
    ("https://user@art.example.com/", Refused::UserInfo),
    ("https://@art.example.com/", Refused::UserInfo),
    ("https://:@art.example.com/", Refused::UserInfo),
    ("https://art.example.com@127.0.0.1/", Refused::UserInfo),
    ("https://[::1]@art.example.com/", Refused::UserInfo),
    ("https://art.example.com/#fragment", Refused::Fragment),
    ("https://art.example.com/path?a=b#", Refused::Fragment),
    ("https://art.example.com#@127.0.0.1/", Refused::Fragment),
    ("https://0x7f.1/", Refused::HostForm),
    ("https://0x7f000001/", Refused::HostForm),
    ("https://0X7F.0.0.1/", Refused::HostForm),
    ("https://2130706433/", Refused::HostForm),
    ("https://017700000001/", Refused::HostForm),
    ("https://0177.0.0.1/", Refused::HostForm),
    ("https://127.1/", Refused::HostForm),
    ("https://127.0.0.1./", Refused::HostForm),
    ("https://010.8.8.8/", Refused::HostForm),
    ("https://0x08080808/", Refused::HostForm),
    ("https://134744072/", Refused::HostForm),
    ("https://%31%32%37.0.0.1/", Refused::HostForm),
    ("https://art%2eexample.com/", Refused::HostForm),
    ("https://art.example.com./", Refused::HostForm),
    ("https://art..example.com/", Refused::HostForm),
    ("https://.example.com/", Refused::HostForm),
    ("https://-art.example.com/", Refused::HostForm),
    ("https://art-.example.com/", Refused::HostForm),
    ("https://art.example.com:0/", Refused::HostForm),
    ("https://*.example.com/", Refused::HostForm),
    ("https://kubernetes.default.svc/", Refused::HostName),
    ("https://KUBERNETES.Default.SVC/api", Refused::HostName),
    ("https://kubernetes/", Refused::HostName),
    ("https://kubernetes.default/", Refused::HostName),
    ("https://kubernetes.default.svc.cluster.local/", Refused::HostName),
    ("https://kubernetes.default.svc.corp.example.com/", Refused::HostName),
    ("https://art.tools.svc/", Refused::HostName),
    ("https://art.tools.svc.cluster.local:8443/", Refused::HostName),
    ("https://cluster.local/", Refused::HostName),
    ("https://metadata.google.internal/", Refused::HostName),
    ("https://x.metadata.google.internal/", Refused::HostName),
    ("https://metadata/", Refused::HostName),
    ("https://metadata.goog/", Refused::HostName),
    ("https://instance-data/latest", Refused::HostName),
    ("https://kubernetes.default.svc./", Refused::HostForm),
    ("https://localhost/", Refused::HostUnnamed),
    ("https://LOCALHOST:8443/", Refused::HostUnnamed),
    ("https://x.localhost/", Refused::HostUnnamed),
    ("https://art/", Refused::HostUnnamed),
    ("https://127.0.0.1/", Refused::AddressUnlisted),
    ("https://127.255.255.254:8443/", Refused::AddressUnlisted),
    ("https://10.0.0.1/", Refused::AddressUnlisted),
    ("https://172.31.255.255/", Refused::AddressUnlisted),
    ("https://192.168.0.1/", Refused::AddressUnlisted),
    ("https://100.64.0.1/", Refused::AddressUnlisted),
    ("https://[::1]/", Refused::AddressUnlisted),
    ("https://[0:0:0:0:0:0:0:1]/", Refused::AddressUnlisted),
    ("https://[::ffff:127.0.0.1]/", Refused::AddressUnlisted),
    ("https://[::FFFF:7F00:1]/", Refused::AddressUnlisted),
    ("https://[fd12:3456::1]/", Refused::AddressUnlisted),
    ("https://169.254.169.254/latest/meta-data", Refused::Address),
    ("https://[::ffff:169.254.169.254]/", Refused::Address),
    ("https://[fe80::1]/", Refused::Address),
    ("https://[fd00:ec2::254]/", Refused::Address),
    ("https://0.0.0.0/", Refused::Address),
    ("https://[::]/", Refused::Address),
    ("https://255.255.255.255/", Refused::Address),
];

#[test]
fn hostile_urls_are_refused() {
    for (url, why) in HOSTILE {
        assert_eq!(EndpointPolicy::default().check_url(url), Err(*why), "{url:?}");
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
    let kept = [Refused::NotAUrl, Refused::UserInfo, Refused::Fragment, Refused::HostForm, Refused::HostName, Refused::Address];
    for (url, why) in HOSTILE.iter().filter(|(_, why)| kept.contains(why)) {
        assert_eq!(widest().check_url(url), Err(*why), "{url:?}");
    }
    for address in NEVER.split_whitespace() {
        assert_eq!(widest().check_address("art.example.com", ip(address)), Err(Refused::Address), "{address}");
    }
}

/// Addresses that no file can allow, in each dress.
const NEVER: &str = "\
    0.0.0.0 0.1.2.3 169.254.169.254 169.254.170.23 224.0.0.1 239.255.255.255 255.255.255.255 100.100.100.200 \
    168.63.129.16 192.0.0.192 :: fe80::1 febf::1 fe80::a9fe:a9fe ff02::1 ff0e::1 fd00:ec2::254 fd00:ec2::23 \
    fd20:ce::254 fd00:42::42 ::ffff:169.254.169.254 ::ffff:0.0.0.0 64:ff9b::a9fe:a9fe ::169.254.169.254 \
    ::ffff:0:169.254.169.254 64:ff9b:1::a9fe:a9fe 2002:a9fe:a9fe::1 2001:0:4136:e378:8000:63bf:5601:5601 \
    2a00::5efe:a9fe:a9fe 2a00::200:5efe:a9fe:a9fe";

/// Addresses that need a rule.
const UNLISTED: &str = "\
    10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 100.127.255.255 127.0.0.1 127.8.8.8 \
    192.0.0.8 192.0.2.1 198.51.100.7 203.0.113.9 192.88.99.1 198.18.0.1 198.19.255.255 240.0.0.1 255.255.255.254 ::1 \
    fc00::1 fd12::1 fec0::1 100::1 2001:db8::1 3fff::1 2001:2::1 2001:20::1 5f00::1 4000::1 ::ffff:10.0.0.1 \
    ::ffff:127.0.0.1 ::ffff:192.168.0.1 64:ff9b::a00:1 64:ff9b::7f00:1 64:ff9b:1::808:808 ::8.8.8.8 ::10.0.0.1 \
    2002:808:808::1 2002:a00:1::1 2001:0:4136:e378:8000:63bf:f7f7:f7f7 2a00::5efe:a00:1 2a00::200:5efe:7f00:1";

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
