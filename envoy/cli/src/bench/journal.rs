//! What a journal costs: the same gateway without one, on one member of etcd, and on three; beside a client of etcd's own
//! that writes each event by itself.
//!
//! The client is `etcdctl check perf`: 1,000 connections, each with one `Put` of 1 KiB under way, at most 15,000 a second in
//! all, for a minute, on the same members after the gateway is done with them.

use std::process::Command;

use anyhow::{Context, Result, bail};
use gatepost_kit::envoy::Envoy;
use gatepost_kit::etcd::{self, Etcd};
use gatepost_kit::example::Example;
use serde_json::json;

use super::case::{Case, Intermediary};
use super::cost::Loaded;
use super::figures::{median, quantile};
use super::latency::{Paced, SLOW};
use super::options::Options;
use super::process::cpu_seconds;
use super::sink::Sink;
use crate::terminal::{say, tell};

/// A gateway, the etcd of its journal, and what was measured of both.
struct Site {
    title: &'static str,
    etcd: Option<Etcd>,
    members: usize,
    loaded: Loaded,
    /// CPU time of all members for each event, in microseconds, of each run.
    etcd_us: Vec<f64>,
}

/// What `etcdctl` has measured.
struct Puts {
    members: usize,
    per_second: f64,
    etcd_us: f64,
}

/// Measures them and prints a table in Markdown.
///
/// # Errors
/// When there is no etcd or etcdctl, or a request is refused.
pub fn run(cases: &[Case], options: &Options, sink: &Sink) -> Result<()> {
    let is_ours = |case: &&Case| case.filter == Intermediary::Gatepost && case.beside.is_none();
    let case = cases.iter().find(is_ours).context("no case is Gatepost's")?;
    let titles = [("no journal", 0), ("a journal on one member", 1), ("a journal on three members", 3)];
    let start = |(title, members)| Site::start(title, members, case, sink);
    let mut sites = titles.into_iter().map(start).collect::<Result<Vec<_>>>()?;
    sites.iter().try_for_each(|site| site.loaded.warm_up(options, sink))?;
    for repetition in 1..=options.repetitions {
        for site in &mut sites {
            let (rate, cpu_us) = site.measure_once(options, sink)?;
            tell!("{repetition}/{} {}: {rate:.0}/s, {cpu_us:.1} µs", options.repetitions, site.title);
        }
    }
    let mut paced: Vec<Paced<'_>> = sites.iter().map(|site| Paced::new(&site.loaded, SLOW)).collect();
    let (mut number, mut etcd_seconds) = (0, vec![0.0; sites.len()]);
    for repetition in 1..=options.repetitions {
        for ((site, paced), seconds) in sites.iter().zip(&mut paced).zip(&mut etcd_seconds) {
            let before = site.etcd_seconds()?;
            paced.run(sink, options, &mut number)?;
            *seconds += site.etcd_seconds()? - before;
        }
        tell!("{repetition}/{} of the latencies", options.repetitions);
    }
    let puts = sites.iter().filter_map(|site| Some((site.etcd.as_ref()?, site.members)));
    let puts = puts.map(|(etcd, members)| put_each(etcd, members)).collect::<Result<Vec<_>>>()?;
    print(&sites, &paced, &etcd_seconds, &puts, options)
}

impl Site {
    fn start(title: &'static str, members: usize, case: &Case, sink: &Sink) -> Result<Self> {
        let etcd = match members {
            0 => None,
            members => Some(Etcd::start(&etcd::Options { members, quota: None })?),
        };
        // The example of a fleet for all: they differ in the journal alone.
        let mut example = Example::load_file("envoy/fleet.yaml")?;
        let mut more = json!({});
        if let Some(etcd) = &etcd {
            example.set_members("etcd", &etcd.addresses())?;
            more = json!({"journal": {"etcd": {"cluster": "etcd", "prefix": "/gatepost/bench"}}});
        }
        let envoy = Envoy::start(&case.launch_in(example, 1, sink, more)?)?;
        Ok(Self { title, etcd, members, loaded: Loaded::new(case.clone(), envoy), etcd_us: Vec::new() })
    }

