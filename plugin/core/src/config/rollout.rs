//! The section `rollout`.

use std::time::Duration;

use super::Rollout;
use super::reader::{Node, Object, all};
use super::tree::{Number, Value};
use super::values::{choice, date, duration, literal_or_env};
use crate::ingress::template::Template;
use crate::rollout::guard::{Guard, Hold};
use crate::rollout::{OPENS_MAX, Percent, Phase, Plan};

/// The largest number of phases. A phase is kept with every endpoint's status: 16 x 24 B.
const PHASES_MAX: usize = 16;
const DAY: Duration = Duration::from_secs(24 * 3600);
/// The longest phase: a quarter of a year, after which nobody remembers what was being tried.
const PHASE_MAX: Duration = Duration::from_secs(92 * 24 * 3600);
const PERCENT: &str = "a number from 0 to 100, with two decimals at most";

/// Reads the section.
pub(super) fn rollout(node: &Node<'_>) -> Option<Rollout> {
    let object = node.object(&["percent", "key", "start", "phases", "guard"], &[])?;
    let share = object.or("percent", Percent::ALL, percent_or_env);
    let key = object.optional("key", key);
    let start = object.optional("start", date);
    let phases = object.or("phases", Vec::new(), phases);
    let guard = object.optional("guard", guard);
    if let (Some(node), Some(_)) = (object.get("percent"), object.get("phases")) {
        return node.problem("stands beside phases, which say it already", "percent or phases, not both");
    }
    if let (Some(node), None) = (object.get("start"), object.get("phases")) {
        return node.problem("begins phases, and there are none", "start together with phases");
    }
    let plan = Plan { percent: share?, start: start?, phases: phases?, digest: digest(&object) };
    Some(Rollout { plan, key: key?, guard: guard? })
}

/// The digest of the plan: an operator's override lasts as long as the digest stays the same. Guard and key are left
/// out: a change of either leaves the plan as it is.
fn digest(object: &Object<'_>) -> u64 {
    let parts = ["percent", "start", "phases"].map(|key| object.get(key).map_or(0, |node| node.value().digest()));
    parts.into_iter().fold(0, |sum, part| sum.rotate_left(21) ^ part)
}

/// Reads a share of the events: a number, or text with a number, since Envoy hands on fractions as text.
pub(crate) fn percent(node: &Node<'_>) -> Option<Percent> {
    hundredths(node.number(0.0..=100.0, PERCENT)?).or_else(|| node.unfit(PERCENT))
}

/// Converts a percentage to a share; `None`: the percentage has more than two decimals.
fn hundredths(percent: f64) -> Option<Percent> {
    let hundredths = (percent * 100.0).round();
    ((percent * 100.0 - hundredths).abs() < 1e-6).then_some(Percent(hundredths as u32))
}

fn percent_or_env(node: &Node<'_>) -> Option<Percent> {
    let Value::Object(_) = node.value() else {
        return percent(node);
    };
    let text = literal_or_env(node, PERCENT)?;
    let number = Number::parse(text.trim()).filter(|number| (0.0..=100.0).contains(number));
    let share = number.and_then(hundredths);
    share.or_else(|| node.problem("names a variable that holds no such number", PERCENT))
}

fn key(node: &Node<'_>) -> Option<Template> {
    const EXPECTED: &str = "a template such as \"{header:x-tenant-id}\" or \"{body:/customer}\"";
    let template = Template::parse(node.text(EXPECTED)?, &[]);
    template.map_err(|reason| node.problem::<()>(&reason, EXPECTED)).ok()
}

fn phases(node: &Node<'_>) -> Option<Vec<Phase>> {
    let nodes = node.some_list(PHASES_MAX, "phases such as {percent: 5, for: 24h}")?;
    let last = nodes.len() - 1;
    let numbered: Vec<_> = nodes.iter().enumerate().collect();
    let phases = all(&numbered, |(number, node)| phase(node, *number == last))?;
    for ((earlier, later), node) in phases.iter().zip(phases.iter().skip(1)).zip(nodes.iter().skip(1)) {
        if later.percent < earlier.percent {
            return node.problem("has a smaller percent than the phase before it", "shares that grow");
        }
    }
    Some(phases)
}

