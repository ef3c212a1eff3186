//! Private keys of clients: they sign, and cannot be printed by accident.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivatePkcs1KeyDer, PrivatePkcs8KeyDer};
use thiserror::Error;

/// A private key that signs for a client. Two keys are equal if their bytes are; `Debug` says the algorithm only.
#[derive(Clone)]
pub struct SigningKey {
    digest: [u8; 32],
    pair: Arc<Pair>,
}

enum Pair {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
}

/// Why a text is no key that can sign, or a key did not sign.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
pub enum KeyError {
    /// No PEM section with a private key of a form that is read.
    #[error("no private key in PEM form; convert it with openssl pkcs8 -topk8 -nocrypt")]
    NotPem,
    /// A key of another algorithm or size.
    #[error("neither an RSA key of 2048 to 4096 bits nor an EC key on P-256")]
    Unsupported,
    /// The key did not sign.
    #[error("the client's private key could not sign")]
    NotSigned,
}

impl SigningKey {
    /// Reads the first private key of a PEM text: PKCS#8, or PKCS#1 for RSA (RFC 7468, RFC 8017 appendix A.1.2).
    pub fn parse(pem: &[u8]) -> Result<Self, KeyError> {
        if let Ok(der) = PrivatePkcs8KeyDer::from_pem_slice(pem) {
            return Self::of(der.secret_pkcs8_der(), |der| {
                let rsa = RsaKeyPair::from_pkcs8(der).ok().map(Pair::Rsa);
                let p256 = || EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &SystemRandom::new());
                rsa.or_else(|| p256().ok().map(Pair::P256))
            });
        }
        let der = PrivatePkcs1KeyDer::from_pem_slice(pem).map_err(|_| KeyError::NotPem)?;
        Self::of(der.secret_pkcs1_der(), |der| RsaKeyPair::from_der(der).ok().map(Pair::Rsa))
    }

    fn of(der: &[u8], read: impl Fn(&[u8]) -> Option<Pair>) -> Result<Self, KeyError> {
        let pair = read(der).ok_or(KeyError::Unsupported)?;
        let digest = digest(&SHA256, der).as_ref().try_into().map_err(|_| KeyError::Unsupported)?;
        Ok(Self { digest, pair: Arc::new(pair) })
    }

    /// The name of the algorithm that the key signs with (RFC 7518 section 3.1).
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        match *self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::P256(_) => "ES256",
        }
    }

    /// The signature of `message`, in the form of RFC 7518 sections 3.3 and 3.4. For RSA the same each time; for EC each
    /// signature is another one, which the randomness in the key takes care of.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let random = SystemRandom::new();
        match &*self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(|_| KeyError::NotSigned)?;
                Ok(signature)
            }
            Pair::P256(pair) => {
                let signature = pair.sign(&random, message).map_err(|_| KeyError::NotSigned)?;
                Ok(signature.as_ref().to_vec())
            }
        }
    }

    /// A name of the key that says nothing about it: the digest of its bytes.
    #[must_use]
    pub fn thumbprint(&self) -> &[u8] {
        &self.digest
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, [redacted])", self.algorithm())
    }
}

impl PartialEq for SigningKey {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for SigningKey {}

impl Hash for SigningKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}
