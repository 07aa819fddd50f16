//! The plan of a run, which its seed decides before the run begins: the configurations, the load, and which faults
//! there are.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};

mod endpoint;

pub use endpoint::{Endpoint, Rate};

/// The token of the operator.
pub const TOKEN: &str = "an-operators-token";

/// The name of the inbound rule, which every configuration has.
pub const PARTNER: &str = "partner";

/// The secret of the inbound rule.
pub const PARTNERS_SECRET: &str = "a-partners-secret";

/// The number of messages that the inbound rule remembers, which is more than a run has.
pub const REPLAYS: usize = 1000;

/// A configuration that a run may load.
#[derive(Clone, Debug)]
pub struct Config {
    /// The `user_agent`, which tells the attempts of this configuration from those of others.
    pub agent: String,
    /// Whether the filter is on.
    pub enabled: bool,
    /// The names of the endpoints.
    pub endpoints: Vec<String>,
    /// The configuration as the filter reads it: JSON.
    pub text: String,
}

/// The limits of what may be kept.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Whether the limits are small: some of them are reached.
    pub are_small: bool,
    /// The largest size of a body, in bytes.
    pub body: usize,
    /// The largest number of deliveries that wait in one worker.
    pub pending: usize,
    /// The largest size of the bodies that wait in one worker, together, in bytes.
    pub pending_bytes: usize,
    /// The largest number of letters in the ring.
    pub dead_letters: usize,
    /// The largest size of the letters in the ring, together, in bytes.
    pub dead_letter_bytes: usize,
    /// The number of idempotency keys that are remembered.
    pub idempotency_keys: usize,
    /// The number of events that the history remembers.
    pub history: usize,
}

/// The frequencies of faults and of other changes: how often each happens, out of 1000 steps.
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
    /// Another configuration is loaded, or a drain ends.
    pub config: u32,
    /// The process ends and starts again.
    pub restart: u32,
    /// An event is sent whose attempts kill their VMs.
    pub poison: u32,
    /// The wall clock steps, for all threads or for one.
    pub clock: u32,
    /// A receiver's behaviour changes.
    pub receiver: u32,
    /// An operator does something.
    pub operator: u32,
    /// A worker stalls in the middle of accepting an event.
    pub freeze: u32,
}

/// The plan of a run: everything that is decided beforehand.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The number of worker threads.
    pub workers: usize,
    /// All endpoints that any configuration has.
    pub endpoints: Vec<Endpoint>,
    /// The configurations; the first is loaded at the start, and is on.
    pub configs: Vec<Config>,
    /// The limits of all configurations.
    pub limits: Limits,
    /// `ack_timeout` of the route that waits.
    pub ack_timeout: Duration,
    /// The number of steps before everything is healed.
    pub steps: u32,
    /// The faults: what goes wrong.
    pub faults: Faults,
}

impl Plan {
    /// The plan of a seed.
    pub fn new(rng: &mut Rng) -> Self {
        let limits = limits(rng);
        let endpoints: Vec<Endpoint> =
            (0..rng.usize(1..=3)).map(|number| Endpoint::new(rng, number, &limits)).collect();
        let ack_timeout = Duration::from_secs(rng.u64(1..20));
        let faults = faults(rng);
        let configs = (0..4).map(|number| config(number, &endpoints, ack_timeout, &limits)).collect();
        let (workers, steps) = (rng.usize(1..=3), rng.u32(60..160));
        let mut plan = Self { workers, endpoints, configs, limits, ack_timeout, steps, faults };
        // A freeze only where something goes wrong already. What happens during a freeze is checked only afterwards:
        // too late to let a VM die of an event, or to know which write failed. So a freeze comes with neither.
        if !plan.is_calm() && faults.poison + faults.store == 0 {
            // Drawn by a copy of the generator: all else of the seed is the same as without it.
            plan.faults.freeze = rng.clone().u32(0..40);
        }
        plan
    }

    /// Whether nothing goes wrong but receivers and clocks.
    pub fn is_calm(&self) -> bool {
        let faults = self.faults;
        let Faults { kill, trap, stall, lost_end, store, config, restart, poison, freeze, .. } = faults;
        kill + trap + stall + lost_end + store + config + restart + poison + freeze == 0
    }

    /// The endpoint of this name.
    pub fn endpoint(&self, name: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.name == name)
    }

    /// The configuration whose attempts name this agent.
    pub fn config_of(&self, agent: &str) -> Option<&Config> {
        self.configs.iter().find(|config| config.agent == agent)
    }
}

