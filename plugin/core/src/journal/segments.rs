//! The segments that a writer keeps in the store, its own and those of the dead writers that it has claimed: which of
//! their events have not ended, and what of that the store does not know yet.

use std::collections::{BTreeMap, BTreeSet};

use crate::journal::operation::{SegmentId, WriterId};
use crate::journal::record::DeliveryProgress;
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
    /// This worker delivers the event, which stands at this place of the ledger. Deliveries that this worker cannot make
    /// are left as they stand.
    Here(Place, Vec<DeliveryProgress>),
    /// Nothing is left of the event.
    Ended,
    /// The event waits for a gateway whose configuration has its endpoints.
    Left(Vec<DeliveryProgress>),
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
    /// The content cannot be read here: it is left as it is.
    is_foreign: bool,
}

impl OpenSegment {
    /// A segment of this size with these events.
    pub fn new(events: Vec<SegmentEvent>, bytes: u64, oldest: WallTime) -> Self {
        Self { events, bytes, oldest, has_progress: false, is_foreign: false }
    }

    /// A segment that this version cannot read.
    pub fn foreign(bytes: u64, now: WallTime) -> Self {
        Self { is_foreign: true, ..Self::new(Vec::new(), bytes, now) }
    }

    fn is_finished(&self) -> bool {
        !self.is_foreign && self.events.iter().all(|event| matches!(event, SegmentEvent::Ended))
    }

    /// Whether some of it is left to another gateway, and nothing to this one.
    fn is_left(&self) -> bool {
        let is_here = |event: &SegmentEvent| matches!(event, SegmentEvent::Here(..));
        !self.is_finished() && !self.events.iter().any(is_here)
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

    /// Notes that an event has ended here; what is left to other gateways stays.
    pub fn end(&mut self, origin: Origin) {
        let Some(segment) = self.open.get_mut(&origin.segment) else { return };
        let Some(event) = segment.events.get_mut(origin.index as usize) else { return };
        *event = match std::mem::replace(event, SegmentEvent::Ended) {
            SegmentEvent::Here(_, left) if !left.is_empty() => SegmentEvent::Left(left),
            _ => SegmentEvent::Ended,
        };
        self.changed.insert(origin.segment);
        self.finish_if_done(origin.segment);
    }

    /// Notes that the progress of an event has changed.
    pub fn change(&mut self, origin: Origin) {
        if self.open.contains_key(&origin.segment) {
            self.changed.insert(origin.segment);
        }
    }

    fn finish_if_done(&mut self, id: SegmentId) {
        let Some(segment) = self.open.get(&id).filter(|segment| segment.is_finished()) else { return };
        if segment.has_progress {
            self.finished_noted.insert(id)
        } else {
            self.finished.insert(id)
        };
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
        let mut segments = self.open.range(ids(owner)).map(|(_, segment)| segment.is_left());
        match segments.next() {
            None => Left::Nothing,
            Some(first) if first && segments.all(|is_left| is_left) => Left::ToOthers,
            Some(_) => Left::Here,
        }
    }

    /// Forgets the segments of a writer.
    pub fn forget(&mut self, owner: WriterId) {
        let seqs: Vec<SegmentId> = self.open.range(ids(owner)).map(|(id, _)| *id).collect();
        for id in seqs {
            self.bytes = self.bytes.saturating_sub(self.open.remove(&id).map_or(0, |segment| segment.bytes));
        }
        for set in [&mut self.changed, &mut self.finished, &mut self.finished_noted] {
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

/// How much of a writer's segments is left, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nothing.
    Nothing,
    /// Only what other gateways can deliver.
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
    set.retain(|id| !taken.contains(id));
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

    #[test]
    fn a_segment_is_deleted_when_all_its_events_have_ended() {
        let mut segments = with(vec![here(), here()]);
        segments.end(origin(1, 0));
        assert_eq!((segments.take_finished(OWNER, 9), segments.left(OWNER)), (vec![], Left::Here));
        segments.end(origin(1, 1));
        assert_eq!((segments.take_finished(OWNER, 9), segments.left(OWNER)), (vec![1], Left::Nothing));
        assert_eq!(segments.size(), (0, 0));
        assert!(!segments.has_news(OWNER));
    }

    /// A segment whose progress the store may have is deleted with the progress.
    #[test]
    fn noted_segment_is_deleted_with_its_progress() {
        let mut segments = with(vec![here()]);
        segments.get_mut(origin(1, 0).segment).unwrap().has_progress = true;
        segments.end(origin(1, 0));
        assert_eq!(segments.take_finished(OWNER, 9), [0u64; 0]);
        assert_eq!(segments.take_finished_noted(OWNER, 9), [1]);
    }

    #[test]
    fn an_event_with_other_gateways_deliveries_is_left_to_them() {
        let left = DeliveryProgress {
            endpoint: "other".to_owned(),
            attempts: 0,
            response_status: None,
            stage: crate::journal::record::JournalStage::Ended,
            trail: crate::ledger::record::Trail::default(),
        };
        let mut segments = with(vec![SegmentEvent::Here(Place { partition: 0, slot: 0 }, vec![left])]);
        segments.end(origin(1, 0));
        assert_eq!(segments.left(OWNER), Left::ToOthers);
        assert_eq!(segments.take_changed(OWNER, 9), [origin(1, 0).segment]);
    }

    #[test]
    fn what_is_forgotten_is_neither_open_nor_news() {
        let mut segments = with(vec![here(), here()]);
        segments.end(origin(1, 0));
        segments.forget(OWNER);
        assert_eq!((segments.left(OWNER), segments.has_news(OWNER), segments.size()), (Left::Nothing, false, (0, 0)));
    }
}
