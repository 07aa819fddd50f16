//! The cases: an Envoy each, which differ in what stands between the client and the receiver.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gatepost_kit::artifact;
use gatepost_kit::envoy::{Envoy, Launch};
use gatepost_kit::example::{Example, LISTENER};
use gatepost_kit::wait;
use serde_json::{Value, json};

use super::sink::Sink;

/// What stands between the client and the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intermediary {
    /// Nothing.
    None,
    /// `gatepost-noop`.
    Noop,
    /// `gatepost-floor`.
    Floor,
    /// Gatepost, for events.
    Gatepost,
    /// The same, answering once an event is delivered.
    GatepostAckDelivered,
    /// `gatepost-noop`, for signed requests.
    NoopSigned,
    /// Gatepost, for signed requests.
    GatepostInbound,
}

impl Intermediary {
    /// Are its requests signed?
    pub fn takes_signed(self) -> bool {
        matches!(self, Self::NoopSigned | Self::GatepostInbound)
    }
}

/// A filter to measure beside that of this source: `PATH` or `PATH=LABEL`.
#[derive(Clone, Debug)]
pub struct Beside {
    wasm: PathBuf,
    label: String,
}

impl FromStr for Beside {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (path, label) = text.split_once('=').unwrap_or((text, text));
        let wasm = PathBuf::from(path).canonicalize().with_context(|| path.to_owned())?;
        ensure!(wasm.is_file(), "{path} is no file");
        Ok(Self { wasm, label: label.to_owned() })
    }
}

/// A row of a table.
#[derive(Clone, Debug)]
pub struct Case {
    /// Names what it does, such as `(c)`.
    pub letter: &'static str,
    /// What it does.
    what: &'static str,
    /// What it measures.
    pub filter: Intermediary,
    /// Gatepost from this file; `None`: built from this source.
    pub beside: Option<Beside>,
}

/// All cases, those of the filters beside at the end.
pub fn all(beside: &[Beside]) -> Vec<Case> {
    let own = CASES.map(|(letter, what, filter)| Case { letter, what, filter, beside: None });
    let gatepost = |case: &&Case| matches!(case.filter, Intermediary::Gatepost | Intermediary::GatepostInbound);
    let others = beside.iter().flat_map(|beside| {
        own.iter().filter(gatepost).map(|case| Case { beside: Some(beside.clone()), ..case.clone() })
    });
    own.iter().cloned().chain(others).collect()
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.letter)?;
        self.beside.iter().try_for_each(|beside| write!(f, " of {}", beside.label))
    }
}

impl Case {
    /// Is there no filter in it, or one that accepts and delivers? Starts and single events are measured of these.
    pub fn is_basic(&self) -> bool {
        matches!(self.filter, Intermediary::None | Intermediary::Floor | Intermediary::Gatepost)
    }

    /// Its first cell.
    pub fn title(&self) -> String {
        if self.beside.is_some() { self.to_string() } else { format!("{self} {}", self.what) }
    }

    /// Starts its Envoy.
    ///
    /// # Errors
    /// When a filter does not build, or Envoy does not start.
    pub fn start(&self, workers: u32, sink: &Sink) -> Result<Envoy> {
        Envoy::start(&self.launch(workers, sink)?)
    }

    /// How to start its Envoy: the example without its authentication, which is not ours.
    ///
    /// # Errors
    /// When a filter does not build.
    pub fn launch(&self, workers: u32, sink: &Sink) -> Result<Launch> {
        self.launch_in(Example::load()?, workers, sink, json!({}))
    }

    /// The same, of another example, and with more keys in the filter's config.
    ///
    /// # Errors
    /// When a filter does not build.
    pub fn launch_in(&self, mut example: Example, workers: u32, sink: &Sink, more: Value) -> Result<Launch> {
        example.use_free_ports()?;
        example.set_cluster("billing", sink.address())?;
        let built = match self.filter {
            Intermediary::Noop | Intermediary::NoopSigned => Some(artifact::wasm("gatepost-noop")?),
            Intermediary::Floor => Some(artifact::wasm("gatepost-floor")?),
            _ => self.beside.as_ref().map(|beside| beside.wasm.clone()),
        };
        if let Some(wasm) = built {
            example.set_wasm(&wasm)?;
        }
        *example.plugin()? = plugin(self.filter);
        if let (Some(plugin), Value::Object(more)) = (example.plugin()?.as_object_mut(), more) {
            plugin.extend(more);
        }
        let mut config = example.config().clone();
        let listeners = config.pointer_mut("/static_resources/listeners").and_then(Value::as_array_mut);
        // Without the admin surface: another filter, which has its own ticks.
        listeners.context("the example has no listeners")?.truncate(1);
        keep_filters(&mut config, self.filter)?;
        Ok(Launch { config, workers, env: vec![], arguments: vec![] })
    }
}

