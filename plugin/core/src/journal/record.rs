//! What the journal keeps of an event: its entry in a segment, and how it stands.
//!
//! Times are wall times: they are read by another gateway, or after a restart.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::ids::EventId;
use crate::ledger::record::{EventMeta, Trail};
use crate::outcome::Reason;
use crate::store::StoreError;
use crate::time::WallTime;

/// The format version of the journal's records. A gateway leaves other versions to those that know them.
pub(super) const VERSION: u8 = 1;

/// An accepted event, as a segment holds it, without its payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryHead {
    /// The metadata of the event, without its content coding.
    pub meta: EventMeta,
    /// The `content-encoding` of the payload, when it has one.
    pub content_encoding: Option<Vec<u8>>,
    /// When the event was accepted.
    pub accepted: WallTime,
    /// The name of the route that the event came by; empty for an event of the gateway's own.
    pub route: String,
    /// The event's deliveries.
    pub deliveries: Vec<EntryDelivery>,
}

/// A delivery of an accepted event that was not attempted yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryDelivery {
    /// The endpoint's name.
    pub endpoint: String,
    /// The earliest time of the first attempt.
    pub due: WallTime,
    /// When the delivery is too old to be attempted.
    pub expires: WallTime,
}

/// An accepted event, as it was read from a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Everything but the payload.
    pub head: EntryHead,
    /// The payload.
    pub payload: Vec<u8>,
}

/// How an event of a segment stands, where that is not as it was accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventProgress {
    /// The number of the event in its segment.
    pub index: u32,
    /// How many attempts in a row are not known to have ended: each may have killed its gateway.
    pub trials: u8,
    /// All deliveries have ended.
    pub is_ended: bool,
    /// The deliveries that do not stand as they were accepted.
    pub deliveries: Vec<DeliveryProgress>,
}

/// How a delivery stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryProgress {
    /// The endpoint's name.
    pub endpoint: String,
    /// Attempts that have ended.
    pub attempts: u32,
    /// The status of the last attempt that was answered.
    pub response_status: Option<u16>,
    /// What is to be done.
    pub stage: JournalStage,
    /// The attempts so far, and the end.
    pub trail: Trail,
}

/// What is to be done for a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JournalStage {
    /// The next attempt is made at this time at the earliest.
    Waiting(WallTime),
    /// A dead letter is on its way to the endpoint's sink.
    Sinking {
        /// Attempts made at the sink.
        attempts: u32,
        /// Why the delivery died.
        reason: Reason,
        /// The earliest time of the next attempt at the sink.
        due: WallTime,
    },
    /// Nothing.
    Ended,
    /// The delivery is a dead letter, which is kept until an operator has it redelivered or discards it.
    Letter,
}

impl DeliveryProgress {
    /// Whether attempts of the delivery are to be made.
    pub fn is_open(&self) -> bool {
        matches!(self.stage, JournalStage::Waiting(_) | JournalStage::Sinking { .. })
    }
}

/// The bytes of an entry: its head, the length of its payload, and its payload.
///
/// # Errors
/// [`StoreError::Serialize`].
pub fn encode_entry(head: &EntryHead, payload: &[u8]) -> Result<Vec<u8>, StoreError> {
    let room = Vec::with_capacity(256 + payload.len());
    let mut bytes = postcard::to_extend(&(head, payload.len() as u64), room).map_err(|_| StoreError::Serialize)?;
    bytes.extend_from_slice(payload);
    Ok(bytes)
}

/// The bytes of a segment with these entries.
pub fn encode_segment<'a>(entries: impl Iterator<Item = &'a [u8]> + Clone) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + entries.clone().map(<[u8]>::len).sum::<usize>());
    bytes.push(VERSION);
    entries.for_each(|entry| bytes.extend_from_slice(entry));
    bytes
}

/// Reads the entries of a segment.
///
/// # Errors
/// [`StoreError::UnknownFormat`] for another version, and for bytes that are no segment.
pub fn decode_segment(bytes: &[u8]) -> Result<Vec<Entry>, StoreError> {
    let mut rest = versioned(bytes)?;
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let ((head, len), behind) =
            postcard::take_from_bytes::<(EntryHead, u64)>(rest).map_err(|_| StoreError::UnknownFormat)?;
        let len = usize::try_from(len).map_err(|_| StoreError::UnknownFormat)?;
        let (payload, next) = behind.split_at_checked(len).ok_or(StoreError::UnknownFormat)?;
        entries.push(Entry { head, payload: payload.to_vec() });
        rest = next;
    }
    Ok(entries)
}

/// The bytes of the progress of a segment.
///
/// # Errors
/// [`StoreError::Serialize`].
pub fn encode_progress(events: &[EventProgress]) -> Result<Vec<u8>, StoreError> {
    encode(events)
}

/// Reads the progress of a segment.
///
/// # Errors
/// [`StoreError::UnknownFormat`].
pub fn decode_progress(bytes: &[u8]) -> Result<Vec<EventProgress>, StoreError> {
    decode(bytes)
}

/// The bytes of a record of the journal, behind the format version.
pub(super) fn encode<T: Serialize + ?Sized>(record: &T) -> Result<Vec<u8>, StoreError> {
    postcard::to_extend(record, vec![VERSION]).map_err(|_| StoreError::Serialize)
}

/// Reads a record of this format version.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    postcard::from_bytes(versioned(bytes)?).map_err(|_| StoreError::UnknownFormat)
}

fn versioned(bytes: &[u8]) -> Result<&[u8], StoreError> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => Ok(rest),
        _ => Err(StoreError::UnknownFormat),
    }
}

