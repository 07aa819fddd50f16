//! etcd as the store of the journal: its keys, its transactions, and what its errors mean.
//!
//! | key, under the prefix | holds | lives |
//! |---|---|---|
//! | `w/<writer>` | what a writer says of itself | as long as the writer's lease |
//! | `r/<writer>` | that the writer is registered | until nothing of it is left |
//! | `j/<writer>/<seq>` | a segment; empty: void | until its deliveries have ended |
//! | `p/<writer>/<seq>` | the progress of a segment | as long as the segment |
//! | `k/<hash>` | what is remembered of an idempotency key | as long as it is remembered |
//! | `i/<hash>` | what is remembered of an inbound message | as long as it is remembered |
//! | `c/<name>` | a document of the fleet | for good |
//! | `l/<delivery>` | a dead letter | until it is discarded or delivered |
//! | `l` | nothing: it is written with each change of a letter | for good |
//! | `a/<delivery>` | who delivers the dead letter again | as long as the redeliverer's lease |
//! | `t/<writer>` | who has claimed the dead writer | as long as the claimer's lease |
//!
//! Every change is a transaction that compares the lease of `w/<writer>` or `t/<writer>` first: a key that is gone has
//! lease 0, so whoever lost its lease changes nothing. Notes also compare how often that key was written: a note that
//! etcd carries out late finds the number raised by a later one, and changes nothing.
//!
//! A segment's number stands in its key with 16 hexadecimal digits, so that keys are in the order of the numbers.

use std::collections::BTreeMap;

use errors::{meaning, not_made};
use etcd_messages::{AUTHENTICATE, AuthenticateRequest, AuthenticateResponse, LeaseGrantResponse};
use grpc::{call, message, status};
use zeroize::Zeroizing;

use crate::journal::EtcdUser;
use crate::journal::operation::{
    Announcement, Journal, Operation, Outcome, SegmentId, StoreCall, StoreLimits, StoreRefusal, StoreReply,
    StoreStream, WriterId,
};

mod answers;
mod errors;
mod grpc;
mod letters;
mod transactions;
mod watch;

/// The operations that a transaction may have, less those that it always has: etcd takes 128.
const CHANGES_MAX: usize = 120;

/// The largest segment, in bytes: etcd takes requests of 1.5 MiB.
const SEGMENT_MAX: usize = 1_400_000;

/// The part of an operation that gets a token.
const PART_AUTHENTICATE: u8 = 1;
/// The same, after a token was refused: if the next one is refused too, the operation is.
const PART_AUTHENTICATE_AGAIN: u8 = 2;
/// The part of an operation that grants a lease.
const PART_GRANT: u8 = 3;
/// The operation itself.
const PART_MAIN: u8 = 4;
/// The operation itself, with a token that is new because the one before was refused.
const PART_MAIN_AGAIN: u8 = 5;

/// The part of a release that makes a claim void which was not made yet.
const PART_MARK: u8 = 6;

/// How long a lease of idempotency keys lasts, in seconds: the ten minutes for which they are remembered, and two in
/// which the next lease is granted.
const KEYS_TTL: i64 = 720;

/// The state of a journal on etcd. See the module.
pub struct Etcd {
    prefix: String,
    /// How long a lease lasts, in seconds.
    ttl: i64,
    user: Option<(String, Zeroizing<String>)>,
    token: Option<String>,
    /// The leases of this gateway's writers.
    leases: BTreeMap<WriterId, Lease>,
    /// The lease of idempotency keys: they are forgotten when it lapses.
    keys: Option<i64>,
    /// The leases of the keys of messages, by how long the keys last.
    messages: BTreeMap<u64, i64>,
    /// How often the keys of this gateway's claims were written.
    claims: BTreeMap<WriterId, i64>,
    /// The last revision that was seen, and the one at the last time the store was to be tidied.
    revision: i64,
    tidied: i64,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    id: i64,
    /// How often the writer's key was written.
    version: i64,
}

impl std::fmt::Debug for Etcd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Etcd").field("prefix", &self.prefix).field("leases", &self.leases).finish_non_exhaustive()
    }
}

impl Etcd {
    /// A journal under `prefix`, whose leases last `ttl` seconds.
    pub fn new(prefix: &str, ttl: u64, user: Option<&EtcdUser>) -> Self {
        Self {
            prefix: prefix.to_owned(),
            ttl: i64::try_from(ttl).unwrap_or(i64::MAX),
            user: user.map(|user| (user.name.clone(), user.password.clone())),
            token: None,
            leases: BTreeMap::new(),
            keys: None,
            messages: BTreeMap::new(),
            claims: BTreeMap::new(),
            revision: 0,
            tidied: 0,
        }
    }

