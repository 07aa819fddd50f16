//! What was accepted arrives, whatever dies meanwhile.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use gatepost_cli::receiver::{Options, Receiver};
use gatepost_cli::{artifact, wait};
use gatepost_e2e::load::{Accepted, Load};
use gatepost_e2e::{Event, Gateway, Protocol, Setup, endpoint};
use serde_json::json;
use tempfile::TempDir;

use crate::isolation::one_load_at_a_time;

const EVENTS: usize = 10_000;
const CONNECTIONS: u32 = 8;
const DEADLINE: Duration = Duration::from_secs(60);
/// Longer than a lease, an attempt that is under way, and every retry.
const ARRIVAL: Duration = Duration::from_secs(90);

/// A receiver that remembers over its own death, and the load that runs while a test breaks things.
struct Scene {
    directory: TempDir,
    options: Options,
}

impl Scene {
    fn new() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let journal = directory.path().join("journal");
        Ok(Self { directory, options: Options { port: 0, compact: true, journal: Some(journal) } })
    }

    fn receiver(&self) -> Result<Receiver> {
        Receiver::start(&[("a", "secret-of-a")], &self.options)
    }

    fn journal(&self) -> PathBuf {
        self.directory.path().join("journal")
    }

    /// Breaks things while 10,000 events are sent at 400 a second, then waits until each accepted one has arrived. The
    /// number of those that arrived again, and what `break_things` returned.
    fn play<T>(&self, gateway: &Gateway, break_things: impl FnOnce() -> Result<T>) -> Result<(usize, T)> {
        let every = Some(Duration::from_millis(20));
        let load =
            Load { protocol: Protocol::Http1, connections: CONNECTIONS, events: EVENTS as u32 / CONNECTIONS, every };
        let event = Event::new("payment_verified", format!("{{\"filler\":\"{}\"}}", "x".repeat(1000)));
        let ((accepted, refused), kept) = thread::scope(|scope| {
            let load = scope.spawn(|| load.run_stubbornly(gateway, &event));
            let broken = break_things();
            let loaded = load.join().map_err(|_| anyhow!("the load panicked"))?;
            broken.and_then(|kept| Ok((loaded?, kept)))
        })?;
        self.wait_for(&accepted)?;
        let arrived = fs::read_to_string(self.journal())?.lines().count();
        let unanswered = self.arrived()?.len() - accepted.len();
        let again = arrived - self.arrived()?.len();
        println!(
            "{} accepted, {refused} refused or not answered ({unanswered} of them arrived), {again} arrived again",
            accepted.len()
        );
        Ok((again, kept))
    }

    fn wait_for(&self, accepted: &[Accepted]) -> Result<()> {
        let sent: BTreeSet<&str> = accepted.iter().map(|event| event.id.as_str()).collect();
        ensure!(sent.len() == EVENTS, "each event has an id of its own");
        let missing = || -> Result<usize> {
            let arrived = self.arrived()?;
            Ok(sent.iter().filter(|id| !arrived.contains(**id)).count())
        };
        wait::until("every accepted event arrives", ARRIVAL, || Ok((missing()? == 0).then_some(())))
            .with_context(|| format!("{:?} are missing", missing()))
    }

    fn arrived(&self) -> Result<BTreeSet<String>> {
        let journal = fs::read_to_string(self.journal())?;
        Ok(journal.lines().filter_map(|line| Some(line.split_once(' ')?.1.to_owned())).collect())
    }
}

fn setup(receiver: &Receiver) -> Setup {
    let reload = json!({"reload_config": {"backoff": {"base_interval": "0.1s"}}});
    Setup::new(receiver, &[endpoint("a", "secret-of-a", json!({"breaker": {"failures": 100}}))]).with_around(reload)
}

#[test]
fn a_worker_whose_vm_traps_twenty_times_under_load_loses_nothing() -> Result<()> {
    let _alone = one_load_at_a_time();
    let scene = Scene::new()?;
    let receiver = scene.receiver()?;
    let gateway = Gateway::start(&setup(&receiver).with_wasm(artifact::wasm_that_traps()?))?;
    let (again, ()) = scene.play(&gateway, || {
        for times in 1..=20 {
            // The trap answers nobody, or 503.
            let answer = gateway.send(&Event::new("payment_verified", "{}").with_header("x-gatepost-trap", "now"));
            ensure!(answer.as_ref().map_or(true, |answer| answer.status == 503), "{answer:?}");
            wait::until("the VM is rebuilt", DEADLINE, || Ok((gateway.rebuilt()? >= times).then_some(())))?;
        }
        Ok(())
    })?;
    let adopted = gateway.envoy.series("gatepost_adopted_total{}")?;
    assert!(adopted.is_some_and(|events| events >= 1.0), "{adopted:?} events were adopted");
    // What may arrive again is what was under way when its VM trapped.
    assert!(again <= 20 * 64, "{again} arrived again");
    Ok(())
}

#[test]
fn five_config_updates_under_load_lose_nothing() -> Result<()> {
    let _alone = one_load_at_a_time();
    let scene = Scene::new()?;
    let receiver = scene.receiver()?;
    let setup = setup(&receiver).with_arguments(&["--drain-time-s", "2"]);
    let gateway = Gateway::start_dynamic(&setup)?;
    scene.play(&gateway, || {
        for update in 1..=5 {
            ensure!(gateway.update(&setup.clone().with(json!({"user_agent": format!("update {update}")})))?, "taken");
            gateway.wait_until_drained()?;
        }
        Ok(())
    })?;
    assert_eq!(gateway.traps()?, 0);
    Ok(())
}

#[test]
fn another_build_of_the_filter_and_the_first_one_again_lose_nothing() -> Result<()> {
    let _alone = one_load_at_a_time();
    let scene = Scene::new()?;
    let receiver = scene.receiver()?;
    let setup = setup(&receiver).with_arguments(&["--drain-time-s", "2"]);
    let gateway = Gateway::start_dynamic(&setup)?;
    let other = setup.clone().with_wasm(artifact::wasm_that_traps()?);
    scene.play(&gateway, || {
        for build in [&other, &setup] {
            ensure!(gateway.update(build)?, "taken");
            gateway.wait_until_drained()?;
        }
        Ok(())
    })?;
    assert_eq!(gateway.traps()?, 0);
    Ok(())
}

#[test]
fn a_receiver_that_is_killed_ten_times_under_load_gets_everything() -> Result<()> {
    let _alone = one_load_at_a_time();
    let mut scene = Scene::new()?;
    let first = scene.receiver()?;
    let (_, port) = first.address().rsplit_once(':').context("no port")?;
    scene.options.port = port.parse()?;
    let patient =
        json!({"retry": {"delays": ["0s", "1s", "1s", "1s", "1s", "1s", "1s", "1s"]}, "breaker": {"open": "1s"}});
    let gateway = Gateway::start(&Setup::new(&first, &[endpoint("a", "secret-of-a", patient)]))?;
    scene.play(&gateway, || {
        let mut receiver = first;
        for _ in 0..10 {
            let delivered = receiver.counters("a")?.delivered;
            wait::until("it gets something", DEADLINE, || {
                Ok((receiver.counters("a")?.delivered > delivered + 100).then_some(()))
            })?;
            drop(receiver);
            receiver = scene.receiver()?;
        }
        // The last one lives until everything has arrived.
        Ok(receiver)
    })?;
    Ok(())
}
