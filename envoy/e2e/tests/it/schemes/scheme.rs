//! The schemes that libraries know, with keys for each.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use serde_json::{Value, json};

use super::library::{self, Library};

/// A way to sign that libraries know.
#[derive(Clone, Copy, Debug)]
pub struct Scheme {
    /// How the libraries are asked for it; an endpoint, a rule and a path of the tests are called so too.
    pub name: &'static str,
    /// `scheme` of the gateway's config.
    pub config: &'static str,
    /// The keys of a rotation: the one that goes, the one that comes.
    pub old: SchemeKey,
    pub new: SchemeKey,
    /// One that nobody was told.
    pub other: SchemeKey,
    /// Where signatures stand, under the first secret and, if in another header, under the further ones.
    pub headers: (&'static str, Option<&'static str>),
}

/// Its two sides are the same, unless it is asymmetric.
#[derive(Clone, Copy, Debug)]
pub struct SchemeKey {
    pub signs: &'static str,
    pub verifies: &'static str,
}

const fn shared(secret: &'static str) -> SchemeKey {
    SchemeKey { signs: secret, verifies: secret }
}

const fn pair(signs: &'static str, verifies: &'static str) -> SchemeKey {
    SchemeKey { signs, verifies }
}

pub const SCHEMES: [Scheme; 5] = [
    Scheme {
        name: "standard",
        config: "standard",
        old: shared("whsec_GBkaGxwdHh8gISIjJCUmJygpKissLS4v"),
        // Without the prefix it is one too.
        new: shared("QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl8="),
        other: shared("whsec_gIGCg4SFhoeIiYqLjI2Oj5CRkpOUlZaXmJmam5ydnp+goaKjpKWmp6ipqqusra6v"),
        headers: ("webhook-signature", None),
    },
    Scheme {
        name: "standard-v1a",
        config: "standard",
        // A seed and its public key, then seeds.
        old: pair(
            "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==",
            "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=",
        ),
        new: pair(
            "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
            "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
        ),
        other: pair(
            "whsk_ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1+f4CBgoM=",
            "whpk_C7w0aldmfDgBIL2cf9flHSxf3+o3zS9b9AWyxr9vLXg=",
        ),
        headers: ("webhook-signature", None),
    },
    Scheme {
        name: "github",
        config: "github",
        old: shared("It's a Secret to Everybody"),
        new: shared("another secret, to n\u{f6}body"),
        other: shared("a third"),
        headers: ("x-hub-signature-256", Some("x-hub-signature-256-also")),
    },
    Scheme {
        name: "stripe",
        config: "stripe",
        old: shared("whsec_test_old_Zz9Yy8Xx7Ww6"),
        new: shared("whsec_test_new_Aa1Bb2Cc3Dd4"),
        other: shared("whsec_test_other_Ee5Ff6"),
        headers: ("stripe-signature", None),
    },
    Scheme {
        name: "slack",
        config: "slack",
        old: shared("8f742231b10e8888abcd99yyyzzz85a5"),
        new: shared("0a1b2c3d4e5f60718293a4b5c6d7e8f9"),
        other: shared("ffeeddccbbaa99887766554433221100"),
        headers: ("x-slack-signature", Some("x-slack-signature-also")),
    },
];

impl Scheme {
    /// The libraries on this machine that know it.
    pub fn libraries(&self) -> Result<Vec<Library>> {
        Ok(library::all()?.into_iter().filter(|library| library.scheme == self.name).collect())
    }

    /// `signature` of the gateway's config.
    pub fn signature(&self) -> Value {
        json!({"scheme": self.config})
    }
}

/// The same with one bit changed, in the middle; still text.
pub fn tampered(body: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    let middle = body.len() / 2;
    // Of the byte of a letter it makes another letter.
    body[middle] ^= 1;
    body
}

/// Unix seconds.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
