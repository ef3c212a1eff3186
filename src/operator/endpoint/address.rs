//! What an IP address is to the operator: reachable by default, reachable where a rule lists it, or never.
//!
//! The ranges are those of the IANA special-purpose address registries (RFC 6890 and its updates) and the metadata services of
//! cloud providers. A destination hidden in an IPv6 address counts as what it is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// How an address is treated before any rule is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// Reachable without a rule.
    Public,
    /// Reachable where a rule lists it.
    Listed,
    /// Never reachable: no rule can change it.
    Never,
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(bits: u128, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::from_bits(bits), prefix)
}

const NEVER_V4: &[Ipv4Net] = &[
    v4(0, 0, 0, 0, 8),          // "this network" (RFC 791); 0.0.0.0 reaches the own host on Linux
    v4(169, 254, 0, 0, 16),     // link-local (RFC 3927): metadata of most clouds, EKS Pod Identity
    v4(224, 0, 0, 0, 4),        // multicast (RFC 5771)
    v4(255, 255, 255, 255, 32), // broadcast (RFC 919)
    v4(100, 100, 100, 200, 32), // Alibaba Cloud metadata, inside 100.64.0.0/10
    v4(168, 63, 129, 16, 32),   // Azure's platform address (WireServer), otherwise public
    v4(192, 0, 0, 192, 32),     // Oracle Cloud metadata (classic), inside 192.0.0.0/24
];

const LISTED_V4: &[Ipv4Net] = &[
    v4(10, 0, 0, 0, 8),      // private (RFC 1918)
    v4(172, 16, 0, 0, 12),   // private (RFC 1918)
    v4(192, 168, 0, 0, 16),  // private (RFC 1918)
    v4(100, 64, 0, 0, 10),   // shared by carrier-grade NAT (RFC 6598); Pod networks of some clouds
    v4(127, 0, 0, 0, 8),     // loopback (RFC 1122)
    v4(192, 0, 0, 0, 24),    // IETF protocol assignments (RFC 6890)
    v4(192, 0, 2, 0, 24),    // documentation (RFC 5737); our choice: like a private network, since some are run as one
    v4(198, 51, 100, 0, 24), // documentation
    v4(203, 0, 113, 0, 24),  // documentation
    v4(192, 88, 99, 0, 24),  // 6to4 relays, withdrawn (RFC 7526)
    v4(198, 18, 0, 0, 15),   // benchmarks (RFC 2544)
    v4(240, 0, 0, 0, 4),     // reserved (RFC 1112); private in some clouds
];

const NEVER_V6: &[Ipv6Net] = &[
    v6(0, 128),                           // unspecified (RFC 4291)
    v6(0xfe80 << 112, 10),                // link-local (RFC 4291)
    v6(0xff00 << 112, 8),                 // multicast (RFC 4291)
    v6(0xfd00_0ec2 << 96, 32),            // AWS: metadata ::254, EKS Pod Identity ::23, time, DNS
    v6((0xfd20_00ce << 96) | 0x254, 128), // Google Cloud metadata
    v6((0xfd00_0042 << 96) | 0x42, 128),  // Scaleway metadata
];

/// Inside 2000::/3, the only part of IPv6 given out as global unicast; all outside of it is never public.
const LISTED_V6: &[Ipv6Net] = &[
    v6(0x2001 << 112, 23),     // IETF protocol assignments (RFC 2928): Teredo, benchmarks, ORCHID
    v6(0x2001_0db8 << 96, 32), // documentation (RFC 3849)
    v6(0x2002 << 112, 16),     // 6to4 (RFC 3056)
    v6(0x3fff << 112, 20),     // documentation (RFC 9637)
];

/// Networks of one's own; a part of what is [`Standing::Listed`].
const PRIVATE_V4: &[Ipv4Net] = &[v4(10, 0, 0, 0, 8), v4(172, 16, 0, 0, 12), v4(192, 168, 0, 0, 16)]; // RFC 1918
const PRIVATE_V6: Ipv6Net = v6(0xfc00 << 112, 7); // RFC 4193

