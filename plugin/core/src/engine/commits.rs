//! The engine's part of the journal: its writer, and the events that are admitted and wait for their commit.

use std::collections::BTreeMap;

use super::claims::FleetMessages;
use super::draft::Draft;
use crate::ids::EventId;
use crate::journal::batches::{EntryTicket, WAITING_BYTES_MAX, WAITING_MAX};
use crate::journal::documents::FleetKnowledge;
use crate::journal::etcd::Etcd;
use crate::journal::operation::{KeyName, Revision, WriterId};
use crate::journal::record::GuardReport;
use crate::journal::segments::Origin;
use crate::journal::writer::Writer;
use crate::journal::{JournalSettings, JournalState};
use crate::time::{Instant, WallTime};

/// The engine's part of the journal.
#[derive(Debug)]
pub(super) struct Journaled {
    pub writer: Writer,
    pub commits: Commits,
    pub messages: FleetMessages,
    /// The dead letters in the ring that the journal keeps, too.
    pub letters: Vec<KeptLetter>,
    /// The idempotency keys of events that are committed and whose producers wait, with the events' ids.
    pub unanswered: BTreeMap<KeyName, EventId>,
    /// Attempts might start when that was last asked; when they may again, those that were held back are to start.
    pub may_attempt: bool,
    /// The name and the start of this process, once they are known.
    pub process: Option<(String, WallTime)>,
    /// The writer under its present id, and when it drew that.
    pub leased: Option<(WriterId, WallTime)>,
    /// What the other gateways are told of the counts of this one.
    pub reports: BTreeMap<String, GuardReport>,
    /// When the journal served this worker badly last, and how.
    pub unwell: Option<(Instant, JournalState)>,
}

/// A dead letter in the ring that stands in the journal.
#[derive(Debug)]
pub(super) struct KeptLetter {
    /// The serial number of the letter in the ring.
    pub serial: u64,
    pub id: EventId,
    pub endpoint: String,
    pub origin: Origin,
}

impl Journaled {
    /// The name of this process; empty as long as it is not known.
    pub fn instance(&self) -> &str {
        self.process.as_ref().map_or("", |(instance, _)| instance)
    }

    /// The part for a journal with these settings.
    pub fn new(settings: &JournalSettings) -> Self {
        let etcd = Etcd::new(&settings.etcd.prefix, settings.lease.as_secs(), settings.etcd.user.as_ref());
        Self {
            writer: Writer::new(Box::new(etcd), settings.lease),
            commits: Commits::default(),
            messages: FleetMessages::default(),
            letters: Vec::new(),
            unanswered: BTreeMap::new(),
            may_attempt: false,
            process: None,
            leased: None,
            reports: BTreeMap::new(),
            unwell: None,
        }
    }
}

/// What a worker knows of the documents.
#[derive(Debug, Default)]
pub(super) struct Documents {
    /// The revision up to which this worker has read them.
    pub since: Revision,
    pub read: Instant,
    pub looked: Instant,
    /// This worker had a lease when it last looked: it reads at once when it gets one.
    pub was_alive: bool,
    pub knowledge: FleetKnowledge,
    /// When this worker looked first.
    pub began: Option<Instant>,
    pub announcements: Announcements,
}

impl Documents {
    /// What a worker knows at its start.
    pub fn new(has_fleet: bool) -> Self {
        let knowledge = if has_fleet { FleetKnowledge::Awaited } else { FleetKnowledge::Read };
        Self { knowledge, ..Self::default() }
    }
}

/// The stream of announcements, as far as this worker knows.
#[derive(Debug, Default)]
pub(super) struct Announcements {
    pub is_open: bool,
    /// When it may be opened at the earliest.
    pub again: Instant,
    /// A change was announced, and the documents were not read since.
    pub is_changed: bool,
}

/// The events that wait for their commit, by the numbers of their entries.
#[derive(Debug, Default)]
pub(super) struct Commits {
    waiting: BTreeMap<EntryTicket, Draft>,
    last: EntryTicket,
    /// The bytes of their payloads.
    pub bytes: u64,
    /// Their deliveries.
    pub deliveries: usize,
}

impl Commits {
    /// Says whether there is room for one more event of so many bytes.
    pub fn has_room(&self, bytes: u64) -> bool {
        self.waiting.len() < WAITING_MAX && self.bytes + bytes <= WAITING_BYTES_MAX
    }

    /// Adds an event; returns the number of its entry.
    pub fn add(&mut self, draft: Draft) -> EntryTicket {
        self.last += 1;
        self.bytes += draft.payload.len() as u64;
        self.deliveries += draft.pending.deliveries.len();
        self.waiting.insert(self.last, draft);
        self.last
    }

    /// Takes an event whose fate is known.
    pub fn take(&mut self, ticket: EntryTicket) -> Option<Draft> {
        let draft = self.waiting.remove(&ticket)?;
        self.bytes -= draft.payload.len() as u64;
        self.deliveries -= draft.pending.deliveries.len();
        Some(draft)
    }

    /// An event that waits.
    pub fn get_mut(&mut self, ticket: EntryTicket) -> Option<&mut Draft> {
        self.waiting.get_mut(&ticket)
    }

    /// Says whether no event waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
