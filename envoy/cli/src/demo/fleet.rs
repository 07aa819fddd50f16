//! `gatepost demo --fleet`: envoy/fleet.yaml, twice, on a real etcd. One of the gateways is killed under load; the table
//! shows who delivered what it had accepted.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use gatepost_kit::envoy::{self, Launch};
use gatepost_kit::etcd::{self, Etcd};
use gatepost_kit::example::{Example, USER};
use gatepost_kit::fleet::Fleet;
use gatepost_kit::fleet::account::{Account, NOTED, Takeover};
use gatepost_kit::fleet::load::{Load, Outcome, Producers};
use gatepost_kit::receiver::{Options as ReceiverOptions, Receiver, Record};
use gatepost_kit::wait;
use serde_json::{Value, json};

use super::{ENDPOINTS, WORKERS, token};
use crate::terminal::{say, tell};

/// Runs the demo of a fleet.
///
/// # Errors
/// When something it needs is missing, or not every accepted event arrived.
pub fn run(keep: bool) -> Result<()> {
    // Told before minutes of building.
    let etcd = etcd::find()?;
    tell!("Building the filter");
    let mut example = Example::load_file("envoy/fleet.yaml")?;
    let envoy = envoy::find()?;
    tell!("Starting etcd ({}, {MEMBERS} members), two gateways ({}) and the receiver", etcd.display(), envoy.display());
    let mut secrets = Vec::new();
    for (endpoint, variable) in ENDPOINTS {
        secrets.push((endpoint, example.variable(variable)?));
    }
    let endpoints: Vec<(&str, &str)> = secrets.iter().map(|(name, secret)| (*name, secret.as_str())).collect();
    let receiver = Receiver::start(&endpoints, &ReceiverOptions { compact: true, ..ReceiverOptions::default() })?;
    let etcd = Etcd::start(&etcd::Options { members: MEMBERS, quota: None })?;
    prepare(&mut example, &etcd, &receiver)?;
    let launches = [FIRST, SECOND].map(|agent| launch(&mut example, agent));
    let mut fleet = Fleet::start(etcd, launches.into_iter().collect::<Result<_>>()?)?;
    let (outcome, killed) = kill_one_under_load(&mut fleet, launch(&mut example, AGAIN)?)?;
    let accounts = settle(&fleet, &receiver, &outcome)?;
    show(&receiver, &outcome, killed, &accounts)?;
    judge(&accounts)?;
    if keep {
        keep_running(&fleet, &receiver)?;
    }
    Ok(())
}

/// Leads the example's clusters to what runs here, and has its endpoints bear a receiver that fails one in ten.
fn prepare(example: &mut Example, etcd: &Etcd, receiver: &Receiver) -> Result<()> {
    example.use_free_ports()?;
    example.set_members("etcd", &etcd.addresses())?;
    let endpoints = example.plugin()?.get_mut("endpoints").and_then(Value::as_array_mut);
    for endpoint in endpoints.context("the example has no endpoints")? {
        let retry = endpoint.as_object_mut().context("an endpoint is an object")?;
        retry.insert("retry".to_owned(), json!({"delays": ["0s", "1s", "1s", "1s", "1s", "1s", "1s", "1s"]}));
    }
    for (endpoint, _) in ENDPOINTS {
        example.set_cluster(endpoint, receiver.address())?;
        receiver.fail_one_in_ten(endpoint, ANSWER)?;
    }
    Ok(())
}

/// How a gateway is started that tells receivers this name.
fn launch(example: &mut Example, agent: &str) -> Result<Launch> {
    let plugin = example.plugin()?.as_object_mut().context("a filter's config is an object")?;
    plugin.insert("user_agent".to_owned(), json!(agent));
    Ok(Launch { config: example.config().clone(), workers: WORKERS, env: vec![], arguments: vec![] })
}

/// Sends events to both gateways, kills the first one on the way and starts it again as `again`. What came of it, and when
/// it was killed.
fn kill_one_under_load(fleet: &mut Fleet, again: Launch) -> Result<(Outcome, f64)> {
    let load = Load { producers: 8, per_second: PER_SECOND, event: "payment_verified", filler: 1000 };
    say!("{EVENTS} events, {PER_SECOND} a second, to both gateways; the receiver fails one attempt in ten")?;
    let producers = Producers::start(fleet.addresses(), load);
    producers.wait_for_more(EVENTS / 3, LOADED)?;
    let first = fleet.gateway_mut(0)?;
    let pending = first.pending()?;
    let killed = first.kill()?;
    say!("kill -9 of {FIRST} after {} events, with {pending} deliveries pending", producers.accepted())?;
    producers.wait_for_more(EVENTS / 3, LOADED)?;
    first.set_launch(again)?;
    first.restart()?;
    say!("started again as {AGAIN} after {} events", producers.accepted())?;
    Ok((producers.finish_at(EVENTS, LOADED)?, killed))
}

/// Waits until everything has arrived, or nothing more comes; the account of each endpoint.
fn settle(fleet: &Fleet, receiver: &Receiver, outcome: &Outcome) -> Result<BTreeMap<&'static str, Account>> {
    let account = || {
        let account = |(endpoint, _): (&'static str, _)| {
            Ok((endpoint, Account::of(&outcome.accepted, &receiver.records(endpoint, 0)?)))
        };
        ENDPOINTS.into_iter().map(account).collect::<Result<BTreeMap<_, _>>>()
    };
    let is_whole = |accounts: &BTreeMap<_, Account>| accounts.values().all(|account| account.missing.is_empty());
    let whole = wait::within(ARRIVED, LOOK, || {
        let pending = fleet.gateway(0)?.pending()? + fleet.gateway(1)?.pending()?;
        Ok(Some(account()?).filter(|accounts| pending == 0 && is_whole(accounts)))
    })?;
    whole.map_or_else(account, Ok)
}

