//! `gatepost bench`: what an event costs beside plain forwarding, on one Envoy worker and in one run.
//!
//! Six Envoys stand side by side and are loaded in turn, so that whatever else the machine does falls on all of
//! them alike. Each is measured from the first request until the receiver has everything: what was accepted but not
//! yet delivered is not paid for.

mod messages;
mod sink;
pub mod soak;
mod wrk;

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::artifact;
use crate::envoy::{Envoy, Launch};
use crate::example::{Example, LISTENER};
use crate::wait;
use messages::Messages;
use sink::Sink;

/// The arguments of `gatepost bench`.
#[derive(clap::Args)]
pub struct Options {
    /// How long each run sends
    #[arg(long, default_value_t = 5)]
    seconds: u32,
    /// Runs of each case; their medians are reported
    #[arg(long, default_value_t = 5)]
    repetitions: usize,
    /// Connections that send, each with one request under way
    #[arg(long, default_value_t = 32)]
    connections: u32,
}

/// Runs the bench and prints a table in Markdown.
///
/// # Errors
/// When `wrk` is missing, a request is refused, or a delivery does not arrive.
pub fn run(options: &Options) -> Result<()> {
    wrk::check()?;
    ensure!(options.repetitions > 0 && options.seconds > 0, "--repetitions and --seconds must be at least 1");
    let sink = Sink::start(None)?;
    let mut cases = Vec::new();
    for (filter, what) in CASES {
        cases.push(Case { filter, name: what, envoy: start(filter, 1, &sink)?, runs: Vec::new() });
    }
    for case in &cases {
        // V8 compiles what runs often once more, and better: not in the measured time.
        case.measure(WARM_UP_SECONDS, options.connections, &sink)?;
    }
    for repetition in 1..=options.repetitions {
        for case in &mut cases {
            let run = case.measure(options.seconds, options.connections, &sink)?;
            eprintln!("{repetition}/{} {}: {:.0}/s, {:.1} µs", options.repetitions, case.name, run.rate, run.cpu_us);
            case.runs.push(run);
        }
    }
    print_table(&cases, options)
}

/// An Envoy under load, and what was measured of it.
struct Case {
    filter: Filter,
    name: &'static str,
    envoy: Envoy,
    runs: Vec<Run>,
}

/// One run of one case.
struct Run {
    /// Events a second that reached the receiver.
    rate: f64,
    /// CPU time of the Envoy process for each of them, in microseconds.
    cpu_us: f64,
}

impl Case {
    fn measure(&self, seconds: u32, connections: u32, sink: &Sink) -> Result<Run> {
        let url = format!("http://{}/events/bench", self.envoy.listener(LISTENER)?);
        let messages = match self.filter {
            Filter::NoopSigned | Filter::GatepostInbound => Some(Messages::sign(SECRET, seconds * MESSAGES_A_SECOND)?),
            _ => None,
        };
        let script = messages.as_ref().map_or_else(|| wrk::ONE_KIB.to_owned(), Messages::script);
        let (cpu, received, start) = (cpu_seconds(self.envoy.pid())?, sink.received(), Instant::now());
        let sent = wrk::run(&url, seconds, connections, &script)?;
        let delivered = all_delivered(&self.envoy, sink, received, sent)?;
        let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds(self.envoy.pid())? - cpu);
        Ok(Run { rate: delivered as f64 / seconds, cpu_us: cpu * 1e6 / delivered as f64 })
    }

    fn median(&self, value: impl Fn(&Run) -> f64) -> Result<f64> {
        let mut values: Vec<f64> = self.runs.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().context("no runs")
    }
}

/// Waits until what was sent has been received, and gives back how much that was. wrk hangs up on its last requests;
/// those may arrive too, and count like the others.
fn all_delivered(envoy: &Envoy, sink: &Sink, before: u64, sent: u64) -> Result<u64> {
    wait::until("every event is delivered", DELIVERED, || {
        let arrived = sink.received() - before >= sent;
        let idle = envoy.stat("cluster.billing.upstream_rq_active")? == 0
            && envoy.stat("http.public.downstream_cx_active")? == 0;
        Ok((arrived && idle).then(|| sink.received() - before))
    })
}

