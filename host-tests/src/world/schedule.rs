//! The event queue of the simulation: one for the whole process, so that a run has one order and the same seed has it
//! again. Events of the same instant happen in the order they were put in.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ids::{BuildId, QueueId, StreamId, Thread, VmId};

/// Something that happens to a VM or a stream. An event that no longer finds its VM, root, call or stream does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A root's timer fires, unless it was set again since (`armed` differs).
    Tick { thread: Thread, vm: VmId, root: u32, armed: u64 },
    /// A queue's registrant is told of an item. Envoy finds it by thread, build and context, not by VM: one rebuilt in
    /// between is told in the place of the dead one.
    QueueReady { thread: Thread, build: BuildId, root: u32, queue: QueueId },
    /// An HTTP call ends.
    CallEnd { thread: Thread, vm: VmId, token: u32 },
    /// The next part of a gRPC call or stream comes.
    Grpc { thread: Thread, vm: VmId, token: u32 },
    /// The server of a gRPC stream is asked whether it has something to say.
    GrpcAgain { thread: Thread, vm: VmId, token: u32 },
    /// The application has not answered a request yet, and does now, or the next part of its answer comes.
    Answer { stream: StreamId },
    /// The answer should have come to its end by now.
    RouteTimeout { stream: StreamId },
    /// Nothing may have happened to a stream for so long that it is given up.
    Idle { stream: StreamId },
}

/// The events to come, by time.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    events: BTreeMap<(Duration, u64), Event>,
    next_sequence: u64,
}

impl Schedule {
    /// Puts an event in, `at` after the start of the process.
    pub(crate) fn put(&mut self, at: Duration, event: Event) {
        self.events.insert((at, self.next_sequence), event);
        self.next_sequence += 1;
    }

    /// When the next event is due.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        self.events.keys().next().map(|(at, _)| *at)
    }

    /// Takes the next event out, if it is due by `until`.
    pub(crate) fn take(&mut self, until: Duration) -> Option<(Duration, Event)> {
        let entry = self.events.first_entry()?;
        let (at, _) = *entry.key();
        (at <= until).then(|| (at, entry.remove()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(armed: u64) -> Event {
        Event::Tick { thread: Thread::Main, vm: VmId(0), root: 1, armed }
    }

    /// Events come by time and at one instant in the order they were put in.
    #[test]
    fn events_come_by_time_then_in_order() {
        let mut schedule = Schedule::default();
        schedule.put(Duration::from_secs(2), tick(1));
        schedule.put(Duration::from_secs(1), tick(2));
        schedule.put(Duration::from_secs(1), tick(3));
        let taken: Vec<_> =
            std::iter::from_fn(|| schedule.take(Duration::from_secs(2))).map(|(_, event)| event).collect();
        assert_eq!(taken, [tick(2), tick(3), tick(1)]);
    }

    #[test]
    fn an_event_stays_until_it_is_due() {
        let mut schedule = Schedule::default();
        schedule.put(Duration::from_secs(2), tick(1));
        assert_eq!(schedule.take(Duration::from_millis(1999)), None);
        assert!(schedule.take(Duration::from_secs(2)).is_some());
    }
}