    /// The key of a writer in one of the tables `w`, `r`, `t`.
    fn key(&self, table: char, writer: WriterId) -> Vec<u8> {
        format!("{}/{table}/{writer}", self.prefix).into_bytes()
    }

    fn segment_key(&self, table: char, SegmentId { writer, seq }: SegmentId) -> Vec<u8> {
        format!("{}/{table}/{writer}/{seq:016x}", self.prefix).into_bytes()
    }

    fn lease(&self, writer: WriterId) -> Lease {
        // Without a lease of its own a writer compares with one that etcd never grants.
        self.leases.get(&writer).copied().unwrap_or(Lease { id: -1, version: 0 })
    }
}

impl Journal for Etcd {
    fn call(&mut self, operation: &Operation) -> StoreCall {
        if self.token.is_none() && self.user.is_some() {
            return self.authenticate(PART_AUTHENTICATE);
        }
        self.main(operation, PART_MAIN)
    }

    fn read(&mut self, operation: &Operation, part: u8, reply: &StoreReply) -> Result<Outcome, StoreCall> {
        if *reply == StoreReply::NotSent {
            return Ok(Outcome::Refused(StoreRefusal::NotSent));
        }
        if is_unauthenticated(reply) && part != PART_MAIN_AGAIN && self.user.is_some() {
            self.token = None;
            if part != PART_AUTHENTICATE && part != PART_AUTHENTICATE_AGAIN {
                return Err(self.authenticate(PART_AUTHENTICATE_AGAIN));
            }
        }
        match part {
            PART_AUTHENTICATE | PART_AUTHENTICATE_AGAIN => match message::<AuthenticateResponse>(reply) {
                Ok(answer) => {
                    self.token = Some(answer.token);
                    let next = if part == PART_AUTHENTICATE { PART_MAIN } else { PART_MAIN_AGAIN };
                    Err(self.main(operation, next))
                }
                Err(error) => Ok(not_made(meaning(error))),
            },
            PART_GRANT => Self::granted(self, operation, reply, PART_MAIN),
            PART_MAIN_AGAIN if matches!(operation, Operation::Open { writer, .. } if !self.leases.contains_key(writer)) => {
                Self::granted(self, operation, reply, PART_MAIN_AGAIN)
            }
            _ => match (self.outcome(operation, reply), operation) {
                (Outcome::Fenced, Operation::ReleaseMessage { may_come_late: true, .. }) if part != PART_MARK => {
                    Err(self.main(operation, PART_MARK))
                }
                (outcome, _) => Ok(outcome),
            },
        }
    }

    fn forget(&mut self, writer: WriterId) {
        self.leases.remove(&writer);
    }

    fn limits(&self) -> StoreLimits {
        StoreLimits { changes: CHANGES_MAX, segment: SEGMENT_MAX }
    }

    fn announcements(&self) -> Option<StoreStream> {
        Some(self.watch())
    }

    fn announcement(&self, message: &[u8]) -> Announcement {
        watch::announcement(message)
    }
}

impl Etcd {
    fn authenticate(&self, part: u8) -> StoreCall {
        let (name, password) = self.user.clone().unwrap_or_default();
        call(AUTHENTICATE, &AuthenticateRequest { name, password: password.to_string() }, None, part)
    }

    /// Reads the answer to a grant: with a lease the writer can be registered. A lease whose grant is not known lapses.
    fn granted(&mut self, operation: &Operation, reply: &StoreReply, next: u8) -> Result<Outcome, StoreCall> {
        match (message::<LeaseGrantResponse>(reply), operation) {
            (Ok(answer), Operation::Open { writer, .. }) if answer.error.is_empty() => {
                self.leases.insert(*writer, Lease { id: answer.id, version: 0 });
                Err(self.main(operation, next))
            }
            (Ok(_), _) => Ok(Outcome::Refused(StoreRefusal::Denied)),
            (Err(error), _) => Ok(not_made(meaning(error))),
        }
    }
}

fn is_unauthenticated(reply: &StoreReply) -> bool {
    matches!(reply, StoreReply::Answer { grpc_status: Some(status::UNAUTHENTICATED), .. })
}

#[cfg(test)]
mod tests;
