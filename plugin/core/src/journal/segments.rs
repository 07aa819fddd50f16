//! The segments that a writer keeps in the store, its own and those of the dead writers that it has claimed: which of
//! their events have not ended, and what of that the store does not know yet.

use std::collections::{BTreeMap, BTreeSet};

use crate::journal::operation::{SegmentId, WriterId};
use crate::journal::record::{DeliveryProgress, JournalStage};
use crate::ledger::Place;
use crate::time::WallTime;

/// The origin of an event in the journal: its segment, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The segment.
    pub segment: SegmentId,
    /// The number of the event in the segment.
    pub index: u32,
}

/// An event of a segment.
#[derive(Debug)]
pub enum SegmentEvent {
    /// This worker delivers the event, which stands at this place of the ledger. The deliveries are those that are not
    /// made here: they have ended, are dead letters, or need an endpoint that this gateway does not have.
    Here(Place, Vec<DeliveryProgress>),
    /// Nothing of the event is delivered here, and not all of its deliveries have ended.
    Rest(Vec<DeliveryProgress>),
    /// Nothing is left of the event.
    Ended,
}

impl SegmentEvent {
    /// An event of which nothing is delivered here.
    pub fn rest(deliveries: Vec<DeliveryProgress>) -> Self {
        let is_ended = |delivery: &DeliveryProgress| delivery.stage == JournalStage::Ended;
        if deliveries.iter().all(is_ended) { Self::Ended } else { Self::Rest(deliveries) }
    }
}

/// A segment with events that have not ended.
#[derive(Debug)]
pub struct OpenSegment {
    /// The events, by their numbers.
    pub events: Vec<SegmentEvent>,
    /// The size of the segment, in bytes.
    bytes: u64,
    /// When the oldest event was accepted.
    oldest: WallTime,
    /// The store holds, or may hold, progress of the segment.
    pub has_progress: bool,
    /// A try of the append is not known to be over: a late one would put the segment there again.
    pub may_come_late: bool,
    /// The content cannot be read here: it is left as it is.
    is_foreign: bool,
}

impl OpenSegment {
    /// A segment of this size with these events.
    pub fn new(events: Vec<SegmentEvent>, bytes: u64, oldest: WallTime) -> Self {
        Self { events, bytes, oldest, has_progress: false, may_come_late: false, is_foreign: false }
    }

    /// A segment that this version cannot read.
    pub fn foreign(bytes: u64, now: WallTime) -> Self {
        Self { is_foreign: true, ..Self::new(Vec::new(), bytes, now) }
    }

    fn is_finished(&self) -> bool {
        !self.is_foreign && self.events.iter().all(|event| matches!(event, SegmentEvent::Ended))
    }

    /// How much of it is left, and for whom.
    fn left(&self) -> Left {
        let left = self.events.iter().map(|event| match event {
            SegmentEvent::Here(..) => Left::Here,
            SegmentEvent::Rest(rest) if rest.iter().any(DeliveryProgress::is_open) => Left::ToOthers,
            SegmentEvent::Rest(_) => Left::Letters,
            SegmentEvent::Ended => Left::Nothing,
        });
        left.chain(self.is_foreign.then_some(Left::ToOthers)).max().unwrap_or(Left::Nothing)
    }
}

/// The segments that a writer keeps in the store. See the module.
#[derive(Debug, Default)]
pub struct Segments {
    open: BTreeMap<SegmentId, OpenSegment>,
    /// Segments whose progress the store does not know.
    changed: BTreeSet<SegmentId>,
    /// Segments to delete of which the store never had progress.
    finished: BTreeSet<SegmentId>,
    /// Segments that are finished and might come late: they are made void instead.
    void: BTreeSet<SegmentId>,
    /// Segments to delete with their progress.
    finished_noted: BTreeSet<SegmentId>,
    bytes: u64,
}

impl Segments {
    /// Adds a segment; one without events to deliver is to be deleted at once.
    pub fn insert(&mut self, id: SegmentId, segment: OpenSegment) {
        self.bytes += segment.bytes;
        self.open.insert(id, segment);
        self.finish_if_done(id);
    }

    /// A segment whose events have not all ended.
    pub fn get_mut(&mut self, id: SegmentId) -> Option<&mut OpenSegment> {
        self.open.get_mut(&id)
    }

    /// Notes that an event has ended here, its deliveries so.
    pub fn end(&mut self, origin: Origin, deliveries: Vec<DeliveryProgress>) {
        let Some(event) = self.event_mut(origin) else { return };
        let mut rest = match std::mem::replace(event, SegmentEvent::Ended) {
            SegmentEvent::Here(_, rest) | SegmentEvent::Rest(rest) => rest,
            SegmentEvent::Ended => Vec::new(),
        };
        rest.extend(deliveries);
        *event = SegmentEvent::rest(rest);
        self.changed.insert(origin.segment);
        self.finish_if_done(origin.segment);
    }