fn phase(node: &Node<'_>, is_last: bool) -> Option<Phase> {
    let object = node.object(&["percent", "for", "approval"], &[])?;
    let share = object.required("percent", PERCENT, percent);
    let length = object.optional("for", |node| duration(node, Duration::from_secs(1), PHASE_MAX));
    let is_manual = object.or("approval", false, |node| choice(node, &[("automatic", false), ("manual", true)], &[]));
    if length == Some(None) && !is_last {
        return node.problem("has no \"for\", so the phases behind it would never come", "how long it lasts");
    }
    Some(Phase { percent: share?, length: length?, is_manual: is_manual? })
}

/// Reads the key `guard`. The defaults are objectives that a webhook's receiver can be held to: nine of ten deliveries
/// succeed, and 95 % of the attempts end within five seconds. A receiver that is down misses them, not one that is
/// busy.
fn guard(node: &Node<'_>) -> Option<Guard> {
    let keys = [
        "min_success",
        "max_p95",
        "max_breaker_opens",
        "max_unauthorized",
        "personal_data",
        "for",
        "min_events",
        "hold",
        "on_rollback",
    ];
    let object = node.object(&keys, &[])?;
    let min_success = watched(&object, "min_success", 0.90, share);
    let max_p95 = watched(&object, "max_p95", Duration::from_secs(5), time);
    let max_breaker_opens = watched(&object, "max_breaker_opens", 20, opens);
    let max_unauthorized = watched(&object, "max_unauthorized", 0.10, share);
    let personal_data = object.boolean("personal_data", true);
    let window = object.duration("for", Duration::from_secs(300), Duration::from_secs(1), DAY);
    let min_events = object.integer("min_events", 20, 1_000_000);
    let hold = hold(&object);
    let keeps = object.or("on_rollback", true, |node| choice(node, &[("hold", true), ("discard", false)], &[]));
    Some(Guard {
        min_success: min_success?,
        max_p95: max_p95?,
        max_breaker_opens: max_breaker_opens?,
        max_unauthorized: max_unauthorized?,
        personal_data: personal_data?,
        window: window?,
        min_events: min_events?,
        hold: hold?,
        keeps: keeps?,
    })
}

fn hold(guard: &Object<'_>) -> Option<Hold> {
    let (min_success, max_p95, max_breaker_opens) = (0.95, Duration::from_secs(2), 5);
    let default =
        Hold { min_success: Some(min_success), max_p95: Some(max_p95), max_breaker_opens: Some(max_breaker_opens) };
    guard.or("hold", default, |node| {
        let object = node.object(&["min_success", "max_p95", "max_breaker_opens"], &[])?;
        let min_success = watched(&object, "min_success", min_success, share);
        let max_p95 = watched(&object, "max_p95", max_p95, time);
        let max_breaker_opens = watched(&object, "max_breaker_opens", max_breaker_opens, opens);
        Some(Hold { min_success: min_success?, max_p95: max_p95?, max_breaker_opens: max_breaker_opens? })
    })
}

/// Reads a threshold; null: the threshold is not watched.
fn watched<'a, T>(
    object: &Object<'a>,
    key: &'a str,
    default: T,
    read: fn(&Node<'a>) -> Option<T>,
) -> Option<Option<T>> {
    match object.get(key) {
        None => Some(Some(default)),
        Some(node) if *node.value() == Value::Null => Some(None),
        Some(node) => read(&node).map(Some),
    }
}

fn share(node: &Node<'_>) -> Option<f64> {
    node.number(0.0..=1.0, "a share from 0 to 1, or null")
}

fn time(node: &Node<'_>) -> Option<Duration> {
    duration(node, Duration::from_millis(1), Duration::from_secs(300))
}

fn opens(node: &Node<'_>) -> Option<u32> {
    node.integer(0..=OPENS_MAX as u32 - 1)
}
