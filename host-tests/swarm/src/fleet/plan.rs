//! The plan of a run of a fleet, which its seed decides before the run begins.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;
use serde_json::json;

use crate::plan::{PARTNER, PARTNERS_SECRET, REPLAYS};
use crate::requests::PATH;

/// What all keys of the fleet begin with.
pub const PREFIX: &str = "/gatepost/swarm";

/// The cluster of etcd's members.
pub const ETCD: &str = "etcd";

/// The token of the operator.
pub const TOKEN: &str = "operator-token-of-the-fleet";

/// The frequencies of faults: how often each happens, out of 1000 steps.
#[derive(Clone, Copy, Debug, Default)]
pub struct FleetFaults {
    /// A gateway is killed, and started again some time later.
    pub kill: u32,
    /// A VM of a gateway is lost, between callbacks or in the middle of one.
    pub trap: u32,
    /// A thread of a gateway stalls.
    pub stall: u32,
    /// A worker waits in the middle of a callback, for longer than its lease.
    pub freeze: u32,
    /// Calls to etcd go wrong for a while.
    pub calls: u32,
    /// etcd as a whole is unwell for a while.
    pub outage: u32,
    /// etcd has no room until its operator makes some.
    pub full: u32,
    /// A gateway is drained; some time later it is killed, or switched on again.
    pub drain: u32,
    /// A wall clock steps.
    pub clock: u32,
    /// A receiver's behaviour changes.
    pub receiver: u32,
}

impl FleetFaults {
    /// Whether nothing goes wrong but receivers and clocks.
    fn is_none(&self) -> bool {
        let Self { kill, trap, stall, freeze, calls, outage, full, drain, clock: _, receiver: _ } = *self;
        kill + trap + stall + freeze + calls + outage + full + drain == 0
    }
}

/// The plan of a run of a fleet.
#[derive(Clone, Debug)]
pub struct FleetPlan {
    /// The number of gateways.
    pub gateways: usize,
    /// The number of workers of each.
    pub workers: usize,
    /// The names of the endpoints, which are those of their clusters.
    pub endpoints: Vec<String>,
    /// The wait before each attempt.
    pub delays: Vec<Duration>,
    /// How long an attempt may take.
    pub timeout: Duration,
    /// How long a gateway may be silent, in seconds.
    pub lease: u64,
    /// Calls to etcd are carried out up to so much later than they arrive.
    pub jitter: Duration,
    /// A gateway may run a configuration without the last endpoint, as during a rolling deploy.
    pub is_rolling: bool,
    /// The number of steps before everything is healed.
    pub steps: u32,
    /// What goes wrong.
    pub faults: FleetFaults,
    /// Operators pause, disable and enable.
    pub is_operated: bool,
    /// What etcd does not take is kept in memory (`unavailable: memory`).
    pub falls_back: bool,
}

impl FleetPlan {
    /// The plan of a seed.
    pub fn new(rng: &mut Rng) -> Self {
        let endpoints: Vec<_> = ["billing", "audit"].into_iter().take(rng.usize(1..=2)).map(str::to_owned).collect();
        let faults = faults(rng);
        let mut delays = vec![Duration::ZERO];
        delays.extend((0..rng.usize(2..6)).map(|_| Duration::from_millis(rng.u64(100..3000))));
        let mut plan = Self {
            gateways: rng.usize(1..=3),
            workers: rng.usize(1..=2),
            is_rolling: endpoints.len() > 1 && !faults.is_none() && rng.bool(),
            endpoints,
            delays,
            timeout: Duration::from_millis(rng.u64(200..1500)),
            lease: rng.u64(2..=5),
            jitter: Duration::from_millis(if rng.bool() { 0 } else { rng.u64(1..30) }),
            steps: rng.u32(40..120),
            faults,
            is_operated: false,
            falls_back: false,
        };
        // Drawn by a copy of the generator: all else of the seed is the same as without it.
        let mut more = rng.clone().fork();
        plan.is_operated = more.bool();
        plan.falls_back = !plan.is_calm() && more.u8(0..5) == 0;
        plan
    }

    /// Whether nothing goes wrong but receivers and clocks.
    pub fn is_calm(&self) -> bool {
        self.faults.is_none() && !self.is_rolling
    }

    /// Whether every call to etcd is answered, and no thread of a gateway stands still.
    pub fn is_prompt(&self) -> bool {
        let FleetFaults { trap, stall, freeze, calls, outage, .. } = self.faults;
        trap + stall + freeze + calls + outage == 0
    }

    /// Whether a gateway that is on can always write what an operator orders.
    pub fn stores_orders(&self) -> bool {
        self.is_prompt() && self.faults.full + self.faults.drain == 0
    }

    /// The configuration of a gateway that knows these endpoints.
    pub fn config(&self, endpoints: &[String]) -> String {
        let seconds = |duration: &Duration| format!("{}.{:03}s", duration.as_secs(), duration.subsec_millis());
        let endpoint = |name: &String| {
            json!({
                "name": name,
                "cluster": name,
                "url": format!("https://{name}.example/hooks"),
                "secrets": [{"value": format!("secret-of-{name}")}],
                "timeout": seconds(&self.timeout),
                "retry": {"delays": self.delays.iter().map(seconds).collect::<Vec<_>>(), "jitter": 0.0},
                // A breaker that opens only holds attempts back.
                "breaker": {"failures": 100, "window": "30s", "open": "1s"},
                "max_age": "24h",
            })
        };
        json!({
            "enabled": true,
            "user_agent": "swarm",
            "routes": [{"name": "accept", "match": {"path": "/events/{event}"}, "event": "{event}"}],
            "endpoints": endpoints.iter().map(endpoint).collect::<Vec<_>>(),
            "inbound": [{
                "name": PARTNER, "match": {"path": PATH}, "secrets": [{"value": PARTNERS_SECRET}],
                "signature": {"scheme": "github"}, "replay": {"capacity": REPLAYS, "scope": "fleet"},
            }],
            "admin": {"tokens": [{"value": TOKEN, "role": "operate"}]},
            "journal": {
                "etcd": {"cluster": ETCD, "prefix": PREFIX}, "lease": format!("{}s", self.lease),
                "unavailable": if self.falls_back { "memory" } else { "reject" },
            },
        })
        .to_string()
    }
}

/// Prints the plan for the readers of a trace.
impl fmt::Display for FleetPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{self:?}\n{}", self.config(&self.endpoints))
    }
}

/// Draws the faults. A quarter of the runs is calm, the others have a few kinds of faults each.
fn faults(rng: &mut Rng) -> FleetFaults {
    let calm = rng.u8(0..4) == 0;
    let mut some = |most: u32| if calm || rng.bool() { 0 } else { rng.u32(1..=most) };
    let (kill, trap, stall, freeze) = (some(60), some(40), some(30), some(20));
    let (calls, outage, full, drain) = (some(60), some(25), some(15), some(30));
    let clock = if rng.bool() { 0 } else { rng.u32(1..=10) };
    FleetFaults { kill, trap, stall, freeze, calls, outage, full, drain, clock, receiver: rng.u32(10..120) }
}
