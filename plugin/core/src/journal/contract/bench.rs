//! Three gateways at one store.

use std::time::Duration;

use crate::journal::operation::{
    Journal, Operation, Outcome, Page, SegmentId, StoreCall, StoreReply, StoredSegment, Survey, WriterId,
};

/// The store that is tested.
pub trait TestedStore {
    /// The client of one more gateway, which has asked nothing yet. All clients are of the same store.
    fn client(&mut self) -> Box<dyn Journal>;
    /// Carries a call out.
    fn carry(&mut self, call: &StoreCall) -> StoreReply;
    /// Lets this much time pass.
    fn wait(&mut self, time: Duration);
}

/// How often a rule looks again for what only time brings.
const MOMENT: Duration = Duration::from_millis(100);

/// How long a lease may take to lapse until a rule is broken.
const LAPSE_MAX: Duration = Duration::from_secs(60);

/// Three gateways at one store, each with a writer.
pub(super) struct Bench<'a> {
    store: &'a mut dyn TestedStore,
    clients: [Box<dyn Journal>; 3],
}

/// The writer of a gateway.
pub(super) fn writer(gateway: usize) -> WriterId {
    WriterId([gateway as u8 + 1; 16])
}

/// A segment of a gateway's writer.
pub(super) fn segment(gateway: usize, seq: u64) -> SegmentId {
    SegmentId { writer: writer(gateway), seq }
}

pub(super) fn append(gateway: usize, seq: u64, bytes: &str) -> Operation {
    Operation::Append { segment: segment(gateway, seq), bytes: bytes.into(), finished: Vec::new(), key: None }
}

/// A note of `gateway` about segments of `owner`.
pub(super) fn note(gateway: usize, owner: usize, progress: &[(u64, &str)], finished: &[u64]) -> Operation {
    Operation::Note {
        writer: writer(gateway),
        owner: writer(owner),
        member: if gateway == owner { format!("noted {progress:?}").into_bytes() } else { Vec::new() },
        progress: progress.iter().map(|(seq, bytes)| (*seq, (*bytes).into())).collect(),
        finished: finished.to_vec(),
    }
}

pub(super) fn delete(gateway: usize, owner: usize, finished: &[u64]) -> Operation {
    Operation::Delete { writer: writer(gateway), owner: writer(owner), finished: finished.to_vec() }
}

pub(super) fn claim(gateway: usize, dead: usize) -> Operation {
    Operation::Claim { writer: writer(gateway), dead: writer(dead) }
}

pub(super) fn release(gateway: usize, dead: usize, is_done: bool) -> Operation {
    Operation::Release { writer: writer(gateway), dead: writer(dead), is_done }
}

pub(super) fn close(gateway: usize) -> Operation {
    Operation::Close { writer: writer(gateway) }
}

impl<'a> Bench<'a> {
    /// Three gateways, of which these have opened their writers.
    pub fn new(store: &'a mut dyn TestedStore, opened: &[usize]) -> Self {
        let clients = [store.client(), store.client(), store.client()];
        let mut bench = Self { store, clients };
        for gateway in opened {
            let open = Operation::Open { writer: writer(*gateway), member: b"opened".to_vec() };
            bench.applied(*gateway, &open);
        }
        bench
    }

    /// What becomes of an operation of a gateway.
    pub fn ask(&mut self, gateway: usize, operation: &Operation) -> Outcome {
        let client = &mut self.clients[gateway];
        let mut call = client.call(operation);
        loop {
            let reply = self.store.carry(&call);
            match client.read(operation, call.part, &reply) {
                Ok(outcome) => return outcome,
                Err(next) => call = next,
            }
        }
    }

    /// Asserts what becomes of an operation.
    #[track_caller]
    pub fn is(&mut self, gateway: usize, operation: &Operation, outcome: Outcome) {
        assert_eq!(self.ask(gateway, operation), outcome, "{operation:?}");
    }

    #[track_caller]
    pub fn applied(&mut self, gateway: usize, operation: &Operation) {
        self.is(gateway, operation, Outcome::Applied);
    }

    #[track_caller]
    pub fn fenced(&mut self, gateway: usize, operation: &Operation) {
        self.is(gateway, operation, Outcome::Fenced);
    }

    /// Has an operation of one call carried out whose answer is lost, and asserts that the next try says what became of
    /// it.
    #[track_caller]
    pub fn repeated(&mut self, gateway: usize, operation: &Operation, outcome: Outcome) {
        let call = self.call(gateway, operation);
        self.carry(&call);
        self.is(gateway, operation, outcome);
    }

    /// The call of an operation of one call, which is on its way.
    pub fn call(&mut self, gateway: usize, operation: &Operation) -> StoreCall {
        self.clients[gateway].call(operation)
    }

    /// Carries out what was on its way; its answer is lost.
    pub fn carry(&mut self, call: &StoreCall) {
        self.store.carry(call);
    }

    /// What an operation may hold at most.
    pub fn limits(&self) -> crate::journal::operation::StoreLimits {
        self.clients[0].limits()
    }

    #[track_caller]
    pub fn survey(&mut self) -> Survey {
        match self.ask(0, &Operation::Survey) {
            Outcome::Survey(survey) => survey,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub fn page(&mut self, owner: usize, after: Option<u64>, most: u32) -> Page {
        match self.ask(0, &Operation::Page { owner: writer(owner), after, most }) {
            Outcome::Page(page) => page,
            other => panic!("{other:?}"),
        }
    }

    /// The segments of a gateway's writer: their numbers, their contents, and their progress.
    #[track_caller]
    pub fn segments(&mut self, owner: usize) -> Vec<(u64, String, Option<String>)> {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let shown = |StoredSegment { seq, bytes, progress }| (seq, text(bytes), progress.map(text));
        self.page(owner, None, 100).segments.into_iter().map(shown).collect()
    }

    /// Lets a moment pass.
    pub fn wait_a_moment(&mut self) {
        self.store.wait(MOMENT);
    }

    /// Waits until the writer of a gateway, which does not renew, is dead.
    #[track_caller]
    pub fn lapse(&mut self, gateway: usize) {
        let mut waited = Duration::ZERO;
        while self.survey().alive.iter().any(|(alive, _)| *alive == writer(gateway)) {
            assert!(waited < LAPSE_MAX, "the writer is alive for ever");
            self.wait_a_moment();
            waited += MOMENT;
        }
    }
}
