//! What etcd's answers mean for the operations.

use std::collections::BTreeMap;

use etcd_messages::response_op::Response;
use etcd_messages::{
    CompactionResponse, KeyValue, LeaseGrantResponse, LeaseKeepAliveResponse, LeaseRevokeResponse, RangeResponse,
    TxnResponse,
};

use super::Etcd;
use super::errors::meaning;
use super::grpc::{GrpcError, message, status};
use crate::journal::letters::{LetterAnswer, LetterOperation};
use crate::journal::operation::{
    Document, FleetClaim, FoundKey, KeyName, Operation, Outcome, Page, Revision, StoreReply, StoredSegment, Survey,
    WriterId,
};

impl Etcd {
    /// Reads the answer of the operation's own call.
    pub(super) fn outcome(&mut self, operation: &Operation, reply: &StoreReply) -> Outcome {
        match operation {
            Operation::Renew { .. } => match message::<LeaseKeepAliveResponse>(reply) {
                Ok(LeaseKeepAliveResponse { ttl: 1.., .. }) => Outcome::Applied,
                Ok(_) => Outcome::Fenced,
                Err(error) => meaning(error),
            },
            Operation::Close { .. } => match message::<LeaseRevokeResponse>(reply) {
                Ok(_) => Outcome::Applied,
                Err(GrpcError { status: Some(status::NOT_FOUND), .. }) => Outcome::Already,
                Err(error) => meaning(error),
            },
            Operation::KeepKeys => match message::<LeaseGrantResponse>(reply) {
                Ok(answer) => {
                    self.keys = Some(answer.id);
                    Outcome::Applied
                }
                Err(error) => meaning(error),
            },
            Operation::KeepMessages { lasts } => match message::<LeaseGrantResponse>(reply) {
                Ok(answer) => {
                    self.messages.insert(*lasts, answer.id);
                    Outcome::Applied
                }
                Err(error) => meaning(error),
            },
            Operation::Tidy => match message::<CompactionResponse>(reply) {
                Ok(_) => self.tidied(),
                // Another gateway has compacted further.
                Err(GrpcError { status: Some(status::OUT_OF_RANGE), .. }) => self.tidied(),
                Err(error) => meaning(error),
            },
            _ => match message::<TxnResponse>(reply) {
                Ok(answer) => {
                    self.revision = answer.header.as_ref().map_or(0, |header| header.revision).max(self.revision);
                    self.committed(operation, answer)
                }
                Err(error) => meaning(error),
            },
        }
    }

    fn tidied(&mut self) -> Outcome {
        self.tidied = self.revision;
        Outcome::Applied
    }

    /// Reads the answer to a transaction.
    fn committed(&mut self, operation: &Operation, answer: TxnResponse) -> Outcome {
        let is_made = answer.succeeded;
        let revision = answer.header.as_ref().map_or(0, |header| header.revision);
        let mut ranges = answer.responses.into_iter().filter_map(|response| match response.response {
            Some(Response::Range(range)) => Some(range),
            _ => None,
        });
        let mut keys = || ranges.next().unwrap_or_default();
        match operation {
            Operation::Survey => Outcome::Survey(survey(keys(), keys(), keys())),
            Operation::Page { .. } => Outcome::Page(page(keys(), keys())),
            Operation::Documents { .. } => {
                let prefix = self.document_key("");
                let changed = keys().kvs.into_iter().filter_map(|key| document(&prefix, key)).collect();
                Outcome::Documents { changed, until: unsigned(revision) }
            }
            Operation::Store { .. } if is_made => Outcome::Stored(unsigned(revision)),
            Operation::Store { bytes, .. } => match keys().kvs.first() {
                // An earlier try has written it.
                Some(found) if found.value == *bytes => Outcome::Stored(unsigned(found.mod_revision)),
                _ => Outcome::Conflict,
            },
            Operation::Letters { letters: LetterOperation::List { .. }, .. } => {
                Outcome::Letters(LetterAnswer::List(self.letter_list(is_made, keys(), keys(), keys())))
            }
            Operation::Letters { letters: LetterOperation::Read { .. }, .. } => {
                Outcome::Letters(LetterAnswer::Read(self.stored_letters(ranges)))
            }
            _ if is_made => {
                self.made(operation);
                Outcome::Applied
            }
            Operation::Open { writer, .. } => self.repeated(operation, keys().kvs.first(), *writer),
            Operation::Append { segment, key, .. } => {
                let (found, alive, claimed) = (keys(), keys(), keys());
                let is_dead = alive.kvs.first().is_none_or(|key| key.lease != self.lease(segment.writer).id);
                match (found.kvs.into_iter().next(), claimed.kvs.into_iter().next(), key) {
                    (Some(KeyValue { value, .. }), ..) if !value.is_empty() => Outcome::Already,
                    (Some(_), ..) => Outcome::Fenced,
                    _ if is_dead => Outcome::Fenced,
                    (None, Some(taken), Some(_)) => {
                        Outcome::KeyTaken { revision: unsigned(taken.mod_revision), bytes: taken.value }
                    }
                    // What was remembered of the key is forgotten by now: it can be claimed anew.
                    (None, None, Some(_)) => Outcome::KeyTaken { revision: 0, bytes: Vec::new() },
                    (None, _, None) => Outcome::Unknown,
                }
            }
            Operation::Note { writer, .. } | Operation::Claim { writer, .. } | Operation::Letters { writer, .. } => {
                self.repeated(operation, keys().kvs.first(), *writer)
            }
            Operation::ClaimMessage { writer, claim, .. } => {
                let (found, alive): (Vec<_>, _) = (claim.keys.iter().map(|_| keys()).collect(), keys());
                self.message_taken(*writer, claim, found, alive)
            }
            Operation::Release { dead, .. } => match keys().kvs.first() {
                None => {
                    self.claims.remove(dead);
                    Outcome::Already
                }
                Some(_) => Outcome::Fenced,
            },
            Operation::Void { segment, .. } => {
                let (found, alive) = (keys(), keys());
                let is_alive = alive.kvs.first().is_some_and(|key| key.lease == self.lease(segment.writer).id);
                match found.kvs.first() {
                    Some(found) if is_alive && found.value.is_empty() => Outcome::Already,
                    Some(_) if is_alive => Outcome::Page(page(found, RangeResponse::default())),
                    _ => Outcome::Fenced,
                }
            }
            Operation::Settle { .. }
            | Operation::KeepKeys
            | Operation::SettleMessage { .. }
            | Operation::ReleaseMessage { .. }
            | Operation::KeepMessages { .. }
            | Operation::Delete { .. }
            | Operation::Renew { .. }
            | Operation::Close { .. }
            | Operation::Tidy => Outcome::Fenced,
        }
    }

