//! Users, their tokens, and the keys that each may read and write.

use std::collections::BTreeMap;
use std::time::Duration;

use etcd_messages::prefix_end;
use fastrand::Rng;

use crate::status::{self, Status};

/// How long a token lives that nobody uses.
const IDLE: Duration = Duration::from_secs(300);
/// The length of a token before its dot.
const LENGTH: usize = 16;

/// A user.
#[derive(Clone, Debug)]
struct User {
    password: String,
    /// The keys that it may read and write; `None` for all, as the role `root` has it.
    prefix: Option<Vec<u8>>,
}

/// All users; where there are none, authentication is not enabled.
#[derive(Debug, Default)]
pub(crate) struct Users {
    users: BTreeMap<String, User>,
    tokens: BTreeMap<String, (String, Duration)>,
    given: u64,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Who<'a> {
    /// Somebody who may do all, whatever users there are: the test itself.
    Anyone,
    /// Who holds this token; `None` for none.
    Holder(Option<&'a str>),
}

impl Users {
    pub(crate) fn add(&mut self, name: &str, password: &str, prefix: Option<&str>) {
        let prefix = prefix.map(|prefix| prefix.as_bytes().to_vec());
        self.users.insert(name.to_owned(), User { password: password.to_owned(), prefix });
    }

    pub(crate) fn authenticate(
        &mut self,
        name: &str,
        password: &str,
        now: Duration,
        rng: &mut Rng,
    ) -> Result<String, Status> {
        if self.users.is_empty() {
            return Err(status::no_auth());
        }
        if self.users.get(name).is_none_or(|user| user.password != password) {
            return Err(status::wrong_password());
        }
        self.given += 1;
        let letters: String = std::iter::repeat_with(|| rng.alphabetic()).take(LENGTH).collect();
        let token = format!("{letters}.{}", self.given);
        self.tokens.insert(token.clone(), (name.to_owned(), now + IDLE));
        Ok(token)
    }

    pub(crate) fn forget_tokens(&mut self) {
        self.tokens.clear();
    }

    /// Refuses a wrong token. Calls that name no key etcd carries out for those who have none at all.
    pub(crate) fn check_token(&mut self, who: Who<'_>, now: Duration) -> Result<(), Status> {
        match who {
            Who::Holder(Some(_)) => self.user(who, now).map(|_| ()),
            Who::Holder(None) | Who::Anyone => Ok(()),
        }
    }

    /// May they work on these keys? A token that is used lives on.
    pub(crate) fn check<'a>(
        &mut self,
        who: Who<'_>,
        keys: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        now: Duration,
    ) -> Result<(), Status> {
        let Some(prefix) = self.user(who, now)?.and_then(|user| user.prefix.as_ref()) else { return Ok(()) };
        let end = prefix_end(prefix);
        let is_inside = |(first, last): (&[u8], &[u8])| {
            first.starts_with(prefix) && (last.is_empty() || last != [0] && last <= end.as_slice())
        };
        if keys.into_iter().all(is_inside) { Ok(()) } else { Err(status::not_permitted()) }
    }

    /// The user whose token it is; `None` where there is nothing to check.
    fn user(&mut self, who: Who<'_>, now: Duration) -> Result<Option<&User>, Status> {
        let Who::Holder(token) = who else { return Ok(None) };
        if self.users.is_empty() {
            return Ok(None);
        }
        let token = token.ok_or_else(status::no_user)?;
        self.tokens.retain(|_, (_, until)| *until > now);
        let (name, until) = self.tokens.get_mut(token).ok_or_else(status::wrong_token)?;
        *until = now + IDLE;
        self.users.get(name).map(Some).ok_or_else(status::wrong_token)
    }
}
