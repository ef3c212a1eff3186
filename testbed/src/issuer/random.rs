//! Where tokens come from: one stream of bytes and the shapes the vendors give their tokens.
//!
//! A token here is worth nothing outside the simulator: signatures are random bytes and nobody checks them. The stream is a
//! hash of a seed and a counter, so that a simulation with a fixed seed sees the same tokens in every run.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::Value;

/// A stream of bytes for tokens: SHA-256 over a seed and a counter.
#[derive(Debug, Clone)]
pub struct Entropy {
    seed: [u8; 32],
    counter: u64,
}

impl Entropy {
    /// The same tokens for the same number in every run.
    #[must_use]
    pub fn seeded(number: u64) -> Self {
        let mut seed = [0_u8; 32];
        for (slot, byte) in seed.iter_mut().zip(number.to_le_bytes()) {
            *slot = byte;
        }
        Self { seed, counter: 0 }
    }

    /// Other tokens in every run; `None` when the system has no randomness to give.
    #[must_use]
    pub fn system() -> Option<Self> {
        let mut seed = [0_u8; 32];
        SystemRandom::new().fill(&mut seed).ok()?;
        Some(Self { seed, counter: 0 })
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(count + 32);
        while out.len() < count {
            let mut block = self.seed.to_vec();
            block.extend(self.counter.to_le_bytes());
            self.counter += 1;
            out.extend(digest(&SHA256, &block).as_ref());
        }
        out.truncate(count);
        out
    }

    /// A random UUID, the shape of JFrog's token ids and refresh tokens (both vendor pages).
    pub fn uuid(&mut self) -> String {
        let mut raw = [0_u8; 16];
        for (slot, byte) in raw.iter_mut().zip(self.bytes(16)) {
            *slot = byte;
        }
        uuid::Builder::from_random_bytes(raw).into_uuid().to_string()
    }

    /// 64 opaque characters, the other shape of a JFrog refresh token.
    pub fn opaque(&mut self) -> String {
        URL_SAFE_NO_PAD.encode(self.bytes(48))
    }

    /// 43 characters of base64url (256 bits), the shape of `oidc-provider`'s refresh tokens.
    pub fn oauth_refresh(&mut self) -> String {
        URL_SAFE_NO_PAD.encode(self.bytes(32))
    }

    /// A JFrog reference token: 64 characters that begin `cmVmd` (vendor's reference). Behind it stands `reftkn:01:`, the expiry and random
    /// letters in base64; that inner layout is our choice, no client may rely on it.
    pub fn reference(&mut self, expires_at: i64) -> String {
        let mut text = format!("reftkn:01:{:010}:", expires_at.clamp(0, 9_999_999_999));
        text.extend(self.bytes(27).into_iter().map(|byte| char::from(b'a' + byte % 26)));
        STANDARD_NO_PAD.encode(text)
    }

    /// Three base64url parts with the header of the vendor's sample (`ver`, `typ`, `alg`, `kid`) and 256 random bytes for a
    /// signature, the length of RS256.
    pub fn jwt(&mut self, payload: &Value) -> String {
        let kid = URL_SAFE_NO_PAD.encode(digest(&SHA256, &self.seed).as_ref());
        let header = serde_json::json!({"ver": "2", "typ": "JWT", "alg": "RS256", "kid": kid});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signature = URL_SAFE_NO_PAD.encode(self.bytes(256));
        format!("{}.{}.{signature}", part(&header), part(payload))
    }
}

/// The payload of something JWT-shaped, or `None`. Nothing is verified.
#[must_use]
pub fn jwt_payload(token: &str) -> Option<Value> {
    let mut parts = token.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_the_shapes_of_the_vendors() {
        let mut entropy = Entropy::seeded(7);
        assert_eq!(entropy.uuid().len(), 36);
        assert_eq!(entropy.opaque().len(), 64);
        assert_eq!(entropy.oauth_refresh().len(), 43);
        let reference = entropy.reference(1_900_000_000);
        assert!(reference.len() == 64 && reference.starts_with("cmVmd"), "{reference}");
        let jwt = entropy.jwt(&serde_json::json!({"sub": "a", "exp": 5}));
        assert_eq!(jwt.split('.').count(), 3);
        assert_eq!(jwt_payload(&jwt).unwrap()["exp"], 5);
        assert_eq!(jwt_payload("a.b"), None);
    }

    #[test]
    fn a_seed_repeats_and_a_stream_never_does() {
        let (mut one, mut two) = (Entropy::seeded(1), Entropy::seeded(1));
        let first = one.uuid();
        assert_eq!(first, two.uuid());
        assert_ne!(first, one.uuid());
        assert_ne!(first, Entropy::seeded(2).uuid());
    }
}