    /// Tells why the claim of a message was refused: an earlier try has made it, its writer is dead, or others have keys.
    fn message_taken(
        &self,
        writer: WriterId,
        claim: &FleetClaim,
        found: Vec<RangeResponse>,
        alive: RangeResponse,
    ) -> Outcome {
        let found: Vec<KeyValue> = found.into_iter().filter_map(|range| range.kvs.into_iter().next()).collect();
        if found.len() == claim.keys.len() && found.iter().all(|key| key.value == claim.bytes) {
            return Outcome::Already;
        }
        if alive.kvs.first().is_none_or(|key| key.lease != self.lease(writer).id) {
            return Outcome::Fenced;
        }
        let taken = found.into_iter().filter_map(|key| {
            let mut name = KeyName::default();
            hex::decode_to_slice(last(&key.key)?, &mut name).ok()?;
            Some(FoundKey { name, revision: unsigned(key.mod_revision), bytes: key.value })
        });
        Outcome::MessageTaken(taken.collect())
    }

    /// Tells whether a change that was refused had been made by an earlier try: then the key stands as it left it.
    fn repeated(&mut self, operation: &Operation, found: Option<&KeyValue>, writer: WriterId) -> Outcome {
        let expected = match operation {
            Operation::Note { owner, .. } if *owner != writer => self.claims.get(owner).copied().unwrap_or(-1) + 1,
            Operation::Note { .. } | Operation::Letters { .. } => self.lease(writer).version + 1,
            _ => 1,
        };
        if found.is_some_and(|key| key.lease == self.lease(writer).id && key.version == expected) {
            self.made(operation);
            return Outcome::Already;
        }
        Outcome::Fenced
    }

    /// Remembers how often the key was written that an operation, which was carried out, writes.
    fn made(&mut self, operation: &Operation) {
        match operation {
            Operation::Open { writer, .. } => {
                if let Some(lease) = self.leases.get_mut(writer) {
                    lease.version = 1;
                }
            }
            Operation::Note { writer, owner, .. } if writer == owner => {
                if let Some(lease) = self.leases.get_mut(writer) {
                    lease.version += 1;
                }
            }
            Operation::Letters { writer, letters: LetterOperation::Change { .. } } => {
                if let Some(lease) = self.leases.get_mut(writer) {
                    lease.version += 1;
                }
            }
            Operation::Note { owner, .. } => {
                if let Some(version) = self.claims.get_mut(owner) {
                    *version += 1;
                }
            }
            Operation::Claim { dead, .. } => drop(self.claims.insert(*dead, 1)),
            Operation::Release { dead, .. } => drop(self.claims.remove(dead)),
            _ => {}
        }
    }
}

/// What stands behind the last slash of a key.
fn last(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.rsplit(|byte| *byte == b'/').next()?).ok()
}

fn writer_of(key: &KeyValue) -> Option<WriterId> {
    WriterId::parse(last(&key.key)?)
}

/// A revision of etcd's, which is never negative.
pub(super) fn unsigned(revision: i64) -> Revision {
    Revision::try_from(revision).unwrap_or_default()
}

fn document(prefix: &[u8], key: KeyValue) -> Option<Document> {
    let name = String::from_utf8(key.key.strip_prefix(prefix)?.to_vec()).ok()?;
    Some(Document { name, revision: unsigned(key.mod_revision), bytes: key.value })
}

fn survey(alive: RangeResponse, registered: RangeResponse, claimed: RangeResponse) -> Survey {
    let member = |key: KeyValue| Some((writer_of(&key)?, key.value));
    let claim = |key: &KeyValue| Some((writer_of(key)?, WriterId::parse(std::str::from_utf8(&key.value).ok()?)?));
    Survey {
        alive: alive.kvs.into_iter().filter_map(member).collect(),
        registered: registered.kvs.iter().filter_map(writer_of).collect(),
        claimed: claimed.kvs.iter().filter_map(claim).collect(),
    }
}

fn page(segments: RangeResponse, progress: RangeResponse) -> Page {
    let number = |key: &KeyValue| u64::from_str_radix(last(&key.key)?, 16).ok();
    let progress = progress.kvs.into_iter().filter_map(|key| Some((number(&key)?, key.value)));
    let mut progress: BTreeMap<u64, Vec<u8>> = progress.collect();
    let segments_of = segments.kvs.into_iter().filter_map(|key| {
        let seq = number(&key)?;
        Some(StoredSegment { seq, bytes: key.value, progress: progress.remove(&seq) })
    });
    Page { segments: segments_of.collect(), has_more: segments.more }
}
