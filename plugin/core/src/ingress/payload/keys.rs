//! Keys of a payload: which are denied, which are allowed, and which say that their value is a version.

use super::KEY_BYTES_MAX;
use super::detect::folded;
use crate::index::Index;

/// The keys that may not be in a payload. Upper and lower case, `_` and `-` make no difference: `ip_address` is
/// `IP-Address` and `ipAddress`. A key that is a path is denied as that path would be in JSON: `user.password`,
/// `password[]` and `user[password][0]` hold a password. A part of a word is no key: `password` denies no
/// `password_changed`.
#[derive(Debug, Default)]
pub struct DeniedKeys(Index);

impl DeniedKeys {
    /// Adds a key. Returns false, and adds nothing, if the key has no byte besides `_` and `-`, or more than
    /// [`KEY_BYTES_MAX`] of them.
    pub fn add(&mut self, key: &str) -> bool {
        let plain = plain(key.as_bytes());
        let number = self.0.len();
        plain.is_some_and(|plain| self.0.get_or_insert(&plain, number) <= number)
    }

    /// Whether no key is denied.
    pub fn is_empty(&self) -> bool {
        self.0.len() == 0
    }

    /// Whether this key is denied.
    pub fn has(&self, key: &[u8]) -> bool {
        let key = folded(key);
        let has = |key: &[u8]| plain(key).is_some_and(|plain| self.0.get(&plain).is_some());
        has(&key) || key.iter().any(|byte| STEPS.contains(byte)) && key.split(|byte| STEPS.contains(byte)).any(has)
    }
}

/// What stands between the steps of a key that is a path.
const STEPS: [u8; 3] = *b".[]";

/// The form in which keys are compared: lower case, without `_` and `-`. `None`: nothing is left, or more than
/// [`KEY_BYTES_MAX`] bytes.
fn plain(key: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    for byte in key.iter().filter(|byte| !b"_-".contains(byte)) {
        if plain.len() == KEY_BYTES_MAX {
            return None;
        }
        plain.push(byte.to_ascii_lowercase());
    }
    (!plain.is_empty()).then_some(plain)
}

/// A pattern over whole keys: `*` stands for any run of characters, which may be empty. Case counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPattern(pub String);

impl KeyPattern {
    /// Whether a key matches. This takes at most as many comparisons as pattern times key has bytes: the config bounds
    /// the pattern.
    pub fn matches(&self, key: &[u8]) -> bool {
        let pattern = self.0.as_bytes();
        let (mut at, mut read) = (0, 0);
        // Where to go on if the pattern behind the last star does not match: the place of that star, and the end of the
        // part of the key that it took.
        let mut star = None;
        while let Some(byte) = key.get(read) {
            match (pattern.get(at), star) {
                (Some(b'*'), _) => {
                    star = Some((at, read));
                    at += 1;
                }
                (Some(wanted), _) if wanted == byte => (at, read) = (at + 1, read + 1),
                (_, Some((place, taken))) => {
                    (at, read) = (place + 1, taken + 1);
                    star = Some((place, taken + 1));
                }
                _ => return false,
            }
        }
        pattern.iter().skip(at).all(|byte| *byte == b'*')
    }
}

/// Whether a key says that its value is a version: then `1.2.3.4` there is a version too, and no IP address.
pub(super) fn is_version_key(key: &[u8]) -> bool {
    let version = b"version";
    let ends_so = key.len().checked_sub(version.len()).and_then(|at| key.get(at..));
    ends_so.is_some_and(|end| end.eq_ignore_ascii_case(version))
        || VERSION_KEYS.iter().any(|known| known.eq_ignore_ascii_case(key))
}

/// Keys besides `…version` whose value is a version, or the name of one.
const VERSION_KEYS: [&[u8]; 11] = [
    b"base_ref",
    b"build",
    b"firmware",
    b"image",
    b"image_tag",
    b"ref",
    b"ref_name",
    b"release",
    b"tag",
    b"tag_name",
    b"tags",
];