    /// Notes that a dead letter is kept no more.
    pub fn end_letter(&mut self, origin: Origin, endpoint: &str) {
        let Some(event) = self.event_mut(origin) else { return };
        let (SegmentEvent::Here(_, rest) | SegmentEvent::Rest(rest)) = event else { return };
        for delivery in rest.iter_mut().filter(|delivery| delivery.endpoint == endpoint) {
            if delivery.stage == JournalStage::Letter {
                delivery.stage = JournalStage::Ended;
            }
        }
        if let SegmentEvent::Rest(rest) = event {
            *event = SegmentEvent::rest(std::mem::take(rest));
        }
        self.changed.insert(origin.segment);
        self.finish_if_done(origin.segment);
    }

    fn event_mut(&mut self, origin: Origin) -> Option<&mut SegmentEvent> {
        self.open.get_mut(&origin.segment)?.events.get_mut(origin.index as usize)
    }

    /// Notes that the progress of an event has changed.
    pub fn change(&mut self, origin: Origin) {
        if self.open.contains_key(&origin.segment) {
            self.changed.insert(origin.segment);
        }
    }

    fn finish_if_done(&mut self, id: SegmentId) {
        let Some(segment) = self.open.get(&id).filter(|segment| segment.is_finished()) else { return };
        let finished = match segment {
            OpenSegment { may_come_late: true, .. } => &mut self.void,
            OpenSegment { has_progress: true, .. } => &mut self.finished_noted,
            OpenSegment { .. } => &mut self.finished,
        };
        finished.insert(id);
        self.bytes = self.bytes.saturating_sub(segment.bytes);
        self.open.remove(&id);
        self.changed.remove(&id);
    }

    /// Takes up to `most` finished segments of a writer that can be deleted in any order.
    pub fn take_finished(&mut self, owner: WriterId, most: usize) -> Vec<u64> {
        take(&mut self.finished, owner, most)
    }

    /// Takes up to `most` finished segments of a writer that are to be deleted with their progress.
    pub fn take_finished_noted(&mut self, owner: WriterId, most: usize) -> Vec<u64> {
        take(&mut self.finished_noted, owner, most)
    }

    /// Takes the finished segments that might come late.
    pub fn take_void(&mut self) -> Vec<SegmentId> {
        std::mem::take(&mut self.void).into_iter().collect()
    }

    /// Puts back what a note was to tell, which was not carried out.
    pub fn put_back(&mut self, owner: WriterId, changed: &[u64], finished: &[u64]) {
        let id = |seq: &u64| SegmentId { writer: owner, seq: *seq };
        self.changed.extend(changed.iter().map(id).filter(|id| self.open.contains_key(id)));
        self.finished_noted.extend(finished.iter().map(id));
    }

    /// Puts segments back that were not deleted, of which the store never had progress.
    pub fn put_back_finished(&mut self, owner: WriterId, seqs: &[u64]) {
        self.finished.extend(seqs.iter().map(|seq| SegmentId { writer: owner, seq: *seq }));
    }

    /// Takes up to `most` segments of a writer whose progress the store does not know.
    pub fn take_changed(&mut self, owner: WriterId, most: usize) -> Vec<SegmentId> {
        take(&mut self.changed, owner, most).into_iter().map(|seq| SegmentId { writer: owner, seq }).collect()
    }

    /// Whether the store does not know yet how the segments of a writer stand.
    pub fn has_news(&self, owner: WriterId) -> bool {
        [&self.changed, &self.finished, &self.finished_noted].into_iter().any(|set| of(set, owner).next().is_some())
    }

    /// How much of a writer's segments is left, and for whom.
    pub fn left(&self, owner: WriterId) -> Left {
        self.open.range(ids(owner)).map(|(_, segment)| segment.left()).max().unwrap_or(Left::Nothing)
    }

    /// Forgets the segments of a writer.
    pub fn forget(&mut self, owner: WriterId) {
        let seqs: Vec<SegmentId> = self.open.range(ids(owner)).map(|(id, _)| *id).collect();
        for id in seqs {
            self.bytes = self.bytes.saturating_sub(self.open.remove(&id).map_or(0, |segment| segment.bytes));
        }
        for set in [&mut self.changed, &mut self.finished, &mut self.finished_noted, &mut self.void] {
            set.retain(|id| id.writer != owner);
        }
    }

    /// The number of segments whose events have not all ended, and their size in bytes.
    pub fn size(&self) -> (u64, u64) {
        (self.open.len() as u64, self.bytes)
    }

    /// When the oldest event was accepted of a segment whose events have not all ended.
    pub fn oldest(&self) -> Option<WallTime> {
        self.open.values().map(|segment| segment.oldest).min()
    }
}

/// How much of a writer's segments is left, and for whom; what weighs more comes later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Left {
    /// Nothing.
    Nothing,
    /// Only dead letters, which are kept here.
    Letters,
    /// What other gateways can deliver, and perhaps dead letters.
    ToOthers,
    /// Something that is delivered here.
    Here,
}

fn ids(owner: WriterId) -> std::ops::RangeInclusive<SegmentId> {
    SegmentId { writer: owner, seq: 0 }..=SegmentId { writer: owner, seq: u64::MAX }
}

fn of(set: &BTreeSet<SegmentId>, owner: WriterId) -> impl Iterator<Item = &SegmentId> {
    set.range(ids(owner))
}