/// An Envoy with the filter of a case: the example without its authentication, which is not ours.
fn start(filter: Filter, workers: u32, sink: &Sink) -> Result<Envoy> {
    let mut example = Example::load()?;
    example.use_free_ports()?;
    example.set_cluster("billing", sink.address())?;
    if matches!(filter, Filter::Noop | Filter::NoopSigned) {
        example.set_wasm(&artifact::wasm("gatepost-noop")?)?;
    }
    let secrets = [json!({"value": SECRET})];
    let endpoint = json!({"name": "bench", "cluster": "billing", "url": "http://receiver.test/", "secrets": secrets});
    let ack = if filter == Filter::Gatepost { "accepted" } else { "delivered" };
    let route = json!({"name": "bench", "match": {"path": "/events/{event}"}, "event": "{event}", "ack": ack});
    *example.plugin()? = match filter {
        Filter::GatepostInbound => json!({"inbound": [{
            "name": "bench", "match": {"path": "/events/{event}"}, "secrets": secrets,
            // All that comes in a quarter of an hour.
            "replay": {"capacity": 1_000_000, "duplicate": "reject"},
        }]}),
        _ => json!({"enabled": true, "routes": [route], "endpoints": [endpoint]}),
    };
    let mut config = example.config().clone();
    let listeners = config.pointer_mut("/static_resources/listeners").and_then(Value::as_array_mut);
    // Without the admin surface: another filter, which has its own ticks.
    listeners.context("the example has no listeners")?.truncate(1);
    keep_filters(&mut config, filter)?;
    Envoy::start(&Launch { config, workers, env: vec![], arguments: vec![] })
}

/// Leaves only the filter under test, and lets the route forward what no filter answers.
fn keep_filters(config: &mut Value, filter: Filter) -> Result<()> {
    let manager = config.pointer_mut("/static_resources/listeners/0/filter_chains/0/filters/0/typed_config");
    let manager = manager.context("the example has no connection manager")?;
    let filters = manager.pointer_mut("/http_filters").and_then(Value::as_array_mut).context("no filters")?;
    filters.retain(|entry| match entry.get("name").and_then(Value::as_str) {
        Some("gatepost") => filter != Filter::None,
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

/// User and system time that a process has used, of all its threads.
fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the bench needs Linux's /proc")?;
    // The second field, the name in parentheses, may itself hold spaces: counting starts behind it.
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let tick = |place: usize| fields.get(place).and_then(|field| field.parse::<f64>().ok());
    let (user, system) = tick(11).zip(tick(12)).with_context(|| format!("/proc/{pid}/stat: {stat}"))?;
    Ok((user + system) / TICKS_PER_SECOND)
}

fn print_table(cases: &[Case], options: &Options) -> Result<()> {
    let Options { seconds, repetitions, connections } = options;
    println!("Medians of {repetitions} runs of {seconds} s, interleaved; one worker, {connections} connections,");
    println!("HTTP/1.1, POSTs of 1 KiB. CPU is that of the whole Envoy process.\n");
    println!("| | events/s | CPU µs an event | of (a) |\n|---|--:|--:|--:|");
    let base = cases.first().context("no cases")?.median(|run| run.cpu_us)?;
    for case in cases.iter() {
        let (rate, cpu) = (case.median(|run| run.rate)?, case.median(|run| run.cpu_us)?);
        println!("| {} | {rate:.0} | {cpu:.1} | {:.2} × |", case.name, cpu / base);
    }
    Ok(())
}

/// What stands between the client and the receiver.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Filter {
    None,
    Noop,
    Gatepost,
    GatepostAckDelivered,
    NoopSigned,
    GatepostInbound,
}

/// The filter, and what the table calls the case.
const CASES: [(Filter, &str); 6] = [
    (Filter::None, "(a) Envoy forwards, no filter"),
    (Filter::Noop, "(b) a wasm filter that buffers the body, then forwards"),
    (Filter::Gatepost, "(c) Gatepost accepts, keeps, signs and delivers"),
    (Filter::GatepostAckDelivered, "(d) the same, answering once it is delivered (`ack: delivered`)"),
    (Filter::NoopSigned, "(e) the filter of (b), with signed requests"),
    (Filter::GatepostInbound, "(f) Gatepost verifies those of (e), remembers them, then forwards"),
];
const SECRET: &str = "a-secret-of-the-usual-32-letters";
/// More than a worker verifies: each may come once.
const MESSAGES_A_SECOND: u32 = 50_000;
const WARM_UP_SECONDS: u32 = 10;
/// Far longer than a queue of 10,000 takes to empty.
const DELIVERED: Duration = Duration::from_secs(60);
/// Linux shows times to users in units of 1/100 s, whatever the kernel itself counts in.
const TICKS_PER_SECOND: f64 = 100.0;
