//! Keys that sign or verify, and the times at which they are used. Secret keys are never printed, and wiped when
//! dropped.

use std::fmt;

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use hmac::digest::CtOutput;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Sha256, Sha512};
use zeroize::Zeroizing;

use crate::time::WallTime;

/// A key with the time in which it is used.
#[derive(Clone, Debug)]
pub struct LiveKey {
    /// The key.
    pub key: Key,
    /// The time in which the key is used.
    pub window: Window,
}

/// The time in which a key is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// The first moment at which the key is used; `None`: it has always been.
    pub not_before: Option<WallTime>,
    /// The first moment at which the key is no longer used; `None`: it always will be.
    pub not_after: Option<WallTime>,
}

impl Window {
    /// Whether the key is used at this time.
    pub fn is_live(self, at: WallTime) -> bool {
        self.not_before.is_none_or(|from| from <= at) && self.not_after.is_none_or(|until| at < until)
    }

    /// The first time, at or after `from`, at which none of several keys is used; `None`: there is no such time.
    pub fn gap(windows: impl Iterator<Item = Self> + Clone, from: WallTime) -> Option<WallTime> {
        let mut covered = from;
        while let Some(live) = windows.clone().find(|window| window.is_live(covered)) {
            covered = live.not_after?;
        }
        Some(covered)
    }
}

/// A key of a signature scheme.
#[derive(Clone, Debug)]
pub enum Key {
    /// Signs and verifies (HMAC): both sides have the same secret.
    Shared(Secret),
    /// Signs; the side that verifies has the public key.
    Private(PrivateKey),
    /// Verifies what the private key has signed.
    Public(PublicKey),
}

/// A private key of Ed25519 (RFC 8032).
#[derive(Clone)]
pub struct PrivateKey(Box<SigningKey>);

impl PrivateKey {
    /// Makes a key from its 32 secret bytes, with its public key behind them or not; `None` for other lengths, and for
    /// a public key that is not the private key's.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let (secret, public) = bytes.split_first_chunk::<32>()?;
        let key = SigningKey::from_bytes(secret);
        (public.is_empty() || public == key.verifying_key().as_bytes()).then(|| Self(Box::new(key)))
    }

    /// The signature of these parts, one behind the other.
    pub fn sign(&self, parts: &[&[u8]]) -> [u8; 64] {
        self.0.sign(&parts.concat()).to_bytes()
    }

    /// The public key, which verifies.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A public key of Ed25519 (RFC 8032).
#[derive(Clone, Debug)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Makes a key from its 32 bytes; `None` where the bytes are no point of the curve, or a weak point (of small
    /// order), under which one signature can fit any message.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let key = VerifyingKey::from_bytes(bytes.try_into().ok()?).ok()?;
        (!key.is_weak()).then_some(Self(key))
    }

    /// The 32 bytes of the key.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Whether `signature` is the signature of these parts, one behind the other. Strictly: no second form of a
    /// signature passes.
    pub fn verifies(&self, parts: &[&[u8]], signature: &[u8; 64]) -> bool {
        self.0.verify_strict(&parts.concat(), &ed25519_dalek::Signature::from_bytes(signature)).is_ok()
    }
}

/// The HMAC of a shared secret (RFC 2104).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC-SHA256.
    Sha256,
    /// HMAC-SHA512.
    Sha512,
}

/// A shared secret, as the state of an HMAC (RFC 2104) after the key went in: prepared once, copied for each signature,
/// so that signing never hashes the key again. The key itself is not kept.
#[derive(Clone)]
pub struct Secret(Keyed);

#[derive(Clone)]
enum Keyed {
    Sha256(Hmac<Sha256>),
    Sha512(Hmac<Sha512>),
}

impl Secret {
    /// Prepares a key for HMAC-SHA256, see [`of`](Self::of).
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        Self::of(Algorithm::Sha256, bytes)
    }

    /// Prepares a key from its bytes, which are wiped; `None` for an empty one, which would sign nothing.
    pub fn of(algorithm: Algorithm, bytes: Vec<u8>) -> Option<Self> {
        let bytes = Zeroizing::new(bytes);
        if bytes.is_empty() {
            return None;
        }
        // HMAC takes keys of any length; were it to refuse one, there would be no secret rather than a weak one.
        let keyed = match algorithm {
            Algorithm::Sha256 => Keyed::Sha256(Hmac::new_from_slice(&bytes).ok()?),
            Algorithm::Sha512 => Keyed::Sha512(Hmac::new_from_slice(&bytes).ok()?),
        };
        Some(Self(keyed))
    }

    /// The HMAC of these parts, one behind the other.
    pub fn mac(&self, parts: &[&[u8]]) -> Hash {
        fn of<M: Mac + Clone>(keyed: &M, parts: &[&[u8]]) -> CtOutput<M> {
            let mut mac = keyed.clone();
            parts.iter().for_each(|part| mac.update(part));
            mac.finalize()
        }
        match &self.0 {
            Keyed::Sha256(keyed) => Hash::Sha256(of(keyed, parts)),
            Keyed::Sha512(keyed) => Hash::Sha512(of(keyed, parts)),
        }
    }
}

/// An HMAC under one of our secrets. A comparison takes the same time wherever the first difference is.
pub enum Hash {
    /// HMAC-SHA256.
    Sha256(CtOutput<Hmac<Sha256>>),
    /// HMAC-SHA512.
    Sha512(CtOutput<Hmac<Sha512>>),
}

impl Hash {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Sha256(hash) => hash.as_bytes(),
            Self::Sha512(hash) => hash.as_bytes(),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hmac(key: &[u8], data: &[u8]) -> String {
        hex::encode(Secret::new(key.to_vec()).unwrap().mac(&[data]).bytes())
    }

    /// Test cases 1 and 2 of RFC 4231 for HMAC-SHA512.
    #[test]
    fn the_vectors_of_hmac_sha512_hold() {
        let cases: [(&[u8], &[u8], &str); 2] = [
            (
                &[0x0b; 20],
                b"Hi There",
                "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
            ),
        ];
        for (key, data, expected) in cases {
            let secret = Secret::of(Algorithm::Sha512, key.to_vec()).unwrap();
            assert_eq!(hex::encode(secret.mac(&[data]).bytes()), expected);
        }
    }

    /// The test vectors of RFC 4231, sections 4.2 to 4.8; test case 5 truncates its output.
    #[test]
    fn the_vectors_of_rfc_4231_hold() {
        let counting: Vec<u8> = (1..=25).collect();
        let cases: [(&[u8], &[u8], &str); 7] = [
            (&[0x0b; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (&[0xaa; 20], &[0xdd; 50], "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
            (&counting, &[0xcd; 50], "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
            (&[0x0c; 20], b"Test With Truncation", "a3b6167473100ee06e0c796c2955552b"),
            (
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
            (
                &[0xaa; 131],
                b"This is a test using a larger than block-size key and a larger than block-size data. The key \
                  needs to be hashed before being used by the HMAC algorithm.",
                "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
            ),
        ];
        for (key, data, expected) in cases {
            assert!(hmac(key, data).starts_with(expected), "{expected}");
        }
    }

    #[test]
    fn an_empty_key_is_no_secret() {
        assert!(Secret::new(Vec::new()).is_none());
    }

    #[test]
    fn a_secret_is_never_printed() {
        let printed = format!("{:?}", Secret::new(b"hunter2".to_vec()));
        assert_eq!(printed, "Some([redacted])");
    }
}
