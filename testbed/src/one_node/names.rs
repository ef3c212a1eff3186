//! A name server of a few fixed names (RFC 1035), so that Pods look names up as they do in a cluster.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Length of the header of a message.
const HEADER: usize = 12;
/// Query type of IPv4 addresses.
const A: [u8; 2] = [0, 1];
/// Our choice; nothing changes while a cluster runs.
const SECONDS_TO_LIVE: [u8; 4] = [0, 0, 0, 5];

/// A running name server; ends when dropped.
#[derive(Debug)]
pub struct Names(JoinHandle<()>);

impl Names {
    /// Answers for `names`, in lower case and without a dot at the end; all other names do not exist.
    pub async fn start(address: Ipv4Addr, names: BTreeMap<String, Ipv4Addr>) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind((address, 53)).await.with_context(|| format!("bind {address}:53"))?;
        let names = Arc::new(names);
        Ok(Self(tokio::spawn(async move {
            let mut buffer = [0; 512];
            loop {
                let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
                if let Some(answer) = buffer.get(..length).and_then(|query| answer(query, &names)) {
                    // Who has gone does not ask again.
                    let _ = socket.send_to(&answer, from).await;
                }
            }
        })))
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The answer to a query of one question; none for what is no query.
fn answer(query: &[u8], names: &BTreeMap<String, Ipv4Addr>) -> Option<Vec<u8>> {
    let (name, end) = question(query)?;
    let kind: [u8; 2] = query.get(end..end + 2)?.try_into().ok()?;
    let found = names.get(&name);
    let address = found.filter(|_| kind == A);
    // An answer, authoritative, recursion desired and available; "no such name" where there is none.
    let code = if found.is_some() { 0x80 } else { 0x83 };
    let mut out = query.get(..2)?.to_vec();
    out.extend([0x85, code, 0, 1, 0, u8::from(address.is_some()), 0, 0, 0, 0]);
    out.extend(query.get(HEADER..end + 4)?);
    if let Some(address) = address {
        // The name is that of the question (a pointer to it); class IN; four bytes.
        out.extend([0xc0, 0x0c, 0, 1, 0, 1]);
        out.extend(SECONDS_TO_LIVE);
        out.extend([0, 4]);
        out.extend(address.octets());
    }
    Some(out)
}

/// The name that is asked for, and where its type begins.
fn question(query: &[u8]) -> Option<(String, usize)> {
    let (mut labels, mut at) = (Vec::new(), HEADER);
    loop {
        let length = usize::from(*query.get(at)?);
        if length == 0 {
            return Some((labels.join("."), at + 1));
        }
        let label = query.get(at + 1..at + 1 + length)?;
        labels.push(String::from_utf8_lossy(label).to_lowercase());
        at += 1 + length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(name: &str, kind: u8) -> Vec<u8> {
        let mut query = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            query.push(u8::try_from(label.len()).unwrap());
            query.extend(label.bytes());
        }
        query.extend([0, 0, kind, 0, 1]);
        answer(&query, &BTreeMap::from([("issuer.example.com".to_owned(), Ipv4Addr::new(10, 250, 0, 1))])).unwrap()
    }

    #[test]
    fn a_known_name_has_an_address_of_one_kind_and_others_do_not_exist() {
        let found = ask("Issuer.example.com", 1);
        assert_eq!((&found[..2], found[3], found[7], &found[found.len() - 4..]), (&[7, 9][..], 0x80, 1, &[10, 250, 0, 1][..]));
        let other_kind = ask("issuer.example.com", 28);
        assert_eq!((other_kind[3], other_kind[7]), (0x80, 0));
        assert_eq!(ask("issuer.example.com.svc.cluster.local", 1)[3], 0x83);
    }
}