    fn measure_once(&mut self, options: &Options, sink: &Sink) -> Result<(f64, f64)> {
        let (before, received) = (self.etcd_seconds()?, sink.received());
        let measured = self.loaded.measure_once(options, sink)?;
        let events = (sink.received() - received) as f64;
        self.etcd_us.push((self.etcd_seconds()? - before) * 1e6 / events);
        Ok(measured)
    }

    fn etcd_seconds(&self) -> Result<f64> {
        self.etcd.as_ref().map_or(Ok(0.0), |etcd| members_seconds(etcd, self.members))
    }
}

/// The CPU time of all members so far, in seconds.
fn members_seconds(etcd: &Etcd, members: usize) -> Result<f64> {
    (0..members).map(|member| cpu_seconds(etcd.pid(member).context("a member of etcd has ended")?)).sum()
}

/// Lets `etcdctl` put one key after the other.
fn put_each(etcd: &Etcd, members: usize) -> Result<Puts> {
    let before = members_seconds(etcd, members)?;
    let output = Command::new("etcdctl")
        .env("ETCDCTL_API", "3")
        .args(["--endpoints", &etcd.addresses().join(","), "check", "perf", "--load", "xl", "--prefix", "/puts/"])
        .output()
        .context("etcdctl, which the journal is compared with, is missing: apt install etcd-client")?;
    let seconds = members_seconds(etcd, members)? - before;
    // It fails where it thinks a machine too slow; what it measured it prints all the same.
    let text = String::from_utf8_lossy(&output.stdout);
    let number = |line: &str| line.split_whitespace().find_map(|word| word.parse::<f64>().ok());
    let Some(per_second) = text.split(['\n', '\r']).filter(|line| line.contains("Throughput")).find_map(number) else {
        bail!("etcdctl check perf: {text}{}", String::from_utf8_lossy(&output.stderr));
    };
    Ok(Puts { members, per_second, etcd_us: seconds * 1e6 / (per_second * CHECK_SECONDS) })
}

fn print(sites: &[Site], paced: &[Paced<'_>], etcd_seconds: &[f64], puts: &[Puts], options: &Options) -> Result<()> {
    let Options { seconds, repetitions, connections, .. } = options;
    say!("Medians of {repetitions} runs of {seconds} s, interleaved; one worker, {connections} connections, POSTs of")?;
    say!("1 KiB; on the right {SLOW} events/s, sent evenly, all runs taken together.")?;
    say!("")?;
    say!("| | events/s | Envoy, CPU µs an event | etcd | at {SLOW}/s: answer p50 | p99 | Envoy, µs | etcd |")?;
    say!("|---|--:|--:|--:|--:|--:|--:|--:|")?;
    for ((site, paced), etcd_seconds) in sites.iter().zip(paced).zip(etcd_seconds) {
        let (rate, cpu, etcd) = (site.loaded.rate()?, site.loaded.cpu_us()?, median(&site.etcd_us)?);
        let (half, most) = (quantile(&paced.answers, 0.5)?, quantile(&paced.answers, 0.99)?);
        let (slow, slow_etcd) = (paced.cpu_us(), etcd_seconds * 1e6 / paced.events as f64);
        let title = site.title;
        say!(
            "| {title} | {rate:.0} | {cpu:.0} | {etcd:.0} | {half:.2} ms | {most:.2} ms | {slow:.0} | {slow_etcd:.0} |"
        )?;
    }
    for Puts { members, per_second, etcd_us } in puts {
        say!(
            "| one Put an event, `etcdctl check perf`, {members} member(s) | {per_second:.0} | | {etcd_us:.0} | | | | |"
        )?;
    }
    Ok(())
}

/// How long `etcdctl check perf` puts.
const CHECK_SECONDS: f64 = 60.0;
