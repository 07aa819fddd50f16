//! Who has which inbound message, at any time, as etcd's keys say it; and which of them some application has taken.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gatepost_core::journal::ids::WriterId;
use gatepost_core::journal::messages::MessageRecord;
use hmac_sha256::{HMAC, Hash};

use super::ownership::Ownership;
use super::tenures::Tenures;
use crate::checks::invariant::broken;
use crate::checks::{Broken, Invariant};
use crate::plan::{PARTNER, PARTNERS_SECRET};

/// The bits of a signature that a message is known by.
const MARK: u64 = u64::MAX >> 2;

/// The body of the message with this number.
pub fn body(number: u32) -> String {
    format!("{{\"message\": {number}}}")
}

/// The name of a message in etcd: a hash of its rule, and of how its signature begins.
fn name(number: u32) -> String {
    let signature = HMAC::mac(body(number).as_bytes(), PARTNERS_SECRET);
    let mark = signature.first_chunk().copied().map_or(0, u64::from_le_bytes) & MARK;
    let mut hash = Hash::new();
    hash.update((PARTNER.len() as u64).to_le_bytes());
    hash.update(PARTNER);
    hash.update(mark.to_le_bytes());
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// What etcd knows of the messages.
#[derive(Debug, Default)]
pub struct Claims {
    tenures: Tenures,
    /// The writer that has claimed a message last.
    writers: BTreeMap<String, String>,
    done: BTreeSet<String>,
}

impl Claims {
    /// The key of a message has changed: it is claimed, done, or released.
    pub fn changed(&mut self, name: &str, value: &[u8], at: Duration, alive: &Ownership) -> Result<(), Broken> {
        let record = match MessageRecord::decode(value) {
            _ if value.is_empty() => None,
            Ok(record) => Some(record),
            Err(error) => return broken(Invariant::Harness, format!("the message {name} cannot be read: {error:?}")),
        };
        let seen = |what: &str| format!("{name} at {at:?}: {what}, {}", self.tenures.told(name));
        let is_done = record.is_some_and(|record| record.is_done);
        if self.done.contains(name) && !is_done {
            return broken(Invariant::TakenOnce, seen("it was done"));
        }
        let claimer = record.filter(|record| !record.is_done).map(|record| WriterId(record.writer).to_string());
        let before = self.writers.get(name).filter(|_| self.tenures.is_held(name));
        if let (Some(claimer), Some(before)) = (&claimer, before)
            && before != claimer
            && alive.is_alive(before)
        {
            return broken(Invariant::OneAtATime, seen("its gateway lives"));
        }
        self.tenures.end(name, at);
        if is_done {
            self.done.insert(name.to_owned());
        }
        if let Some(claimer) = claimer {
            self.tenures.begin(name, alive.process(&claimer), at);
            self.writers.insert(name.to_owned(), claimer);
        }
        Ok(())
    }

    /// Did this process have the message at this time, or until at most `slack` before?
    pub fn had(&self, process: &str, number: u32, at: Duration, slack: Duration) -> bool {
        self.tenures.had(process, &name(number), at, slack)
    }

    /// Has some application taken the message, as far as etcd knows?
    pub fn is_done(&self, number: u32) -> bool {
        self.done.contains(&name(number))
    }

    /// What is known of who had the message, for a message.
    pub fn told(&self, number: u32) -> String {
        self.tenures.told(&name(number))
    }
}