/// What one gateway did.
#[derive(Default)]
struct Deeds {
    accepted: usize,
    delivered: usize,
    /// Of those, what another gateway had accepted.
    taken_over: usize,
}

fn show(receiver: &Receiver, outcome: &Outcome, killed: f64, accounts: &BTreeMap<&str, Account>) -> Result<()> {
    let acceptor = |gateway: usize, answered: f64| match gateway {
        0 if answered <= killed => FIRST,
        0 => AGAIN,
        _ => SECOND,
    };
    let acceptors: HashMap<&str, &str> =
        outcome.accepted.iter().map(|event| (event.id.as_str(), acceptor(event.gateway, event.answered))).collect();
    let mut deeds: BTreeMap<&str, Deeds> = [FIRST, SECOND, AGAIN].map(|agent| (agent, Deeds::default())).into();
    for agent in acceptors.values() {
        deeds.entry(agent).or_default().accepted += 1;
    }
    let mut records = Vec::new();
    let mut takeovers = Vec::new();
    for (endpoint, _) in ENDPOINTS {
        let of_endpoint = receiver.records(endpoint, 0)?;
        takeovers.extend(Takeover::of(&outcome.accepted, &of_endpoint, 0, killed));
        records.extend(of_endpoint);
    }
    for Record { id, agent, .. } in records.iter().filter(|record| record.taken) {
        let doer = deeds.entry(agent).or_default();
        doer.delivered += 1;
        // Of an event whose producer got no answer nobody knows.
        doer.taken_over += usize::from(acceptors.get(id.as_str()).is_some_and(|acceptor| acceptor != agent));
    }
    say!("")?;
    say!("{:<18} {:>8} {:>10} {:>20}", "gateway", "accepted", "delivered", "accepted by another")?;
    for (agent, Deeds { accepted, delivered, taken_over }) in deeds {
        let shown = if agent == FIRST { format!("{agent}, killed") } else { agent.to_owned() };
        say!("{shown:<18} {accepted:>8} {delivered:>10} {taken_over:>20}")?;
    }
    say!("")?;
    if let Some(first) = takeovers.iter().map(|takeover| takeover.first).reduce(f64::min) {
        let deliveries: usize = takeovers.iter().map(|takeover| takeover.deliveries).sum();
        say!("{deliveries} deliveries that {FIRST} owed went on {first:.1} s after it was killed (its lease: 5 s)")?;
    }
    let twice: usize = accounts.values().map(|account| account.duplicates.len()).sum();
    if twice > 0 {
        let others: usize = accounts.values().map(|account| account.unexplained(&[killed], NOTED).len()).sum();
        say!(
            "{twice} deliveries came twice, {} of them because {FIRST} had made them just before it was killed",
            twice - others
        )?;
    }
    let untold = accounts.values().map(|account| account.untold).max().unwrap_or_default();
    let refused = outcome.refused.len();
    say!("{refused} requests met a gateway that was dead or just begun: another was sent; {untold} of them arrived")?;
    Ok(())
}

fn judge(accounts: &BTreeMap<&str, Account>) -> Result<()> {
    let mut problems = Vec::new();
    for (endpoint, account) in accounts {
        let missing = account.missing.iter().map(|id| format!("{id} was accepted and did not reach {endpoint}"));
        problems.extend(missing.chain(account.unverified.iter().map(|problem| format!("at {endpoint}: {problem}"))));
    }
    ensure!(problems.is_empty(), "not everything was delivered and verified:\n{}", problems.join("\n"));
    let accepted = accounts.values().next().map_or(0, |account| account.accepted);
    say!("all {accepted} accepted events arrived at {} endpoints, verified by the receiver", accounts.len())?;
    Ok(())
}

fn keep_running(fleet: &Fleet, receiver: &Receiver) -> Result<Infallible> {
    say!("")?;
    for number in [0, 1] {
        let gateway = fleet.gateway(number)?;
        say!("events     http://{}/events/<event type>", gateway.address())?;
        say!("page       http://{}/gatepost    (token: {})", gateway.admin_address(), token())?;
        say!("process    kill -9 {}", gateway.envoy()?.pid())?;
    }
    say!(
        "etcd       ETCDCTL_API=3 etcdctl --endpoints {} get --prefix --keys-only /",
        fleet.etcd.addresses().join(",")
    )?;
    for (endpoint, _) in ENDPOINTS {
        say!("received   http://{}/-/{endpoint}/records", receiver.address())?;
    }
    let json = "-H 'content-type: application/json' -d '{\"amount\": 42}'";
    say!("")?;
    say!("curl -i http://{}/events/payment_verified -u {USER} {json}", fleet.gateway(0)?.address())?;
    say!("")?;
    say!("Ctrl-C ends it.")?;
    wait::until("both gateways have ended", Duration::MAX, || {
        let (one, other) = (fleet.gateway(0)?.envoy()?.exited()?, fleet.gateway(1)?.envoy()?.exited()?);
        Ok(one.zip(other))
    })?;
    bail!("both gateways have ended")
}

/// What the gateways call themselves to receivers; the first one has another name when it is started again.
const FIRST: &str = "gateway-1";
const SECOND: &str = "gateway-2";
const AGAIN: &str = "gateway-1-again";
/// One can be lost.
const MEMBERS: usize = 3;
const EVENTS: usize = 2400;
const PER_SECOND: u32 = 200;
/// How long the receiver takes for an answer, in seconds: so that some deliveries are under way at each moment.
const ANSWER: f64 = 0.05;
/// A part of the load takes 4 s.
const LOADED: Duration = Duration::from_secs(120);
/// Longer than a lease, a takeover and all retries.
const ARRIVED: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(200);
