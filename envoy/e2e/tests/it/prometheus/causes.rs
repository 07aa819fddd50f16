//! Each alert is made to fire by its cause, in a real Prometheus that scrapes real gateways, and by nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use anyhow::{Context, Result, anyhow};
use gatepost_e2e::load::{Stop, StopOnDrop};
use gatepost_e2e::prometheus::{Alert, Prometheus, has};
use gatepost_kit::envoy::{Envoy, Launch};
use gatepost_kit::wait;
use serde_json::json;

use super::files::rules;
use super::site::{DEADLINE, Site, has_etcd};
use crate::isolation::one_load_at_a_time;

/// The gateway, and all that may fire of it: the alert, and whom it names.
const CAUSES: &[(&str, &[&str])] = &[
    (
        "troubled",
        &[
            // Every second answer is 500, and there is no second attempt.
            "GatepostSuccessRollback half",
            "GatepostSuccessBelowObjective half",
            "GatepostDeadLetters half",
            // Every fourteenth answer is 400.
            "GatepostSuccessBelowObjective objective",
            "GatepostDeadLetters objective",
            // Answers take 2.5 s.
            "GatepostLatencyAboveObjective slow",
            // Answers take 6 s.
            "GatepostLatencyAboveObjective slower",
            "GatepostLatencyRollback slower",
            // Every tenth answer is 503, which opens its breaker for half a second.
            "GatepostBreakerOpensOften flapping",
            "GatepostBreakerOpensRollback flapping",
            // All answers are 401.
            "GatepostUnauthorized unauthorized",
            "GatepostSuccessRollback unauthorized",
            "GatepostSuccessBelowObjective unauthorized",
            "GatepostDeadLetters unauthorized",
            "GatepostDeadLettersKept",
        ],
    ),
    // Connections break, and events go on coming.
    ("dead", &["GatepostBreakerOpen dead", "GatepostPendingGrowing dead", "GatepostOldestPending"]),
    // An operator disables one endpoint, and rolls another one back.
    (
        "operated",
        &[
            "GatepostEndpointDisabled switched_off",
            "GatepostRolloutChanged taken_back",
            "GatepostRolloutAtZero taken_back",
        ],
    ),
    // An address in an event, which is reported.
    ("personal", &["GatepostPersonalData email"]),
    // The same, where a guard acts on it.
    (
        "guarded",
        &[
            "GatepostPersonalData email",
            "GatepostRolledBack guarded personal_data",
            "GatepostRolloutChanged guarded",
            "GatepostRolloutAtZero guarded",
        ],
    ),
    // Answers never come, and 20 deliveries may wait.
    ("full", &["GatepostRefusingProducers ingest", "GatepostOldestPending"]),
    // Fifteen dead letters in a ring for five.
    ("evicted", &["GatepostDeadLettersEvicted", "GatepostDeadLetters evicted", "GatepostDeadLettersKept"]),
    ("traps", &["GatepostVmTrapped", "GatepostAdopted"]),
    ("ends", &["GatepostTargetDown"]),
    ("restarted", &["GatepostProcessRestarted"]),
    ("off", &["GatepostOff ingest"]),
    // Webhooks come in unsigned, and more good ones than there is room to remember.
    ("inbound", &["GatepostInboundFailures forged", "GatepostReplayTableFull crowded"]),
    // One gateway of two ends, and the other one takes over.
    ("fleet_a", &["GatepostFleetGatewayLost", "GatepostTakenOver"]),
    ("fleet_b", &["GatepostTargetDown"]),
    // Its journal has room for a kilobyte, and an event of two hangs in it.
    ("brimful", &["GatepostJournalFull", "GatepostOldestPending"]),
    // Its etcd answers no more, and events are accepted into memory.
    ("stranded", &["GatepostJournalDown", "GatepostMemoryOnly"]),
    ("bare", &["GatepostNoData"]),
];

/// Alerts whose causes are not played here, and which may fire all the same: how many calls to an etcd that answers no more
/// end so that nobody can tell depends on how fast this machine is. The unit tests of the rules (`envoy/prometheus/tests`)
/// have it.
const NOT_PLAYED: [&str; 1] = ["GatepostJournalUnknown"];

