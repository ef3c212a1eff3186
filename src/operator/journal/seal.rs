//! How an entry is sealed: AES-256-GCM under keys derived from the operator's key Secret. No files.

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use super::{JournalError, Kept};
use crate::token::hex;

/// How each sealed entry begins: what it is, and the version of its form.
const FORM: &[u8] = b"rtok-journal-1\n";
/// Bytes of the length that stands before the name.
const LENGTH: usize = size_of::<u32>();

/// The keys of a journal: one seals entries, one names their files.
#[derive(Clone)]
pub struct JournalKey {
    sealing: LessSafeKey,
    naming: hmac::Key,
}

impl JournalKey {
    /// The keys that follow from the bytes of the operator's key Secret (HKDF-SHA-256, RFC 5869).
    pub fn derive(secret: &[u8]) -> Result<Self, JournalError> {
        let root = Salt::new(HKDF_SHA256, b"refreshabletoken.io/journal").extract(secret);
        let sealing = root.expand(&[b"sealing"], &AES_256_GCM).map_err(|_| JournalError::Sealing)?;
        let naming = root.expand(&[b"naming"], hmac::HMAC_SHA256).map_err(|_| JournalError::Sealing)?;
        Ok(Self { sealing: LessSafeKey::new(UnboundKey::from(sealing)), naming: hmac::Key::from(naming) })
    }

    /// What the file of an entry is called. No name of an object can lead out of the folder, and none can be read there.
    pub(super) fn stem(&self, name: &str) -> String {
        let tag = hmac::sign(&self.naming, name.as_bytes());
        hex(tag.as_ref(), tag.as_ref().len())
    }

    /// The bytes of the file called `stem`: form, nonce, sealed name and content. Form and stem are authenticated too.
    ///
    /// The nonce is random: one key may seal 2^32 entries (NIST SP 800-38D section 8.3), one a second for 136 years.
    pub(super) fn seal(&self, stem: &str, name: &str, content: &[u8]) -> Result<Vec<u8>, JournalError> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| JournalError::Sealing)?;
        let length = u32::try_from(name.len()).map_err(|_| JournalError::Sealing)?.to_be_bytes();
        // Sealed in place; until then these are the tokens.
        let mut body = Zeroizing::new(Vec::with_capacity(LENGTH + name.len() + content.len() + AES_256_GCM.tag_len()));
        body.extend_from_slice(&length);
        body.extend_from_slice(name.as_bytes());
        body.extend_from_slice(content);
        let tag = self
            .sealing
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad(stem), &mut body)
            .map_err(|_| JournalError::Sealing)?;
        Ok([FORM, &nonce, &body, tag.as_ref()].concat())
    }

    /// Name and content of the file called `stem`; none if it was not sealed by this key, under this name, or is damaged.
    pub(super) fn open(&self, stem: &str, file: &[u8]) -> Option<Kept> {
        let (nonce, sealed) = file.strip_prefix(FORM)?.split_first_chunk::<NONCE_LEN>()?;
        let mut body = Zeroizing::new(sealed.to_vec());
        let plain = self.sealing.open_in_place(Nonce::assume_unique_for_key(*nonce), aad(stem), &mut body).ok()?;
        let (length, rest) = plain.split_first_chunk::<LENGTH>()?;
        let (name, content) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        let name = std::str::from_utf8(name).ok()?;
        (self.stem(name) == stem).then(|| (name.to_owned(), Zeroizing::new(content.to_vec())))
    }
}

fn aad(stem: &str) -> Aad<Vec<u8>> {
    Aad::from([FORM, stem.as_bytes()].concat())
}

impl fmt::Debug for JournalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JournalKey([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> JournalKey {
        JournalKey::derive(&[7; 32]).unwrap()
    }

    fn sealed(name: &str, content: &[u8]) -> (String, Vec<u8>) {
        let stem = key().stem(name);
        let file = key().seal(&stem, name, content).unwrap();
        (stem, file)
    }

    #[test]
    fn no_entry_is_sealed_twice_alike() {
        let ((stem, one), (_, two)) = (sealed("a/b", b"same"), sealed("a/b", b"same"));
        assert_ne!(one, two);
        assert_eq!(key().open(&stem, &one), key().open(&stem, &two));
    }

    #[test]
    fn an_entry_cut_at_any_length_does_not_open() {
        let (stem, file) = sealed("a/b", b"content");
        for length in 0..file.len() {
            assert_eq!(key().open(&stem, &file[..length]), None, "cut at {length}");
        }
        assert_eq!(key().open(&stem, &file).unwrap().1.as_slice(), b"content");
    }

    #[test]
    fn an_entry_with_any_bit_turned_does_not_open() {
        let (stem, file) = sealed("a/b", b"content");
        for bit in 0..8 * file.len() {
            let mut damaged = file.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key().open(&stem, &damaged), None, "bit {bit}");
        }
    }

    #[test]
    fn an_entry_opens_under_its_own_name_and_key_only() {
        let (stem, file) = sealed("a/b", b"content");
        assert_eq!(key().open(&key().stem("a/c"), &file), None);
        let other = JournalKey::derive(&[8; 32]).unwrap();
        assert_eq!(other.open(&stem, &file), None);
        assert_ne!(other.stem("a/b"), stem);
    }

    #[test]
    fn a_key_is_not_shown() {
        assert_eq!(format!("{:?}", key()), "JournalKey([redacted])");
    }

    proptest! {
        #[test]
        fn every_entry_comes_back(name in ".{0,300}", content in prop::collection::vec(any::<u8>(), 0..2000)) {
            let (stem, file) = sealed(&name, &content);
            prop_assert_eq!(key().open(&stem, &file), Some((name, Zeroizing::new(content))));
            prop_assert!(stem.len() == 64 && stem.bytes().all(|byte| byte.is_ascii_hexdigit()));
        }

        #[test]
        fn bytes_that_nobody_sealed_never_open(stem in ".{0,80}", mut file in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(key().open(&stem, &file), None);
            file.splice(0..0, FORM.iter().copied());
            prop_assert_eq!(key().open(&stem, &file), None);
        }
    }
}