fn take(set: &mut BTreeSet<SegmentId>, owner: WriterId, most: usize) -> Vec<u64> {
    let taken: Vec<SegmentId> = of(set, owner).take(most).copied().collect();
    taken.iter().for_each(|id| {
        set.remove(id);
    });
    taken.into_iter().map(|id| id.seq).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: WriterId = WriterId([1; 16]);

    fn origin(seq: u64, index: u32) -> Origin {
        Origin { segment: SegmentId { writer: OWNER, seq }, index }
    }

    fn here() -> SegmentEvent {
        SegmentEvent::Here(Place { partition: 0, slot: 0 }, Vec::new())
    }

    fn with(events: Vec<SegmentEvent>) -> Segments {
        let mut segments = Segments::default();
        segments.insert(origin(1, 0).segment, OpenSegment::new(events, 100, WallTime::default()));
        segments
    }

    fn delivery(endpoint: &str, stage: JournalStage) -> DeliveryProgress {
        let (endpoint, trail) = (endpoint.to_owned(), crate::ledger::record::Trail::default());
        DeliveryProgress { endpoint, attempts: 0, response_status: None, stage, trail }
    }

    #[test]
    fn a_segment_is_deleted_when_all_its_events_have_ended() {
        let mut segments = with(vec![here(), here()]);
        segments.end(origin(1, 0), Vec::new());
        assert_eq!((segments.take_finished(OWNER, 9), segments.left(OWNER)), (vec![], Left::Here));
        segments.end(origin(1, 1), Vec::new());
        assert_eq!((segments.take_finished(OWNER, 9), segments.left(OWNER)), (vec![1], Left::Nothing));
        assert_eq!(segments.size(), (0, 0));
        assert!(!segments.has_news(OWNER));
    }

    /// A segment whose progress the store may have is deleted with the progress.
    #[test]
    fn noted_segment_is_deleted_with_its_progress() {
        let mut segments = with(vec![here()]);
        segments.get_mut(origin(1, 0).segment).unwrap().has_progress = true;
        segments.end(origin(1, 0), Vec::new());
        assert_eq!(segments.take_finished(OWNER, 9), [0u64; 0]);
        assert_eq!(segments.take_finished_noted(OWNER, 9), [1]);
    }

    #[test]
    fn an_event_with_other_gateways_deliveries_is_left_to_them() {
        let waiting = delivery("other", JournalStage::Waiting(WallTime::default()));
        let mut segments = with(vec![SegmentEvent::Here(Place { partition: 0, slot: 0 }, vec![waiting])]);
        assert_eq!(segments.left(OWNER), Left::Here);
        segments.end(origin(1, 0), vec![delivery("billing", JournalStage::Ended)]);
        assert_eq!(segments.left(OWNER), Left::ToOthers);
        let SegmentEvent::Rest(rest) = &segments.get_mut(origin(1, 0).segment).unwrap().events[0] else { panic!() };
        assert_eq!(rest.len(), 2, "what has ended here is not delivered by another gateway");
        assert_eq!(segments.take_changed(OWNER, 9), [origin(1, 0).segment]);
    }

    /// A segment of which a try may come late is made void: deleted, a late try would append it anew.
    #[test]
    fn a_segment_that_may_come_late_is_made_void() {
        let mut segments = with(vec![here()]);
        segments.get_mut(origin(1, 0).segment).unwrap().may_come_late = true;
        segments.end(origin(1, 0), Vec::new());
        assert_eq!((segments.take_finished(OWNER, 9), segments.take_void()), (vec![], vec![origin(1, 0).segment]));
    }

    /// A segment stays as long as one of its deliveries is a dead letter that is kept.
    #[test]
    fn a_segment_with_a_dead_letter_stays() {
        let mut segments = with(vec![here()]);
        segments.end(origin(1, 0), vec![delivery("billing", JournalStage::Letter)]);
        assert_eq!((segments.left(OWNER), segments.take_finished(OWNER, 9)), (Left::Letters, vec![]));
        segments.end_letter(origin(1, 0), "audit");
        assert_eq!(segments.left(OWNER), Left::Letters);
        segments.end_letter(origin(1, 0), "billing");
        assert_eq!((segments.left(OWNER), segments.take_finished(OWNER, 9)), (Left::Nothing, vec![1]));
    }

    /// An event of which other deliveries ended before it was taken over has ended with the last one.
    #[test]
    fn deliveries_that_ended_before_are_no_reason_to_stay() {
        let ended = delivery("other", JournalStage::Ended);
        let mut segments = with(vec![SegmentEvent::Here(Place { partition: 0, slot: 0 }, vec![ended])]);
        segments.end(origin(1, 0), Vec::new());
        assert_eq!(segments.left(OWNER), Left::Nothing);
    }

    #[test]
    fn what_is_forgotten_is_neither_open_nor_news() {
        let mut segments = with(vec![here(), here()]);
        segments.end(origin(1, 0), Vec::new());
        segments.forget(OWNER);
        assert_eq!((segments.left(OWNER), segments.has_news(OWNER), segments.size()), (Left::Nothing, false, (0, 0)));
    }
}