/// Where a case takes its events.
///
/// # Errors
/// When Envoy does not say.
pub fn url(envoy: &Envoy) -> Result<String> {
    Ok(format!("http://{}{PATH}", envoy.listener(LISTENER)?))
}

/// Waits until what was sent has been received, and gives back how much that was. wrk hangs up on its last requests;
/// those may arrive too, and count like the others.
///
/// # Errors
/// When something does not arrive.
pub fn all_delivered(envoy: &Envoy, sink: &Sink, before: u64, sent: u64) -> Result<u64> {
    wait::until("every event is delivered", DELIVERED, || {
        // To ask Envoy costs it CPU: not before it can be idle.
        let is_idle = sink.received() - before >= sent
            && envoy.stat("cluster.billing.upstream_rq_active")? == 0
            && envoy.stat("http.public.downstream_cx_active")? == 0;
        Ok(is_idle.then(|| sink.received() - before))
    })
}

/// The filter's config. Those that are not Gatepost do not look at it.
fn plugin(filter: Intermediary) -> Value {
    let secrets = [json!({"value": SECRET})];
    let path = "/events/{event}";
    if filter.takes_signed() {
        // Room for all that comes in a quarter of an hour.
        let replay = json!({"capacity": 1_000_000, "duplicate": "reject"});
        return json!({"inbound": [{"name": "bench", "match": {"path": path}, "secrets": secrets, "replay": replay}]});
    }
    let endpoint = json!({"name": "bench", "cluster": "billing", "url": "http://receiver.test/", "secrets": secrets});
    let ack = if filter == Intermediary::GatepostAckDelivered { "delivered" } else { "accepted" };
    let route = json!({"name": "bench", "match": {"path": path}, "event": "{event}", "ack": ack});
    json!({"enabled": true, "routes": [route], "endpoints": [endpoint]})
}

/// Leaves only the filter under test, and lets the route forward what no filter answers.
fn keep_filters(config: &mut Value, filter: Intermediary) -> Result<()> {
    let manager = config.pointer_mut("/static_resources/listeners/0/filter_chains/0/filters/0/typed_config");
    let manager = manager.context("the example has no connection manager")?;
    let filters = manager.pointer_mut("/http_filters").and_then(Value::as_array_mut).context("no filters")?;
    filters.retain(|entry| match entry.get("name").and_then(Value::as_str) {
        Some("gatepost") => filter != Intermediary::None,
        name => name == Some("envoy.filters.http.router"),
    });
    for filter in filters.iter_mut().filter_map(Value::as_object_mut) {
        // The route no longer switches it on.
        filter.remove("disabled");
    }
    let forward = json!({"match": {"prefix": "/"}, "route": {"cluster": "billing"}});
    let routes = manager.pointer_mut("/route_config/virtual_hosts/0/routes").context("the example has no routes")?;
    *routes = json!([forward]);
    Ok(())
}

const CASES: [(&str, &str, Intermediary); 7] = [
    ("(a)", "Envoy forwards, no filter", Intermediary::None),
    ("(b)", "a wasm filter that buffers the body, then forwards", Intermediary::Noop),
    ("(m)", "a minimal filter on the SDK accepts, keeps, signs and delivers", Intermediary::Floor),
    ("(c)", "Gatepost accepts, keeps, signs and delivers", Intermediary::Gatepost),
    ("(d)", "the same, answering once it is delivered (`ack: delivered`)", Intermediary::GatepostAckDelivered),
    ("(e)", "the filter of (b), with signed requests", Intermediary::NoopSigned),
    ("(f)", "Gatepost verifies those of (e), remembers them, then forwards", Intermediary::GatepostInbound),
];
/// Where events are posted to.
pub const PATH: &str = "/events/bench";
/// The secret of senders and of the receiver.
pub const SECRET: &str = "a-secret-of-the-usual-32-letters";
/// Far longer than a queue of 10,000 takes to empty.
const DELIVERED: Duration = Duration::from_secs(60);