/// Prints the plan for the readers of a trace.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} workers, {} steps, {:?}", self.workers, self.steps, self.limits)?;
        writeln!(f, "{:?}", self.faults)?;
        self.configs.iter().try_for_each(|config| writeln!(f, "{}", config.text))
    }
}

/// The body that leaves for an event of the route `wrap`.
pub fn wrapped(event: &str, body: &str) -> String {
    format!(r#"{{"event":"{event}","data":{body},"metadata":{{"source":"swarm"}}}}"#)
}

/// Makes a configuration: the first two have all endpoints, the third lacks the last endpoint, and the fourth is off.
fn config(number: usize, endpoints: &[Endpoint], ack_timeout: Duration, limits: &Limits) -> Config {
    let enabled = number < 3;
    let kept = if number == 2 && endpoints.len() > 1 { endpoints.len() - 1 } else { endpoints.len() };
    let endpoints = endpoints.iter().take(kept);
    let agent = format!("config-{number}");
    let text = json!({
        "enabled": enabled,
        "inbound": [{
            "name": PARTNER, "match": {"path": "/hooks"}, "secrets": [{"value": PARTNERS_SECRET}],
            "signature": {"scheme": "github"}, "replay": {"capacity": REPLAYS},
        }],
        "user_agent": agent,
        "admin": {"tokens": [{"value": TOKEN, "role": "operate"}]},
        "routes": [
            {"name": "accept", "match": {"path": "/events/{event}"}, "event": "{event}"},
            {"name": "wrap", "match": {"path": "/wrap/{event}"}, "event": "{event}", "payload": "envelope",
             "metadata": {"source": "swarm"}},
            {"name": "wait", "match": {"path": "/wait/{event}"}, "event": "{event}", "ack": "delivered",
             "ack_timeout": format!("{}s", ack_timeout.as_secs())},
        ],
        "endpoints": endpoints.clone().map(|endpoint| &endpoint.entry).collect::<Vec<&Value>>(),
        "limits": {
            "body": limits.body,
            "pending": limits.pending,
            "pending_bytes": limits.pending_bytes,
            "dead_letters": limits.dead_letters,
            "dead_letter_bytes": limits.dead_letter_bytes,
            "idempotency_keys": limits.idempotency_keys,
            "history": limits.history,
        },
    });
    let endpoints = endpoints.map(|endpoint| endpoint.name.clone()).collect();
    Config { agent, enabled, endpoints, text: text.to_string() }
}

/// Draws the limits; those of a third of the runs are so small that they are reached.
fn limits(rng: &mut Rng) -> Limits {
    let body = rng.usize(2_000..4_000);
    if rng.u8(0..3) > 0 {
        let (pending, pending_bytes) = (10_000, 64 << 20);
        let (dead_letters, dead_letter_bytes) = (1000, 64 << 20);
        let (body, idempotency_keys) = (256 << 10, 100_000);
        return Limits {
            are_small: false,
            body,
            pending,
            pending_bytes,
            dead_letters,
            dead_letter_bytes,
            idempotency_keys,
            history: 1000,
        };
    }
    Limits {
        are_small: true,
        body,
        pending: rng.usize(4..40),
        pending_bytes: body + rng.usize(0..2_000),
        dead_letters: rng.usize(1..10),
        dead_letter_bytes: body + rng.usize(0..8_000),
        idempotency_keys: rng.usize(1..50),
        history: rng.usize(1..50),
    }
}

/// Draws the faults. A quarter of the runs is calm, the others have a few kinds of faults each. Operators act in half
/// of either.
fn faults(rng: &mut Rng) -> Faults {
    let calm = rng.u8(0..4) == 0;
    let mut some = |most: u32| if calm || rng.bool() { 0 } else { rng.u32(1..=most) };
    let (kill, trap, stall, lost_end) = (some(30), some(40), some(20), some(30));
    let (store, config, restart, poison) = (some(30), some(25), some(4), some(6));
    let clock = if rng.bool() { 0 } else { rng.u32(1..=10) };
    let operator = if rng.bool() { 0 } else { rng.u32(10..=120) };
    let receiver = rng.u32(10..120);
    Faults { kill, trap, stall, lost_end, store, config, restart, poison, clock, receiver, operator, freeze: 0 }
}
