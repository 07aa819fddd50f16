//! The bearer token of a request to the admin surface, and the throttle of wrong ones.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::config::{Admin, Role};
use crate::store::keys::{Keys, Stored};
use crate::store::{Record, SharedStore, StoreError, Write, update};
use crate::time::Instant;

/// The number of wrong tokens in a row that are answered 401 before the throttle begins: an operator who mistypes, or a
/// job with yesterday's token, needs a few.
const FREE: u32 = 20;
/// The first wait of the throttle; each further wrong token doubles it.
const WAIT: Duration = Duration::from_secs(1);
/// The longest wait of the throttle.
const WAIT_MAX: Duration = Duration::from_secs(300);

/// What is known of whoever sent a request.
#[derive(Debug)]
pub struct Bearer {
    /// The role that the token gives; `None`: it is no configured one.
    pub role: Option<Role>,
    /// The name of the token in the log: the beginning of its SHA-256.
    pub holder: String,
    /// The request has a token, right or wrong.
    pub has_token: bool,
}

impl Bearer {
    /// Reads the header `authorization`. The token's digest is compared with the digest of every configured token, in
    /// full, so that the time taken tells nothing of the tokens.
    pub fn read(admin: &Admin, authorization: Option<&[u8]>) -> Self {
        const SCHEME: &[u8] = b"Bearer ";
        let token = authorization.and_then(|value| value.split_at_checked(SCHEME.len()));
        let token =
            token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(SCHEME)).map_or(&b""[..], |(_, token)| token);
        let digest: [u8; 32] = Sha256::digest(token).into();
        let mut role = None;
        for token in &admin.tokens {
            let difference = token.digest.iter().zip(digest).fold(0, |sum, (a, b)| sum | (a ^ b));
            role = if std::hint::black_box(difference) == 0 { role.max(Some(token.role)) } else { role };
        }
        Self { role, holder: hex::encode(digest.get(..4).unwrap_or_default()), has_token: authorization.is_some() }
    }
}

/// The throttle of wrong tokens, one for all clients and workers: it bounds what guessing costs the gateway and the
/// log, and makes it seen. A right token always passes, and ends it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttle {
    /// The number of wrong tokens in a row.
    wrong: u32,
    /// Until when a wrong token is not even counted.
    until: Instant,
}

impl Stored for Throttle {
    const NAME: &'static str = "admin/throttle";
}

impl Record for Throttle {
    const VERSION: u8 = 1;
}

impl Throttle {
    /// Counts a wrong token; returns how long no further one is counted, or `None` while they are free.
    fn wrong(&mut self, now: Instant) -> (Write, Option<Duration>) {
        let left = self.until.since(now);
        if !left.is_zero() {
            return (Write::No, Some(left));
        }
        self.wrong = self.wrong.saturating_add(1);
        let Some(doublings) = self.wrong.checked_sub(FREE + 1) else { return (Write::Yes, None) };
        let wait = WAIT.saturating_mul(2_u32.saturating_pow(doublings)).min(WAIT_MAX);
        self.until = now.plus(wait);
        (Write::Yes, Some(wait))
    }

    /// Counts a wrong token in the store; returns how long no further one is counted.
    ///
    /// # Errors
    /// The store's.
    pub fn refuse(store: &mut dyn SharedStore, keys: &Keys, now: Instant) -> Result<Option<Duration>, StoreError> {
        update(store, &keys.single(), |throttle: &mut Self| throttle.wrong(now))
    }

    /// Ends the throttle: a right token came.
    ///
    /// # Errors
    /// The store's.
    pub fn forgive(store: &mut dyn SharedStore, keys: &Keys) -> Result<(), StoreError> {
        update(store, &keys.single(), |throttle: &mut Self| {
            let is_off = throttle.wrong == 0;
            *throttle = Self::default();
            (if is_off { Write::No } else { Write::Yes }, ())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_begin_after_twenty_and_double_up_to_five_minutes() {
        let (mut throttle, mut now) = (Throttle::default(), Instant::default());
        assert!((0..20).all(|_| throttle.wrong(now).1.is_none()));
        let waits: Vec<_> = (0..11)
            .map(|_| {
                let wait = throttle.wrong(now).1.unwrap_or_default();
                now = now.plus(wait);
                wait.as_secs()
            })
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    }

    /// What comes while the throttle waits does not lengthen the wait.
    #[test]
    fn wrong_tokens_within_a_wait_are_not_counted() {
        let (mut throttle, now) = (Throttle { wrong: 21, until: Instant::default() }, Instant::default());
        assert_eq!(throttle.wrong(now).1, Some(Duration::from_secs(2)));
        let before = throttle.clone();
        let later = now.plus(Duration::from_millis(1500));
        assert_eq!(throttle.wrong(later), (Write::No, Some(Duration::from_millis(500))));
        assert_eq!(throttle, before);
    }
}
