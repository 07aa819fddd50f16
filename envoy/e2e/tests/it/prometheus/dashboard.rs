//! Grafana's dashboard: each of its queries gives figures, in a real Prometheus, when there is something to show.

use std::collections::BTreeSet;
use std::fs;
use std::thread;

use anyhow::{Context, Result, anyhow};
use gatepost_e2e::load::{Stop, StopOnDrop};
use gatepost_e2e::prometheus::{Prometheus, directory, has};
use gatepost_kit::wait;
use serde_json::Value;

use super::site::{DEADLINE, Site, has_etcd};
use crate::isolation::one_load_at_a_time;

/// What this run has no cause for: figures, but all of them 0.
const STAY_AT_ZERO: [&str; 3] = [
    "gatepost_operational_dropped_total",
    "envoy_wasm_gatepost_vm_reload_failure",
    "gatepost_inbound_memory_only_total",
];

/// A query, and the panel it is of.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Query {
    panel: String,
    text: String,
}

fn dashboard() -> Result<Value> {
    let path = directory()?.join("../grafana/gatepost.json");
    Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
}

fn text(value: &Value) -> Result<String> {
    value.as_str().map(str::to_owned).with_context(|| format!("{value} is a text"))
}

/// The queries of all panels, as Grafana sends them when everything is selected.
fn queries(dashboard: &Value) -> Result<Vec<Query>> {
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().context("panels")? {
        for target in panel["targets"].as_array().into_iter().flatten() {
            queries.push(Query { panel: text(&panel["title"])?, text: filled(&text(&target["expr"])?) });
        }
    }
    Ok(queries)
}

fn filled(query: &str) -> String {
    let variables = [
        ("$__rate_interval", "10s"),
        ("$__range", "5m"),
        ("$job", "gatepost"),
        ("$instance", ".*"),
        ("$endpoint", ".*"),
    ];
    variables.iter().fold(query.to_owned(), |query, (name, value)| query.replace(name, value))
}

/// The metrics that a query names.
fn metrics(query: &str) -> impl Iterator<Item = &str> {
    let words = query.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let is_label = |word: &&str| matches!(*word, "envoy_cluster_name" | "envoy_response_code");
    words.filter(|word| word.starts_with("gatepost_") || word.starts_with("envoy_")).filter(move |word| !is_label(word))
}

#[test]
fn every_query_of_the_dashboard_shows_what_happens() -> Result<()> {
    let _alone = one_load_at_a_time();
    if !has("prometheus")? || !has_etcd()? {
        return Ok(());
    }
    let dashboard = dashboard()?;
    let queries = queries(&dashboard)?;
    let mut site = Site::start()?;
    let prometheus = Prometheus::start(&site.targets()?)?;
    // What happens before a counter was seen at 0 is no increase.
    wait::until("all are scraped", DEADLINE, || {
        let scraped = prometheus.query("count_over_time(gatepost_dead_letters[1m]) >= 3")?;
        Ok((scraped.len() == site.targets()?.len()).then_some(()))
    })?;
    site.unsettle()?;
    let stop = Stop::default();
    thread::scope(|scope| {
        let _stop = StopOnDrop(&stop);
        let traffic = Site::traffic(scope, &[&site.troubled, &site.dead, &site.full, &site.fleet[0]], &stop);
        let webhooks = scope.spawn(|| site.webhooks(&stop));
        site.trouble()?;
        site.break_receivers()?;
        site.operate()?;
        site.leak()?;
        site.trap()?;
        let mut blank: Vec<&Query> = queries.iter().collect();
        let shown = wait::until("every panel shows something", DEADLINE, || {
            let mut still = Vec::new();
            for query in &blank {
                if !shows(&prometheus, query)? {
                    still.push(*query);
                }
            }
            blank = still;
            Ok(blank.is_empty().then_some(()))
        });
        shown.with_context(|| format!("{blank:#?}"))?;
        stop.now();
        webhooks.join().map_err(|_| anyhow!("traffic panicked"))??;
        traffic.into_iter().try_for_each(|traffic| traffic.join().map_err(|_| anyhow!("traffic panicked"))?)
    })?;
    variables_offer_what_there_is(&prometheus, &dashboard)?;
    names_are_of_metrics(&prometheus, &dashboard, &queries)
}

/// Does it give a figure that is not 0?
fn shows(prometheus: &Prometheus, query: &Query) -> Result<bool> {
    let samples = prometheus.query(&query.text).with_context(|| query.panel.clone())?;
    let mut figures = samples.into_iter().map(|(_, value)| value).filter(|value| value.is_finite());
    if STAY_AT_ZERO.iter().any(|metric| query.text.contains(metric)) {
        return Ok(figures.next().is_some());
    }
    Ok(figures.any(|value| value != 0.0))
}

fn variables_offer_what_there_is(prometheus: &Prometheus, dashboard: &Value) -> Result<()> {
    let variables = dashboard["templating"]["list"].as_array().context("variables")?;
    for variable in variables.iter().filter(|variable| variable["type"] == "query") {
        let query = filled(&text(&variable["definition"])?);
        let inner = query.strip_prefix("label_values(").and_then(|query| query.strip_suffix(')'));
        let (series, label) = inner.and_then(|inner| inner.rsplit_once(", ")).with_context(|| query.clone())?;
        let values = prometheus.query(&format!("count by ({label}) ({series})"))?;
        assert!(values.iter().any(|(labels, _)| labels.contains_key(label)), "{query} offers nothing");
    }
    Ok(())
}

fn names_are_of_metrics(prometheus: &Prometheus, dashboard: &Value, queries: &[Query]) -> Result<()> {
    let known: BTreeSet<String> = serde_json::from_value(prometheus.get("label/__name__/values", &[])?)?;
    let of_panels: BTreeSet<&str> = queries.iter().flat_map(|query| metrics(&query.text)).collect();
    let unknown: Vec<&&str> = of_panels.iter().filter(|name| !known.contains(**name)).collect();
    assert!(unknown.is_empty(), "Envoy has no {unknown:?}");
    // And what the filter tells is all shown.
    let is_ours =
        |name: &&String| name.starts_with("gatepost_") && !name.ends_with("_sum") && !name.ends_with("_count");
    let unseen: Vec<&String> = known.iter().filter(is_ours).filter(|name| !of_panels.contains(name.as_str())).collect();
    assert!(unseen.is_empty(), "no panel shows {unseen:?}");
    let annotations = dashboard["annotations"]["list"].as_array().context("annotations")?;
    for annotation in annotations {
        prometheus.query(&filled(&text(&annotation["expr"])?))?;
    }
    Ok(())
}
