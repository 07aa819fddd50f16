//! The section `endpoints`: the names, addresses, subscriptions and signatures of the endpoints. The keys about failing
//! deliveries are read in [`delivery`](super::delivery).

use std::time::Duration;

use super::Limits;
use super::delivery::{breaker, rate, retry};
use super::filter::filter;
use super::reader::{Node, Object, all};
use super::signature::{Use, is_taken, signatures};
use super::values::{choice, cluster, header_value, name, url};
use crate::egress::endpoint::{Endpoint, OnGone, Overflow, Sink};
use crate::egress::operational::NewsKinds;
use crate::egress::retry::RetryPolicy;
use crate::egress::subscription::EventPattern;
use crate::event_type::OPERATIONAL_PREFIX;
use crate::headers::{self, HeaderValue};
use crate::signature::Signature;
use crate::time::shown_duration;

/// The largest number of endpoints. One takes about 2 KiB in each VM: 4096 x 2 KiB = 8 MiB.
pub(super) const ENDPOINTS_MAX: usize = 4096;
/// The largest number of patterns of an endpoint: 64 patterns of 128 bytes take 8 KiB of the trie of subscriptions, for
/// an endpoint whose patterns repeat each other.
const EVENTS_MAX: usize = 64;
/// The largest number of headers that the config adds to every attempt at an endpoint.
const HEADERS_MAX: usize = 32;
/// The largest `max_in_flight`: Envoy allows 1024 requests under way to a cluster, unless the cluster's circuit breaker
/// says otherwise.
const MAX_IN_FLIGHT_MAX: u32 = 1024;
/// The longest `timeout`: an attempt holds its place in flight for as long.
const TIMEOUT_MAX: Duration = Duration::from_secs(300);
/// The longest `max_age`: a month, after which nobody waits for an event any more. The longest schedule, 20 waits of a
/// day, has one and a half times its sum as its default, which is no more.
const MAX_AGE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// An endpoint and what it subscribes to.
pub(super) struct EndpointEntry {
    pub(super) endpoint: Endpoint,
    pub(super) events: Vec<EventPattern>,
}

