//! Behaviours of Gatepost, written once and played on two gateways: the simulated Envoy and a real one.
//!
//! A [`Scenario`] has a configuration, a play and what must be observed. Both gateways must show the same, line by
//! line: then the results of millions of simulated moments can be believed of the real gateway. Where the gateways
//! differ the simulation is wrong. But where a line begins with `+2 s`, the real gateway may be late: its machine may
//! have other things to do.
//!
//! `cargo run -p gatepost-scenarios` plays all scenarios on both gateways and prints a table; words after `--` choose
//! the scenarios whose names contain one of the words. `ENVOY_VERSION=1.36.4` takes another Envoy.
//!
//! - [`Gateway`]: what a scenario may do and see; [`Simulated`] and [`Real`] are the two.
//! - `steps`: the steps that many scenarios share. `scenarios`: the scenarios, a file for each theme.
//! - [`run`]: plays scenarios, several at once.

use serde_json::{Value, json};

mod gateway;
#[cfg(feature = "real")]
mod real;
mod run;
mod scenarios;
mod simulated;
mod steps;

pub use gateway::{Answer, Build, Gateway, Reply, Request, Seen, Start, Ticket};
#[cfg(feature = "real")]
pub use real::Real;
pub use run::{Verdict, run};
pub use scenarios::all;
pub use simulated::Simulated;

/// A behaviour of Gatepost, and how to observe it.
pub struct Scenario {
    /// The behaviour, in a sentence.
    pub name: &'static str,
    /// The setup of the gateway at the start.
    pub start: fn() -> Start,
    /// The play: does the steps, and returns the lines that were observed.
    pub play: fn(&mut dyn Gateway) -> anyhow::Result<Vec<String>>,
    /// The lines that must be observed.
    pub expected: &'static [&'static str],
}

/// The names of the endpoints that scenarios may use; each has a cluster. `sink` takes dead letters, and
/// [`APPLICATION`] takes the requests below `/hooks` that the gateway lets through.
pub const ENDPOINTS: [&str; 4] = ["billing", "audit", "sink", APPLICATION];

/// The application behind the gateway. It verifies every request once more, by itself.
pub const APPLICATION: &str = "application";

/// A variable of every gateway's environment, and its value.
pub const VARIABLE: (&str, &str) = ("API_KEY", "key-from-outside");

/// The token that may look at the admin surface.
pub const READ: &str = "may-look";
/// The token that may also change things through the admin surface.
pub const OPERATE: &str = "may-change";

/// How many real gateways may run at once: each compiles the filter for its three threads, and the machine may have two
/// cores. Attempts that are due in a second must not wait for the compilers.
pub const REAL_AT_ONCE: usize = 4;

/// How many simulated gateways may run at once. They never wait.
pub const SIMULATED_AT_ONCE: usize = 2;

/// The secret that the receiver of an endpoint knows. A sink's letters are signed as the endpoint would have got them.
pub fn secret(endpoint: &str) -> String {
    let endpoint = if endpoint == "sink" { "billing" } else { endpoint };
    format!("secret-of-{endpoint}")
}

/// The config entry of an endpoint, with more keys.
pub fn endpoint(name: &str, more: Value) -> Value {
    let mut entry = json!({
        "name": name, "cluster": name, "url": format!("http://receiver.test/{name}"),
        "secrets": [{"value": secret(name)}],
    });
    merge(&mut entry, more);
    entry
}

/// The config entry of an endpoint whose dead letters go to the sink, with more keys.
pub fn with_sink(name: &str, more: Value) -> Value {
    let mut entry = endpoint(name, json!({"dead_letter": {"cluster": "sink", "url": "http://receiver.test/sink"}}));
    merge(&mut entry, more);
    entry
}

/// The setup with a configuration that is enabled, with one route, these endpoints and an admin surface.
pub fn config(endpoints: &[Value]) -> Start {
    Start::new(json!({
        "enabled": true,
        "routes": [{"name": "ingest", "match": {"path": "/events/{event}"}, "event": "{event}"}],
        "endpoints": endpoints,
        "admin": {"tokens": [{"value": READ}, {"value": OPERATE, "role": "operate"}]},
    }))
}

/// Sets keys of a JSON object.
pub fn merge(value: &mut Value, more: Value) {
    if let (Value::Object(value), Value::Object(more)) = (value, more) {
        value.extend(more);
    }
}
