//! Writers against an etcd in memory, and a clock that the test moves.

use super::*;
use crate::journal::etcd::Etcd;
use crate::journal::memory::{Fault, MemoryEtcd, has};
use crate::journal::operation::SegmentId;
use crate::journal::record::{DeliveryProgress, EventProgress, JournalStage};
use crate::journal::segments::{OpenSegment, Origin, SegmentEvent};
use crate::ledger::Place;
use crate::ledger::record::Trail;
use crate::time::WallTime;

mod appending;
mod claiming;
mod noting;
mod session;

/// What a worker does with what it takes over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Here,
    LeavesToOthers,
}

/// Some writers of one fleet, and what their workers do.
struct Fleet {
    etcd: MemoryEtcd,
    writers: Vec<Writer>,
    /// The writers that do something; the others are dead, or paused.
    running: Vec<bool>,
    takes: Vec<Takes>,
    millis: u64,
    drawn: u8,
    /// Calls with this text are not answered until [`Fleet::let_go`].
    holds: Option<&'static str>,
    held: Vec<(usize, u64, StoreCall)>,
    events: Vec<(usize, JournalEvent)>,
    /// The progress that is noted of every segment.
    progress: Vec<EventProgress>,
}

impl Fleet {
    fn new(writers: usize) -> Self {
        let writer = || Writer::new(Box::new(Etcd::new("/p", 5, None)), Duration::from_secs(5));
        let mut fleet = Self {
            etcd: MemoryEtcd::default(),
            writers: (0..writers).map(|_| writer()).collect(),
            running: vec![true; writers],
            takes: vec![Takes::Here; writers],
            millis: 10_000,
            drawn: 0,
            holds: None,
            held: Vec::new(),
            events: Vec::new(),
            progress: Vec::new(),
        };
        fleet.poll();
        fleet
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(self.millis * 1_000_000)
    }

    /// Lets the writers do what they can now.
    fn poll(&mut self) {
        for index in (0..self.writers.len()).filter(|index| self.running[*index]).collect::<Vec<_>>() {
            self.drive(index);
            let (now, mut calls) = (self.now(), 0);
            while let Some((number, call)) = self.writers[index].poll_call(now) {
                calls += 1;
                assert!(calls < 1000, "one callback makes calls for ever");
                if self.holds.is_some_and(|text| has(&call, text)) {
                    self.held.push((index, number, call));
                    continue;
                }
                let reply = self.etcd.handle(now, &call);
                self.answer(index, number, &reply);
            }
        }
    }

    fn answer(&mut self, index: usize, number: u64, reply: &StoreReply) {
        let now = self.now();
        self.writers[index].handle_reply(now, number, reply);
        self.drive(index);
    }

    fn let_go(&mut self) {
        self.holds = None;
        for (index, number, call) in std::mem::take(&mut self.held) {
            let reply = self.etcd.handle(self.now(), &call);
            self.answer(index, number, &reply);
        }
        self.poll();
    }

    fn drive(&mut self, index: usize) {
        let (now, drawn) = (self.now(), &mut self.drawn);
        self.writers[index].handle_timeout(now, true, &mut || {
            *drawn += 1;
            [*drawn; 16]
        });
        self.work(index);
        let progress = &self.progress;
        for owner in self.writers[index].take_notes(now) {
            self.writers[index].note(now, owner, &mut |_, _| progress.clone());
        }
    }

    /// Does what an engine does with the events.
    fn work(&mut self, index: usize) {
        let here = || SegmentEvent::Here(Place { partition: 0, slot: 0 }, Vec::new());
        while let Some(event) = self.writers[index].poll_event() {
            let writer = &mut self.writers[index];
            match &event {
                JournalEvent::Committed { segment, bytes, is_ours: true, .. } => {
                    writer.segments.insert(*segment, OpenSegment::new(vec![here()], *bytes, WallTime::default()));
                }
                JournalEvent::Lost => writer.segments = Segments::default(),
                JournalEvent::Taken { dead, segments } => {
                    let event = || match self.takes[index] {
                        Takes::Here => here(),
                        Takes::LeavesToOthers => SegmentEvent::Rest(vec![delivery(1)]),
                    };
                    let taken = segments.iter().filter(|segment| !segment.bytes.is_empty()).map(|stored| {
                        let mut open = OpenSegment::new(vec![event()], 1, WallTime::default());
                        open.has_progress = stored.progress.is_some();
                        (SegmentId { writer: *dead, seq: stored.seq }, open)
                    });
                    writer.open_taken(*dead, taken.collect());
                }
                _ => {}
            }
            self.events.push((index, event));
        }
    }

    /// Lets time pass in steps of 5 ms.
    fn pass(&mut self, millis: u64) {
        for _ in 0..millis / 5 {
            self.millis += 5;
            self.poll();
        }
    }

    fn append(&mut self, index: usize, ticket: EntryTicket, bytes: &str) {
        let now = self.now();
        self.writers[index].append(now, ticket, bytes.as_bytes().to_vec(), None);
    }

    /// Appends entries, each in a segment of its own, and returns the segments.
    fn commit(&mut self, index: usize, count: u64) -> Vec<SegmentId> {
        for ticket in 0..count {
            self.append(index, ticket, "entry");
            self.poll();
        }
        let mut committed = Vec::new();
        self.events.retain(|(_, event)| match event {
            JournalEvent::Committed { segment, .. } => {
                committed.push(*segment);
                false
            }
            _ => true,
        });
        assert_eq!(committed.len() as u64, count);
        committed
    }

    /// The event of a segment ends.
    fn end(&mut self, index: usize, segment: SegmentId) {
        self.writers[index].segments.end(Origin { segment, index: 0 }, Vec::new());
    }

    fn fault(&mut self, text: &str, fault: Fault) {
        self.etcd.faults = vec![(text.to_owned(), fault)];
    }

    fn heal(&mut self) {
        self.etcd.faults.clear();
    }

    /// The calls with this text.
    fn calls(&self, text: &str) -> Vec<&StoreCall> {
        self.etcd.calls.iter().filter(|call| has(call, text)).collect()
    }

    /// The fates of entries since this was asked last: the tickets that were committed, and those that were refused.
    fn fates(&mut self) -> (Vec<EntryTicket>, Vec<(Vec<EntryTicket>, CommitRefusal)>) {
        let (mut committed, mut refused) = (Vec::new(), Vec::new());
        for (_, event) in std::mem::take(&mut self.events) {
            match event {
                JournalEvent::Committed { tickets, .. } => committed.extend(tickets),
                JournalEvent::Refused { tickets, why } => refused.push((tickets, why)),
                _ => {}
            }
        }
        (committed, refused)
    }

    fn count(&self, index: usize, is: impl Fn(&JournalEvent) -> bool) -> usize {
        self.events.iter().filter(|(of, event)| *of == index && is(event)).count()
    }

    /// Kills a writer: its lease lapses.
    fn kill(&mut self, index: usize) -> WriterId {
        self.running[index] = false;
        self.writers[index].id()
    }
}

/// The progress of a delivery with a name of this length.
fn delivery(len: usize) -> DeliveryProgress {
    let (endpoint, stage) = ("e".repeat(len), JournalStage::Waiting(WallTime::default()));
    DeliveryProgress { endpoint, attempts: 1, response_status: None, stage, trail: Trail::default() }
}