/// Reads the section. The list may be empty: the routes then answer that nobody subscribes.
pub(super) fn endpoints(nodes: &[Node<'_>], limits: &Limits) -> Option<Vec<EndpointEntry>> {
    all(nodes, |node| entry(node, limits))
}

/// Reads an entry of the list. The function is long because it reads every key of an endpoint.
fn entry(node: &Node<'_>, limits: &Limits) -> Option<EndpointEntry> {
    let keys = [
        "name",
        "cluster",
        "url",
        "events",
        "secrets",
        "signature",
        "timeout",
        "retry",
        "breaker",
        "rate",
        "max_in_flight",
        "max_age",
        "pending",
        "overflow",
        "on_gone",
        "headers",
        "disabled",
        "dead_letter",
        "filter",
    ];
    let object = node.object(&keys, &[])?;
    let name = object.required("name", "a name, unique among the endpoints", name);
    let cluster = object.required("cluster", "the name of a cluster in Envoy's configuration", cluster);
    let url = object.required("url", "an absolute URL such as \"https://api.example.com/webhooks\"", url);
    let events = events(&object);
    let filter = object.optional("filter", filter);
    let signatures = signatures(&object, Use::Sign);
    let timeout = object.duration("timeout", Duration::from_secs(10), Duration::from_millis(10), TIMEOUT_MAX);
    let retry = retry(&object);
    let breaker = breaker(&object);
    let rate = object.optional("rate", rate);
    let max_in_flight = object.integer("max_in_flight", 64, MAX_IN_FLIGHT_MAX);
    let max_age = retry.as_ref().map(RetryPolicy::default_max_age).unwrap_or_default();
    let max_age = object.duration("max_age", max_age, Duration::from_secs(1), MAX_AGE_MAX);
    let pending = object.integer("pending", (limits.pending / 4).max(1), limits.pending);
    let overflow = object.or("overflow", Overflow::Reject, |node| {
        choice(node, &[("reject", Overflow::Reject), ("dead_letter", Overflow::DeadLetter)], &[])
    });
    let on_gone = object.or("on_gone", OnGone::Disable, |node| {
        choice(node, &[("disable", OnGone::Disable), ("fail", OnGone::Fail)], &[])
    });
    let headers =
        object.or("headers", Vec::new(), |node| extra_headers(node, signatures.as_deref().unwrap_or_default()));
    let disabled = object.boolean("disabled", false);
    let dead_letter = object.optional("dead_letter", sink);
    let events = events?;
    let endpoint = Endpoint {
        name: name?.to_owned(),
        cluster: cluster?,
        url: url?,
        filter: filter?,
        signatures: signatures?,
        timeout: timeout?,
        retry: retry?,
        breaker: breaker?,
        rate: rate?,
        max_in_flight: max_in_flight?,
        max_age: max_age?,
        pending: pending?,
        overflow: overflow?,
        on_gone: on_gone?,
        headers: headers?,
        disabled: disabled?,
        dead_letter: dead_letter?,
        operational: NewsKinds::of(&events),
        digest: node.value().digest(),
    };
    outlasts_its_delays(&object, &endpoint)?;
    Some(EndpointEntry { endpoint, events })
}

fn outlasts_its_delays(object: &Object<'_>, endpoint: &Endpoint) -> Option<()> {
    let delays: Duration = endpoint.retry.delays.iter().sum();
    if endpoint.max_age > delays {
        return Some(());
    }
    let node = object.get("max_age").unwrap_or_else(|| *object.node());
    node.problem(
        &format!("max_age is {}, so the last attempt would never be made", shown_duration(endpoint.max_age)),
        &format!("more than the sum of retry.delays, {}", shown_duration(delays)),
    )
}

fn events(object: &Object<'_>) -> Option<Vec<EventPattern>> {
    const EXPECTED: &str = "a pattern of event types such as \"payment_*\" or \"match.**\"";
    let everything = EventPattern::parse("**").map_or_else(|_| Vec::new(), |pattern| vec![pattern]);
    object.or("events", everything, |node| {
        all(&node.some_list(EVENTS_MAX, EXPECTED)?, |node| {
            let pattern = EventPattern::parse(node.text(EXPECTED)?);
            let pattern = pattern.map_err(|reason| node.problem::<()>(reason, EXPECTED)).ok()?;
            if pattern.begins_with(OPERATIONAL_PREFIX)
                && NewsKinds::of(std::slice::from_ref(&pattern)) == NewsKinds::default()
            {
                return node.problem("matches no event of the gateway's own", "a pattern such as \"gatepost.**\"");
            }
            Some(pattern)
        })
    })
}

/// Reads the key `headers`: the names, put into lower case, and the values. They are sorted by name as the config
/// writes it.
fn extra_headers(node: &Node<'_>, signatures: &[Signature]) -> Option<Vec<(String, HeaderValue)>> {
    let entries = node.entries(HEADERS_MAX, "an object of header names and values")?;
    let mut seen = Vec::new();
    all(&entries, |(name, node)| {
        let name = name.to_ascii_lowercase();
        if seen.contains(&name) {
            return node.problem("stands twice, in upper and lower case", "each header once");
        }
        seen.push(name.clone());
        extra_header(name, node, signatures)
    })
}

fn extra_header(name: String, node: &Node<'_>, signatures: &[Signature]) -> Option<(String, HeaderValue)> {
    if !headers::is_name(&name) {
        return node.problem("is not the name of a header", "a header name such as x-api-key");
    }
    if is_taken(&name, signatures) {
        return node.problem("is a header that the gateway sets itself", "another header");
    }
    Some((name, header_value(node)?))
}

fn sink(node: &Node<'_>) -> Option<Sink> {
    let object = node.object(&["cluster", "url"], &[])?;
    let cluster = object.required("cluster", "the name of a cluster in Envoy's configuration", cluster);
    let url = object.required("url", "an absolute URL such as \"https://dlq.internal/failed\"", url);
    Some(Sink { cluster: cluster?, url: url? })
}