/// The gateway's name, and the alert with whom it names, as in [`CAUSES`].
fn told(alert: &Alert) -> String {
    let label = |name: &str| alert.labels.get(name).map_or("", String::as_str);
    let parts = ["instance", "alertname", "endpoint", "route", "kind", "reason"].map(label);
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

fn is_not_played(alert: &Alert) -> bool {
    alert.labels.get("alertname").is_some_and(|name| NOT_PLAYED.contains(&name.as_str()))
}

/// What has fired so far, and what it said.
#[derive(Default)]
struct Fired(BTreeMap<String, Alert>);

impl Fired {
    fn look(&mut self, prometheus: &Prometheus) -> Result<BTreeSet<String>> {
        self.0.extend(
            prometheus
                .alerts()?
                .into_iter()
                .filter(|alert| alert.is_firing && !is_not_played(alert))
                .map(|alert| (told(&alert), alert)),
        );
        Ok(self.0.keys().cloned().collect())
    }
}

/// Waits until each of so many targets was scraped so often, and looks at what fires meanwhile.
fn scrape_on(prometheus: &Prometheus, fired: &mut Fired, targets: usize, times: u32) -> Result<()> {
    let query = format!("count_over_time(up{{job=\"gatepost\"}}[15m]) >= {times}");
    wait::until("all are scraped", DEADLINE, || {
        fired.look(prometheus)?;
        Ok((prometheus.query(&query)?.len() >= targets).then_some(()))
    })
}

#[test]
fn each_alert_fires_for_its_cause_and_for_no_other() -> Result<()> {
    let _alone = one_load_at_a_time();
    if !has("prometheus")? || !has_etcd()? {
        return Ok(());
    }
    let mut site = Site::start()?;
    let prometheus = Prometheus::start(&site.targets()?)?;
    let (mut fired, stop) = (Fired::default(), Stop::default());

    thread::scope(|scope| {
        let _stop = StopOnDrop(&stop);
        let traffic = Site::traffic(scope, &[&site.troubled, &site.dead, &site.full], &stop);
        // Longer than every window but the hour.
        scrape_on(&prometheus, &mut fired, site.targets()?.len(), 40)?;
        stop.now();
        traffic.into_iter().try_for_each(|traffic| traffic.join().map_err(|_| anyhow!("traffic panicked"))?)
    })?;
    assert_eq!(fired.look(&prometheus)?, BTreeSet::new(), "nothing fires while all is well");

    // The one before goes on, unseen: what falls silent is another cause.
    let _before = site.restart()?;
    site.unsettle()?;
    let (off, bare) = (site.switched_off()?, bare()?);
    let mut targets = site.targets()?;
    targets.extend([("off", off.envoy.admin_address()?), ("bare", bare.admin_address()?)]);
    prometheus.scrape(&targets)?;
    let expected: BTreeSet<String> = CAUSES
        .iter()
        .flat_map(|(gateway, alerts)| alerts.iter().map(move |alert| format!("{gateway} {alert}")))
        .collect();
    let stop = Stop::default();
    thread::scope(|scope| {
        let _stop = StopOnDrop(&stop);
        let traffic = Site::traffic(scope, &[&site.troubled, &site.dead, &site.full, &off], &stop);
        let webhooks = scope.spawn(|| site.webhooks(&stop));
        site.trouble()?;
        site.break_receivers()?;
        site.operate()?;
        site.leak()?;
        site.ends.envoy.terminate()?;
        site.trap()?;
        let mut seen = BTreeSet::new();
        let all = wait::until("each has fired", DEADLINE, || {
            seen = fired.look(&prometheus)?;
            Ok(expected.is_subset(&seen).then_some(()))
        });
        all.with_context(|| {
            let missing: Vec<_> = expected.difference(&seen).collect();
            format!("missing: {missing:?}; others: {:?}", seen.difference(&expected).collect::<Vec<_>>())
        })?;
        stop.now();
        webhooks.join().map_err(|_| anyhow!("traffic panicked"))??;
        traffic.into_iter().try_for_each(|traffic| traffic.join().map_err(|_| anyhow!("traffic panicked"))?)
    })?;
    assert_eq!(fired.look(&prometheus)?, expected, "nothing else has fired");

    // Nothing of what is gone is known any more.
    prometheus.scrape(&[])?;
    wait::until("it tells that there is no target", DEADLINE, || {
        Ok(fired.look(&prometheus)?.contains("GatepostNoTarget").then_some(()))
    })?;
    assert_eq!(fired.0.len(), expected.len() + 1, "and nothing else");
    all_of_them_fired_and_said_what_to_do(&fired)
}

fn all_of_them_fired_and_said_what_to_do(fired: &Fired) -> Result<()> {
    for (told, Alert { annotations, .. }) in &fired.0 {
        for text in annotations.values() {
            assert!(!text.contains("<no value>") && !text.contains("<error"), "{told}: {text}");
        }
        println!("{told}: {}", annotations.get("summary").context("a summary")?);
    }
    let names: BTreeSet<&str> =
        fired.0.values().filter_map(|alert| alert.labels.get("alertname")).map(String::as_str).collect();
    let rules = rules()?;
    let silent: Vec<&str> = rules
        .iter()
        .map(|rule| rule.name.as_str())
        .filter(|name| !names.contains(name) && !NOT_PLAYED.contains(name))
        .collect();
    assert!(silent.is_empty(), "{silent:?}");
    Ok(())
}

/// An Envoy without the filter.
fn bare() -> Result<Envoy> {
    let admin = json!({"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}});
    Envoy::start(&Launch { config: json!({"admin": admin}), workers: 1, env: Vec::new(), arguments: Vec::new() })
}
