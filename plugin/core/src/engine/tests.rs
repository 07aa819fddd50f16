//! The engine against a store in memory and a clock that the test moves. Two engines over one store are two workers.

use super::*;
use crate::config;
use crate::ids::RouteId;
use crate::ingress::event::{Event, EventResult, Offer};
use crate::outcome::Ending;
use crate::store::SharedStore;
use crate::store::memory::MemoryStore;
use crate::time::{Now, WallTime};

mod acks;
mod adoption;
mod breaker;
mod endings;
mod journaled;
mod limits;
mod rollout;
mod seen;
mod telling;

const EPOCH_MILLIS: u64 = 1_700_000_000_000;

/// Some workers of one process.
struct Process {
    store: MemoryStore,
    workers: Vec<Engine>,
    millis: u64,
    drawn: u128,
}

/// An event of the first route that a producer offers, without a key.
fn offer_of(stream: u32, event_type: &str, payload: &[u8]) -> Offer {
    let event = Event {
        event_type: event_type.into(),
        payload: payload.into(),
        content_type: None,
        content_encoding: None,
        traceparent: None,
        tracestate: None,
    };
    let (fillings, filter_headers) = (Vec::new(), Vec::new());
    Offer { stream, route: RouteId(0), event, fillings, filter_headers, key: None, rollout_key: None }
}

/// An attempt that has left.
#[derive(Debug)]
struct Sent {
    worker: usize,
    call: Box<Call>,
}

impl Process {
    fn new(workers: usize, endpoints: &str) -> Self {
        Self::with(workers, "", endpoints)
    }

    /// Starts a process. `route` and `endpoints` are parts of its config: more keys of the route, and the list of
    /// endpoints.
    fn with(workers: usize, route: &str, endpoints: &str) -> Self {
        Self::configured(workers, route, endpoints, "")
    }

    /// Starts a process. `more` is the part of its config that follows the endpoints.
    fn configured(workers: usize, route: &str, endpoints: &str, more: &str) -> Self {
        let text = format!(
            r#"{{"enabled": true, "routes": [{{"name": "ingest", "match": {{"path": "/events/{{event}}"}}, "event": "{{event}}" {route}}}],
                "endpoints": [{endpoints}] {more}}}"#
        );
        let parse = || config::parse(text.as_bytes(), &|_| None).unwrap_or_else(|problems| panic!("{problems:?}"));
        let workers = (0..workers).map(|_| Engine::new(Rc::new(parse()), "g")).collect();
        Self { store: MemoryStore::default(), workers, millis: 1000, drawn: 0 }
    }

    fn run<T>(&mut self, worker: usize, run: impl FnOnce(&mut Engine, &mut World<'_>) -> T) -> T {
        let now = Now {
            mono: Instant::from_nanos(self.millis * 1_000_000),
            wall: WallTime::from_millis(EPOCH_MILLIS + self.millis),
        };
        let drawn = &mut self.drawn;
        let mut random = || {
            *drawn += 1;
            drawn.to_le_bytes()
        };
        run(&mut self.workers[worker], &mut World { now, store: &mut self.store, random: &mut random })
    }

    fn offer(&mut self, worker: usize, stream: u32) -> Reply {
        self.offer_event(worker, stream, "paid", b"{}")
    }

    fn offer_event(&mut self, worker: usize, stream: u32, event_type: &str, payload: &[u8]) -> Reply {
        let offer = offer_of(stream, event_type, payload);
        self.run(worker, |engine, world| engine.handle_event(world, offer))
    }

    /// Lets all workers do what they can now. Returns the attempts that leave, and all other actions.
    fn poll(&mut self) -> (Vec<Sent>, Vec<Action>) {
        let (mut sent, mut others) = (Vec::new(), Vec::new());
        for worker in 0..self.workers.len() {
            self.run(worker, Engine::handle_timeout);
            while let Some(action) = self.run(worker, Engine::poll_action) {
                match action {
                    Action::Call(call) => sent.push(Sent { worker, call }),
                    other => others.push(other),
                }
            }
        }
        (sent, others)
    }

    fn sent(&mut self) -> Vec<Sent> {
        self.poll().0
    }

    fn only(&mut self) -> Sent {
        let mut sent = self.sent();
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent.remove(0)
    }

    fn end(&mut self, sent: &Sent, ending: Ending) {
        self.run(sent.worker, |engine, world| engine.handle_call_ended(world, sent.call.attempt, ending, None));
    }

    /// Lets time pass in steps of 50 ms. Returns the attempts that leave meanwhile, each with its time.
    fn pass(&mut self, millis: u64) -> Vec<(u64, Sent)> {
        let end = self.millis + millis;
        let mut sent = Vec::new();
        while self.millis < end {
            self.millis += 50;
            let now = self.millis;
            sent.extend(self.sent().into_iter().map(|sent| (now, sent)));
        }
        sent
    }

    /// Ends every attempt that leaves within some time. Returns how many there were.
    fn answer_all(&mut self, millis: u64, ending: Ending) -> usize {
        let end = self.millis + millis;
        let mut count = 0;
        while self.millis < end {
            let sent = self.sent();
            count += sent.len();
            sent.iter().for_each(|sent| self.end(sent, ending));
            self.millis += 50;
        }
        count
    }

    /// The number of letters in the ring that were not freed.
    fn letters(&self) -> usize {
        let is_letter = |(key, (value, _)): &(&String, &(Vec<u8>, _))| {
            key.starts_with("g/dead/") && *key != "g/dead/index" && value.len() > 1
        };
        self.store.values.iter().filter(is_letter).count()
    }

    /// The bytes of all bodies in shared data. A free slot counts as one byte.
    fn body_bytes(&self) -> usize {
        self.store.values.iter().filter(|(key, _)| key.starts_with("g/body/")).map(|(_, (value, _))| value.len()).sum()
    }
}

fn endpoint(name: &str, rest: &str) -> String {
    format!(
        r#"{{"name": "{name}", "cluster": "{name}", "url": "http://{name}.test/", "secrets": [{{"value": "secret-of-{name}"}}] {rest}}}"#
    )
}

fn billing(rest: &str) -> String {
    endpoint("billing", rest)
}

fn header(sent: &Sent, name: &str) -> Option<String> {
    let headers = sent.call.headers()?;
    let (_, value) = headers.into_iter().find(|(other, _)| *other == name)?;
    Some(String::from_utf8(value.into_owned()).unwrap())
}
