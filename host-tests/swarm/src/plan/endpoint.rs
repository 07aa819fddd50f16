//! The endpoints of a run.

use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};

use super::Limits;

/// The token bucket of an endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// The rate at which the bucket fills, in tokens a second.
    pub per_second: u32,
    /// The size of the bucket, in tokens.
    pub burst: u32,
}

/// An endpoint, as the checks need it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The name of the endpoint, which is also that of its cluster.
    pub name: String,
    /// The secrets: two while they rotate.
    pub secrets: Vec<String>,
    /// The wait before each attempt.
    pub delays: Vec<Duration>,
    /// How long an attempt may take.
    pub timeout: Duration,
    /// The largest age of a delivery: older ones are not attempted.
    pub max_age: Duration,
    /// The number of failures that open the breaker.
    pub failures: usize,
    /// The window in which failures count: older ones are forgotten.
    pub window: Duration,
    /// How long the breaker stays open.
    pub open: Duration,
    /// The breaker counts a delivery that has failed for good, not each failed attempt.
    pub counts_deliveries: bool,
    /// The limit of attempts, if there is one.
    pub rate: Option<Rate>,
    /// The largest number of attempts under way in one worker.
    pub max_in_flight: usize,
    /// The largest number of deliveries that may wait in one worker.
    pub pending: usize,
    /// A delivery that does not fit is a dead letter.
    pub overflows: bool,
    /// The endpoint has a sink.
    pub has_sink: bool,
    /// A 410 disables the endpoint.
    pub ends_by_gone: bool,
    /// The endpoint wants some events only.
    pub is_choosy: bool,
    /// The entry of the endpoint in the configuration.
    pub entry: Value,
}

impl Endpoint {
    pub(super) fn new(rng: &mut Rng, number: usize, limits: &Limits) -> Self {
        let name = ["billing", "audit", "search"].get(number).copied().unwrap_or("other").to_owned();
        let mut delays = vec![Duration::from_millis(if rng.u8(0..4) == 0 { rng.u64(0..2000) } else { 0 })];
        delays.extend((0..rng.usize(0..4)).map(|_| Duration::from_millis(rng.u64(0..4000))));
        let mut secrets = vec![format!("secret-of-{name}")];
        secrets.extend((rng.u8(0..3) == 0).then(|| format!("next-secret-of-{name}")));
        let rate = (rng.u8(0..5) == 0).then(|| Rate { per_second: rng.u32(1..20), burst: rng.u32(1..5) });
        let mut endpoint = Self {
            secrets,
            delays,
            timeout: Duration::from_millis(rng.u64(200..4000)),
            max_age: Duration::from_secs(if rng.u8(0..5) == 0 { rng.u64(20..60) } else { 86_400 }),
            failures: rng.usize(1..6),
            window: Duration::from_secs(30),
            open: Duration::from_secs(rng.u64(1..12)),
            counts_deliveries: rng.u8(0..6) == 0,
            rate,
            max_in_flight: rng.usize(1..10),
            pending: (limits.pending / 4).max(1),
            overflows: rng.u8(0..5) == 0,
            has_sink: rng.u8(0..4) == 0,
            ends_by_gone: rng.u8(0..3) == 0,
            is_choosy: rng.u8(0..5) == 0,
            entry: Value::Null,
            name,
        };
        let has_share = rng.u8(0..if limits.are_small { 2 } else { 6 }) == 0;
        if has_share {
            // Where each endpoint may take the whole limit, only the endpoints together exceed it.
            let takes_all = limits.are_small && rng.bool();
            endpoint.pending = if takes_all { limits.pending } else { rng.usize(2..12).min(limits.pending) };
        }
        let jitter = if rng.bool() { 0.0 } else { 0.3 };
        endpoint.entry = endpoint.entry(jitter, has_share);
        endpoint
    }

    /// Whether the endpoint wants events of this type.
    pub fn wants(&self, event: &str) -> bool {
        !self.is_choosy || event == "paid" || event.starts_with("refund.")
    }

    fn entry(&self, jitter: f64, has_share: bool) -> Value {
        let name = &self.name;
        let mut entry = json!({
            "name": name,
            "cluster": name,
            "url": format!("https://{name}.example/hooks"),
            "secrets": self.secrets.iter().map(|secret| json!({"value": secret})).collect::<Vec<_>>(),
            "timeout": seconds(&self.timeout),
            "retry": {"delays": self.delays.iter().map(seconds).collect::<Vec<_>>(), "jitter": jitter},
            "breaker": {
                "failures": self.failures,
                "window": seconds(&self.window),
                "open": seconds(&self.open),
                "count": if self.counts_deliveries { "deliveries" } else { "attempts" },
            },
            "max_in_flight": self.max_in_flight,
            "max_age": seconds(&self.max_age),
            "on_gone": if self.ends_by_gone { "disable" } else { "fail" },
        });
        let mut more = |is_so: bool, key: &str, value: Value| {
            if let Some(entry) = entry.as_object_mut().filter(|_| is_so) {
                entry.insert(key.to_owned(), value);
            }
        };
        if let Some(Rate { per_second, burst }) = self.rate {
            more(true, "rate", json!({"per_second": per_second, "burst": burst}));
        }
        more(self.is_choosy, "events", json!(["paid", "refund.*"]));
        more(self.overflows, "overflow", json!("dead_letter"));
        more(self.has_sink, "dead_letter", json!({"cluster": "sink", "url": "https://sink.example/dead"}));
        more(has_share, "pending", json!(self.pending));
        entry
    }
}

fn seconds(duration: &Duration) -> String {
    format!("{}.{:03}s", duration.as_secs(), duration.subsec_millis())
}
