//! What a seed decides before a run begins: the configurations, the load, and which faults there are.

use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};

/// An endpoint, as the checks need it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its name, which is its cluster's too.
    pub name: String,
    /// The wait before each attempt.
    pub delays: Vec<Duration>,
    /// How long an attempt may take.
    pub timeout: Duration,
    /// Older deliveries are not attempted.
    pub max_age: Duration,
    /// Its entry in the configuration.
    pub entry: Value,
}

/// A configuration that a run may load.
#[derive(Clone, Debug)]
pub struct Config {
    /// What tells its attempts from those of others: its `user_agent`.
    pub agent: String,
    /// Is it on?
    pub enabled: bool,
    /// As the filter reads it.
    pub text: String,
}

/// How often what happens, out of 1000 steps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// A VM is lost.
    pub kill: u32,
    /// A VM is lost in the middle of a callback.
    pub trap: u32,
    /// A thread stalls.
    pub stall: u32,
    /// The end of a call is never told, or late.
    pub lost_end: u32,
    /// A write to shared data fails, or loses to another.
    pub store: u32,
    /// Another configuration is loaded.
    pub config: u32,
    /// The wall clock steps.
    pub clock: u32,
    /// A receiver's behaviour changes.
    pub receiver: u32,
}

/// Everything that is decided beforehand.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Worker threads.
    pub workers: usize,
    /// All endpoints that any configuration has.
    pub endpoints: Vec<Endpoint>,
    /// The configurations; the first is loaded at the start, and is on.
    pub configs: Vec<Config>,
    /// Steps before everything is healed.
    pub steps: u32,
    /// What goes wrong.
    pub faults: Faults,
}

impl Plan {
    /// The plan of a seed.
    pub fn new(rng: &mut Rng) -> Self {
        let endpoints: Vec<Endpoint> = (0..rng.usize(1..=3)).map(|number| endpoint(rng, number)).collect();
        let ack_timeout = rng.u32(1..20);
        let faults = faults(rng);
        let configs = (0..4).map(|number| config(number, &endpoints, ack_timeout)).collect();
        Self { workers: rng.usize(1..=3), endpoints, configs, steps: rng.u32(60..160), faults }
    }

    /// Does nothing go wrong but receivers?
    pub fn is_calm(&self) -> bool {
        let Faults { kill, trap, stall, lost_end, store, config, clock: _, receiver: _ } = self.faults;
        kill + trap + stall + lost_end + store + config == 0
    }

    /// The endpoint of this name.
    pub fn endpoint(&self, name: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.name == name)
    }
}

/// The secret of an endpoint.
pub fn secret(name: &str) -> String {
    format!("secret-of-{name}")
}

fn endpoint(rng: &mut Rng, number: usize) -> Endpoint {
    let name = ["billing", "audit", "search"].get(number).copied().unwrap_or("other").to_owned();
    let mut delays = vec![Duration::from_millis(if rng.u8(0..4) == 0 { rng.u64(0..2000) } else { 0 })];
    delays.extend((0..rng.usize(0..4)).map(|_| Duration::from_millis(rng.u64(0..4000))));
    let timeout = Duration::from_millis(rng.u64(200..4000));
    let max_age = Duration::from_secs(if rng.u8(0..5) == 0 { rng.u64(20..60) } else { 86_400 });
    let seconds = |duration: &Duration| format!("{}.{:03}s", duration.as_secs(), duration.subsec_millis());
    let mut entry = json!({
        "name": name,
        "cluster": name,
        "url": format!("https://{name}.example/hooks"),
        "secrets": [{"value": secret(&name)}],
        "timeout": seconds(&timeout),
        "retry": {
            "delays": delays.iter().map(seconds).collect::<Vec<_>>(),
            "jitter": if rng.bool() { 0.0 } else { 0.3 },
        },
        "breaker": {"failures": rng.u32(1..6), "window": "30s", "open": format!("{}s", rng.u32(1..12))},
        "max_in_flight": rng.u32(1..10),
        "max_age": seconds(&max_age),
        "on_gone": "fail",
    });
    let mut more = |key: &str, value: Value| {
        if let Some(entry) = entry.as_object_mut() {
            entry.insert(key.to_owned(), value);
        }
    };
    if rng.u8(0..5) == 0 {
        more("rate", json!({"per_second": rng.u32(1..20), "burst": rng.u32(1..5)}));
    }
    if rng.u8(0..5) == 0 {
        more("events", json!(["paid", "refund.*"]));
    }
    if rng.u8(0..5) == 0 {
        more("overflow", json!("dead_letter"));
    }
    if rng.u8(0..4) == 0 {
        more("dead_letter", json!({"cluster": "sink", "url": "https://sink.example/dead"}));
    }
    if rng.u8(0..6) == 0 {
        more("pending", json!(rng.u32(2..12)));
    }
    Endpoint { name, delays, timeout, max_age, entry }
}

/// The first two have all endpoints, the third lacks the last one, and the fourth is off.
fn config(number: usize, endpoints: &[Endpoint], ack_timeout: u32) -> Config {
    let enabled = number < 3;
    let kept = if number == 2 && endpoints.len() > 1 { endpoints.len() - 1 } else { endpoints.len() };
    let entries: Vec<&Value> = endpoints.iter().take(kept).map(|endpoint| &endpoint.entry).collect();
    let agent = format!("config-{number}");
    let text = json!({
        "enabled": enabled,
        "user_agent": agent,
        "routes": [
            {"name": "accept", "match": {"path": "/events/{event}"}, "event": "{event}"},
            {"name": "wait", "match": {"path": "/wait/{event}"}, "event": "{event}", "ack": "delivered",
             "ack_timeout": format!("{ack_timeout}s")},
        ],
        "endpoints": entries,
    });
    Config { agent, enabled, text: text.to_string() }
}

/// A quarter of the runs is calm, the others have a few kinds of faults each.
fn faults(rng: &mut Rng) -> Faults {
    let calm = rng.u8(0..4) == 0;
    let mut some = |most: u32| if calm || rng.bool() { 0 } else { rng.u32(1..=most) };
    let (kill, trap, stall, lost_end) = (some(30), some(40), some(20), some(30));
    let (store, config, clock) = (some(30), some(25), some(10));
    Faults { kill, trap, stall, lost_end, store, config, clock, receiver: rng.u32(10..120) }
}