/// What is remembered of an idempotency key, in the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// The hash of the event that the key was used for.
    pub event: [u8; 16],
    /// The id of the event.
    pub id: EventId,
    /// The writer that has accepted the event.
    pub writer: [u8; 16],
    /// The status and the body of the first answer; `None`: the producer waits for it.
    pub answer: Option<(u16, Vec<u8>)>,
}

impl KeyRecord {
    /// The bytes to store.
    ///
    /// # Errors
    /// [`StoreError::Serialize`].
    pub fn encode(&self) -> Result<Vec<u8>, StoreError> {
        encode(self)
    }

    /// Reads what is remembered.
    ///
    /// # Errors
    /// [`StoreError::UnknownFormat`].
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        decode(bytes)
    }
}

/// What a writer says of itself in the store, as JSON: a person may read it with etcdctl.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Member {
    /// The name of the gateway's process: a UUID, a new one at each start.
    pub instance: String,
    /// When the process began, in milliseconds since the Unix epoch.
    pub started_at: u64,
    /// The version of Gatepost.
    pub version: String,
    /// The digest of the configuration.
    pub config: String,
    /// Deliveries that wait in this writer.
    pub pending: u64,
    /// Segments that this writer keeps in the store, its own and those of the dead writers that it has claimed.
    pub segments: u64,
    /// The size of these segments, in bytes.
    pub bytes: u64,
    /// When the oldest event in them was accepted, in milliseconds since the Unix epoch; 0: there is none.
    pub oldest: u64,
    /// Dead writers that this writer has claimed since it began.
    pub takeovers: u64,
    /// When the writer got its lease, in milliseconds since the Unix epoch; it gets another one when it loses it.
    pub lease_since: u64,
    /// What the gateway has counted of its endpoints, by their names, for the guards of the other gateways; one writer of
    /// each gateway says it.
    pub guard: BTreeMap<String, GuardReport>,
}

/// What a gateway has counted of an endpoint, for the guards of the other gateways.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GuardReport {
    /// How often the endpoint's breaker opened in the last 24 hours.
    pub opens: u32,
    /// The recent counts, as the guard writes them, in base64.
    pub counts: String,
}

impl Member {
    /// The bytes to store.
    pub fn encode(&self) -> Vec<u8> {
        // Writing to memory fails only for what no member holds.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// When the oldest event in its segments was accepted.
    pub fn oldest(&self) -> Option<WallTime> {
        (self.oldest > 0).then(|| WallTime::from_millis(self.oldest))
    }

    /// Reads what a writer says of itself; a key that is not known is passed over.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head(event_type: &str) -> EntryHead {
        let meta = EventMeta::json(EventId::from_random([7; 16]), event_type.to_owned());
        let at = WallTime::from_millis(1_700_000_000_000);
        let deliveries = vec![EntryDelivery { endpoint: "billing".to_owned(), due: at, expires: at }];
        EntryHead { meta, content_encoding: Some(b"gzip".to_vec()), accepted: at, route: "in".to_owned(), deliveries }
    }

    proptest! {
        /// A segment is read as it was written; cut off anywhere it is refused or holds fewer events.
        #[test]
        fn a_segment_is_read_as_it_was_written(
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..5),
            cut in any::<prop::sample::Index>(),
        ) {
            let entries: Vec<_> = payloads.iter().map(|payload| encode_entry(&head("paid"), payload).unwrap()).collect();
            let bytes = encode_segment(entries.iter().map(Vec::as_slice));
            let read = decode_segment(&bytes).unwrap();
            prop_assert!(read.iter().all(|entry| entry.head == head("paid")));
            prop_assert_eq!(read.into_iter().map(|entry| entry.payload).collect::<Vec<_>>(), payloads.clone());
            let cut = &bytes[..cut.index(bytes.len())];
            prop_assert!(decode_segment(cut).is_ok_and(|read| read.len() < payloads.len()) || decode_segment(cut).is_err());
        }

        #[test]
        fn no_bytes_make_the_readers_panic(bytes: Vec<u8>) {
            let _ = (decode_segment(&bytes), decode_progress(&bytes), Member::decode(&bytes));
        }
    }

    #[test]
    fn another_version_is_left_alone() {
        let segment = encode_segment([encode_entry(&head("paid"), b"{}").unwrap().as_slice()].into_iter());
        assert_eq!(decode_segment(&[&[VERSION + 1], &segment[1..]].concat()), Err(StoreError::UnknownFormat));
        assert_eq!(decode_segment(b""), Err(StoreError::UnknownFormat));
    }

    #[test]
    fn progress_is_read_as_it_was_written() {
        let at = WallTime::from_millis(1_700_000_000_000);
        let stages = [
            JournalStage::Waiting(at),
            JournalStage::Sinking { attempts: 2, reason: Reason::Failed, due: at },
            JournalStage::Ended,
        ];
        let deliveries = stages.map(|stage| DeliveryProgress {
            endpoint: "billing".to_owned(),
            attempts: 3,
            response_status: Some(503),
            stage,
            trail: Trail::default(),
        });
        let events = [
            EventProgress { index: 0, trials: 1, is_ended: false, deliveries: deliveries.into() },
            EventProgress { index: 9, is_ended: true, ..EventProgress::default() },
        ];
        assert_eq!(decode_progress(&encode_progress(&events).unwrap()), Ok(events.into()));
    }

    #[test]
    fn a_member_of_a_later_version_is_read() {
        let member = Member { instance: "a".to_owned(), pending: 3, ..Member::default() };
        assert_eq!(Member::decode(&member.encode()), Some(member.clone()));
        assert_eq!(Member::decode(br#"{"instance":"a","pending":3,"new":[1]}"#), Some(member));
    }
}
