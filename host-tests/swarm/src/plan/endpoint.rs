//! The endpoints of a run.

use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};

use super::Limits;

/// A token bucket.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Tokens a second.
    pub per_second: u32,
    /// The bucket's size.
    pub burst: u32,
}

/// An endpoint, as the checks need it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its name, which is its cluster's too.
    pub name: String,
    /// Its secrets: two while they rotate.
    pub secrets: Vec<String>,
    /// The wait before each attempt.
    pub delays: Vec<Duration>,
    /// How long an attempt may take.
    pub timeout: Duration,
    /// Older deliveries are not attempted.
    pub max_age: Duration,
    /// So many failures open its breaker.
    pub failures: usize,
    /// Older failures are forgotten.
    pub window: Duration,
    /// How long its breaker stays open.
    pub open: Duration,
    /// Only a delivery that has failed for good is a failure to its breaker.
    pub counts_deliveries: bool,
    /// Its `rate`.
    pub rate: Option<Rate>,
    /// Attempts under way in one worker.
    pub max_in_flight: usize,
    /// Deliveries that may wait in one worker.
    pub pending: usize,
    /// What does not fit is a dead letter.
    pub overflows: bool,
    /// It has a sink.
    pub has_sink: bool,
    /// A 410 disables it.
    pub ends_by_gone: bool,
    /// It wants some events only.
    pub is_choosy: bool,
    /// Its entry in the configuration.
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
            // Where each may take all there is, it is all of them together that do not fit.
            let takes_all = limits.are_small && rng.bool();
            endpoint.pending = if takes_all { limits.pending } else { rng.usize(2..12).min(limits.pending) };
        }
        let jitter = if rng.bool() { 0.0 } else { 0.3 };
        endpoint.entry = endpoint.entry(jitter, has_share);
        endpoint
    }

    /// Does it want events of this type?
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
