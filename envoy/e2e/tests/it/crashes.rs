//! What was accepted arrives, whatever dies meanwhile; and what arrives twice does so for a reason.
//!
//! Each test prints one line: how many of 10,000 events arrived, how many arrived again, and why.

use std::time::Duration;

use anyhow::{Result, ensure};
use gatepost_e2e::{Event, Gateway};
use gatepost_kit::{artifact, wait};
use serde_json::json;

use crate::isolation::one_load_at_a_time;
use crate::scene::{IN_FLIGHT, Scene, Span, outlast, wait_for_more};

const DEADLINE: Duration = Duration::from_secs(60);
/// A lease is ten seconds, renewed every three, and what has lapsed is looked for every second.
const LEASE_AT_LEAST: f64 = 6.0;
/// Two workers and the main thread, each of which makes attempts.
const THREADS: usize = 3;

/// A worker whose VM traps twenty times under load loses nothing.
#[test]
fn twenty_vm_traps_under_load_lose_nothing() -> Result<()> {
    const TRAPS: usize = 20;
    let _alone = one_load_at_a_time();
    let mut scene = Scene::new()?;
    let receiver = scene.receiver()?;
    let gateway = Gateway::start(&Scene::setup(&receiver, json!({})).with_wasm(artifact::wasm_that_traps()?))?;
    let (account, traps) = scene.play(&gateway, |_| {
        let mut traps = Vec::new();
        for times in 1..=TRAPS {
            // All over the load: while some events wait for a lease to end, others come.
            wait_for_more(&receiver, 250)?;
            let event = Event::new("payment_verified", "{}").with_header("x-gatepost-trap", "now");
            let (trap, answer) = Span::of(|| gateway.send(&event))?;
            ensure!(answer.status == 503, "a request whose VM traps is answered {}", answer.status);
            wait::until("the VM is rebuilt", DEADLINE, || Ok((gateway.rebuilt()? >= times as u64).then_some(())))?;
            traps.push(trap);
        }
        Ok(traps)
    })?;
    let adopted = gateway.envoy.series("gatepost_adopted_total{}")?;
    assert!(adopted.is_some_and(|events| events >= 1.0), "{adopted:?} events were adopted");
    let why = "an attempt that is under way when its VM traps is made again, by who adopts it after the lease";
    account.settle("(a) a worker's VM trapped 20 times", why, TRAPS * IN_FLIGHT, |duplicate| {
        traps.iter().any(|trap| duplicate.is_made_again(*trap, LEASE_AT_LEAST))
    })
}

/// Five config updates under load lose nothing and repeat nothing.
#[test]
fn five_config_updates_under_load_lose_and_repeat_nothing() -> Result<()> {
    let _alone = one_load_at_a_time();
    let mut scene = Scene::new()?;
    let receiver = scene.receiver()?;
    let setup = Scene::setup(&receiver, json!({})).with_arguments(&["--drain-time-s", "2"]);
    let gateway = Gateway::start_dynamic(&setup)?;
    let (account, ()) = scene.play(&gateway, |_| {
        for update in 1..=5 {
            outlast(&receiver)?;
            ensure!(
                gateway.update(&setup.clone().with(json!({"user_agent": format!("update {update}")})))?,
                "it is taken"
            );
            gateway.wait_until_drained()?;
        }
        Ok(())
    })?;
    assert_eq!(gateway.traps()?, 0);
    // Old roots wait for the ends of their calls before they say that they are done.
    account.settle(
        "(b) five config updates, each with a drain of 2 s",
        "the old configuration waits for its calls",
        0,
        |_| false,
    )
}

/// A receiver that is killed ten times under load gets everything.
#[test]
fn receiver_killed_ten_times_under_load_gets_everything() -> Result<()> {
    const KILLS: usize = 10;
    let _alone = one_load_at_a_time();
    let mut scene = Scene::new()?;
    let first = scene.receiver()?;
    let patient = json!({"retry": {"delays": ["0s", "1s", "1s", "1s", "1s", "1s", "1s", "1s"]}});
    let gateway = Gateway::start(&Scene::setup(&first, patient))?;
    let (account, (kills, _last)) = scene.play(&gateway, |scene| {
        let (mut receiver, mut kills) = (first, Vec::new());
        for _ in 0..KILLS {
            wait_for_more(&receiver, 500)?;
            let (kill, ()) = Span::of(|| {
                drop(receiver);
                Ok(())
            })?;
            receiver = scene.receiver()?;
            kills.push(kill);
        }
        // The last one lives until everything has arrived.
        Ok((kills, receiver))
    })?;
    let why = "a receiver that dies between taking an event and answering gets it again";
    account.settle("(c) the receiver was killed ten times", why, KILLS * THREADS * IN_FLIGHT, |duplicate| {
        kills.iter().any(|kill| duplicate.is_made_again(*kill, 0.0))
    })
}

/// The other build is the same source with the feature `trap`: other bytes, so Envoy makes other VMs for it, and the same
/// format of all that is kept. There is no release before this one; once there is, its wasm belongs here.
#[test]
fn filter_upgrade_and_rollback_lose_nothing() -> Result<()> {
    let _alone = one_load_at_a_time();
    let mut scene = Scene::new()?;
    let receiver = scene.receiver()?;
    let new = Scene::setup(&receiver, json!({})).with_arguments(&["--drain-time-s", "2"]);
    let gateway = Gateway::start_dynamic(&new)?;
    let old = new.clone().with_wasm(artifact::wasm_that_traps()?);
    // As one generation with the first build, and as another one, which a build with another version is.
    let older = old.clone().with(json!({"user_agent": "Gatepost/previous"}));
    let vms = || gateway.envoy.stat("wasm.envoy.wasm.runtime.v8.created");
    let (account, drains) = scene.play(&gateway, |_| {
        let mut drains = Vec::new();
        for build in [&old, &new, &older, &new] {
            let before = vms()?;
            outlast(&receiver)?;
            let (drain, ()) = Span::of(|| {
                ensure!(gateway.update(build)?, "it is taken");
                gateway.wait_until_drained()
            })?;
            ensure!(vms()? >= before + THREADS as u64, "every thread has another VM");
            drains.push(drain);
        }
        Ok(drains)
    })?;
    assert_eq!(gateway.traps()?, 0);
    let why = "an attempt that outlasts the drain is cut off with its VM, and made again after the lease";
    account.settle(
        "(d) another build, and the first again, twice",
        why,
        drains.len() * THREADS * IN_FLIGHT,
        |duplicate| drains.iter().any(|drain| duplicate.is_made_again(*drain, LEASE_AT_LEAST)),
    )
}