const GLOBAL_V6: Ipv6Net = v6(0x2000 << 112, 3);
const COMPATIBLE: Ipv6Net = v6(0, 96);
const MAPPED: Ipv6Net = v6(0xffff << 32, 96);
const TRANSLATED: Ipv6Net = v6(0xffff << 48, 96);
const NAT64: Ipv6Net = v6(0x0064_ff9b << 96, 96);
const NAT64_LOCAL: Ipv6Net = v6(0x0064_ff9b_0001 << 80, 48);
const SIX_TO_FOUR: Ipv6Net = v6(0x2002 << 112, 16);
const TEREDO: Ipv6Net = v6(0x2001 << 112, 32);

/// How `ip` is treated; `ip` must have gone through [`destination`].
pub(super) fn standing(ip: IpAddr) -> Standing {
    let (never, listed) = match ip {
        IpAddr::V4(ip) => (within(NEVER_V4, ip), within(LISTED_V4, ip)),
        IpAddr::V6(ip) => {
            let never = NEVER_V6.iter().any(|net| net.contains(&ip));
            (never, !GLOBAL_V6.contains(&ip) || LISTED_V6.iter().any(|net| net.contains(&ip)))
        }
    };
    match (never, listed) {
        (true, _) => Standing::Never,
        (false, true) => Standing::Listed,
        (false, false) => Standing::Public,
    }
}

/// Whether `ip` is of a network of one's own; `ip` must have gone through [`destination`].
pub(super) fn private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => within(PRIVATE_V4, ip),
        IpAddr::V6(ip) => PRIVATE_V6.contains(&ip),
    }
}

/// Whether no address of `net` can be allowed.
pub(super) fn never(net: IpNet) -> bool {
    match net {
        IpNet::V4(net) => NEVER_V4.iter().any(|never| never.contains(&net)),
        IpNet::V6(net) => NEVER_V6.iter().any(|never| never.contains(&net)),
    }
}

fn within(nets: &[Ipv4Net], ip: Ipv4Addr) -> bool {
    nets.iter().any(|net| net.contains(&ip))
}

/// The address that a packet to `ip` ends at: an IPv4-mapped address (RFC 4291 section 2.5.5.2) is the IPv4 address to the
/// kernel, one under the well-known NAT64 prefix (RFC 6052 section 2.1) is it behind the translator, as every name is in a
/// cluster with IPv6 only and DNS64.
pub(super) fn destination(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) if MAPPED.contains(&v6) || NAT64.contains(&v6) => IpAddr::V4(low(v6)),
        other => other,
    }
}

/// An IPv4 address that a tunnel or an old notation hides in `ip`. The operator asks the rules about both.
///
/// IPv4-compatible (RFC 4291 section 2.5.5.1), IPv4-translated (RFC 2765), local NAT64 with a prefix of 96 bits (RFC 8215), 6to4
/// (RFC 3056), Teredo (RFC 4380 section 4: the bits are inverted) and ISATAP (RFC 5214 section 6.1).
pub(super) fn hidden(ip: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(ip) = ip else { return None };
    let [_, b, c, _, e, f, _, _] = ip.segments();
    if ip.is_loopback() || ip.is_unspecified() {
        None
    } else if COMPATIBLE.contains(&ip) || TRANSLATED.contains(&ip) || NAT64_LOCAL.contains(&ip) {
        Some(low(ip))
    } else if SIX_TO_FOUR.contains(&ip) {
        Some(joined(b, c))
    } else if TEREDO.contains(&ip) {
        Some(Ipv4Addr::from_bits(!low(ip).to_bits()))
    } else if (e & !0x0200) == 0 && f == 0x5efe {
        Some(low(ip))
    } else {
        None
    }
}

fn low(ip: Ipv6Addr) -> Ipv4Addr {
    let [.., g, h] = ip.segments();
    joined(g, h)
}

fn joined(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low))
}
