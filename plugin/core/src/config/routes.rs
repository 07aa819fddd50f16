//! The section `routes`.

use std::time::Duration;

use super::error::shown;
use super::reader::{Node, Object, all};
use super::tree::{Number, Value};
use super::values::{choice, header_name, name, names};
use crate::event_type::{EVENT_TYPE_MAX, EventTypeMap, is_event_type_byte};
use crate::headers;
use crate::ids::EndpointId;
use crate::index::{Index, insert_ascending};
use crate::ingress::route::{Ack, MetadataValue, Payload, Route};
use crate::ingress::template::Template;
use crate::journal::Durability;
use crate::path::PathPattern;

/// The largest number of routes. One takes about 1 KiB in each VM: 4096 x 1 KiB = 4 MiB.
const ROUTES_MAX: usize = 4096;
/// The largest number of headers that a route may require. Each takes about 128 B in the router.
const HEADERS_MAX: usize = 16;
/// The largest number of fields in `metadata`: the name and value of each are written into every envelope of the route.
const METADATA_MAX: usize = 64;
/// The largest number of characters of an event type that something else stands for.
const MAP_MAX: usize = 64;
/// The longest `ack_timeout`: a producer's connection is held for as long.
const ACK_TIMEOUT_MAX: Duration = Duration::from_secs(300);
/// The default `ack_timeout`: longer than the first two attempts at an endpoint that answers slowly, shorter than most
/// clients' own timeout.
const ACK_TIMEOUT: Duration = Duration::from_secs(30);

/// A route and the pattern of its path.
pub(super) struct RouteEntry {
    pub(super) route: Route,
    pub(super) pattern: PathPattern,
}

/// Reads the section; `endpoints` are the endpoints' names and numbers.
pub(super) fn routes(node: &Node<'_>, endpoints: &Index, has_journal: bool) -> Option<Vec<RouteEntry>> {
    let nodes = node.some_list(ROUTES_MAX, "at least one route: a filter without routes does nothing")?;
    names(&nodes);
    let entries: Vec<_> = nodes.iter().map(|node| entry(node, endpoints, has_journal)).collect();
    let (mut shapes, mut earlier) = (Index::default(), Vec::<Vec<&Route>>::new());
    for (node, entry) in nodes.iter().zip(&entries) {
        let Some(RouteEntry { route, pattern }) = entry else {
            continue;
        };
        let shape = shapes.get_or_insert(pattern.shape().as_bytes(), earlier.len());
        if shape == earlier.len() {
            earlier.push(Vec::new());
        }
        let Some(same_paths) = earlier.get_mut(shape) else { continue };
        if let Some(first) = same_paths.iter().find(|first| hides(first, route)) {
            node.problem::<()>(
                &format!("can never match: route {} comes first and takes the same requests", shown(&first.name)),
                "another path, other methods or further headers",
            );
        }
        same_paths.push(route);
    }
    entries.into_iter().collect()
}

/// Whether, of two routes on the same paths, `first` matches every request that `later` matches.
fn hides(first: &Route, later: &Route) -> bool {
    later.methods.iter().all(|method| first.methods.contains(method))
        && first.headers.iter().all(|header| later.headers.contains(header))
}

fn entry(node: &Node<'_>, endpoints: &Index, has_journal: bool) -> Option<RouteEntry> {
    let keys = [
        "name",
        "mode",
        "match",
        "event",
        "event_type",
        "payload",
        "metadata",
        "ack",
        "ack_timeout",
        "durability",
        "endpoints",
        "idempotency_scope",
    ];
    let object = node.object(&keys, &[])?;
    let name = object.required("name", "a name, unique among the routes", name);
    let mode = object.or("mode", (), |node| choice(node, &[("dispatch", ())], &["forward", "tap"]));
    let matching = object.required("match", "an object with path", matching);
    // Without a good path the captures are not known: the templates are then not looked at.
    let pattern = matching.as_ref().and_then(|matching| matching.pattern.as_ref());
    let event_type = object.or("event_type", EventTypeMap::default(), event_type_map);
    let event = pattern.and_then(|pattern| {
        object.required("event", "the event type: a literal or a template such as \"{event}\"", |node| {
            event(node, pattern, event_type.as_ref())
        })
    });
    let payload = pattern.and_then(|pattern| payload(&object, pattern));
    let ack = ack(&object);
    let durability = durability(&object, has_journal);
    let endpoints = object.optional("endpoints", |node| references(node, endpoints));
    let idempotency_scope = object.optional("idempotency_scope", header_name);
    mode?;
    let Match { pattern, methods, headers } = matching?;
    let route = Route {
        name: name?.to_owned(),
        methods: methods?,
        headers: headers?,
        event: event?,
        event_type: event_type?,
        payload: payload?,
        ack: ack?,
        durability: durability?,
        endpoints: endpoints?,
        idempotency_scope: idempotency_scope?,
    };
    Some(RouteEntry { route, pattern: pattern? })
}

/// The parts of `match` that could be read.
struct Match {
    pattern: Option<PathPattern>,
    methods: Option<Vec<String>>,
    headers: Option<Vec<(String, String)>>,
}

fn matching(node: &Node<'_>) -> Option<Match> {
    let object = node.object(&["path", "methods", "headers"], &[])?;
    let pattern = object.required("path", "a path such as \"/events/{event}\"", path);
    let methods =
        object.or("methods", vec!["POST".to_owned()], |node| all(&node.some_list(16, "at least one method")?, method));
    let headers = object.or("headers", Vec::new(), required_headers);
    Some(Match { pattern, methods, headers })
}

fn path(node: &Node<'_>) -> Option<PathPattern> {
    path_pattern(node, node.text(PATH)?)
}

const PATH: &str = "a path such as \"/events/{event}\" or \"/hooks/**\"";

/// Parses a pattern; `node` is where the text comes from.
pub(super) fn path_pattern(node: &Node<'_>, text: &str) -> Option<PathPattern> {
    PathPattern::parse(text).map_err(|reason| node.problem::<()>(&reason, PATH)).ok()
}

pub(super) fn method(node: &Node<'_>) -> Option<String> {
    const EXPECTED: &str = "a method such as \"POST\"";
    let text = node.text(EXPECTED)?;
    let fits = (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-');
    if fits { Some(text.to_ascii_uppercase()) } else { node.unfit(EXPECTED) }
}

/// Reads `match.headers`: names, in lower case, and values, sorted by name, since their order in the config means
/// nothing.
fn required_headers(node: &Node<'_>) -> Option<Vec<(String, String)>> {
    let entries = node.entries(HEADERS_MAX, "an object of header names and values")?;
    let mut sorted: Vec<(String, String)> = Vec::new();
    for pair in all(&entries, |(name, node)| required_header(name, node))? {
        match sorted.binary_search_by(|(name, _)| name.cmp(&pair.0)) {
            Ok(_) => return node.problem("has a header twice, in upper and lower case", "each header once"),
            Err(at) => sorted.insert(at, pair),
        }
    }
    Some(sorted)
}

fn required_header(name: &str, node: &Node<'_>) -> Option<(String, String)> {
    if !headers::is_name(name) {
        return node.problem("is not the name of a header", "a header name such as x-tenant");
    }
    if name.eq_ignore_ascii_case("host") {
        return node.problem("never reaches a filter as a header", "the virtual host's domains in Envoy's routes");
    }
    let value = node.text("the value the header must equal")?;
    if !headers::is_value(value.as_bytes()) || value.trim() != value {
        return node.problem("can never equal a header's value", "no control characters, and no space at either end");
    }
    Some((name.to_ascii_lowercase(), value.to_owned()))
}

fn template(node: &Node<'_>, pattern: &PathPattern) -> Option<Template> {
    const EXPECTED: &str = "text with {segment}, {header:name} or {body:/json/pointer}";
    Template::parse(node.text(EXPECTED)?, pattern.captures())
        .map_err(|reason| node.problem::<()>(&reason, EXPECTED))
        .ok()
}

fn event(node: &Node<'_>, pattern: &PathPattern, map: Option<&EventTypeMap>) -> Option<Template> {
    let template = template(node, pattern)?;
    let literals: String = template.literals().collect();
    let literals = map.map_or_else(|| literals.clone(), |map| map.apply(literals.clone()));
    let fits = literals.len() <= EVENT_TYPE_MAX && literals.bytes().all(is_event_type_byte);
    if !fits || node.value().as_text() == Some("") {
        const EXPECTED: &str = "1 to 128 characters of A-Z a-z 0-9 _ . : -, or event_type: {map: ..} for others";
        return node.problem("can never be an event type", EXPECTED);
    }
    Some(template)
}

/// Reads the key `event_type`: what stands for characters that no event type holds.
fn event_type_map(node: &Node<'_>) -> Option<EventTypeMap> {
    let object = node.object(&["map"], &[])?;
    object.required("map", "an object such as {\"/\": \".\", \" \": \"_\"}", |node| {
        let entries = node.entries(MAP_MAX, "an object of characters, and what stands for each")?;
        let entries = all(&entries, |(from, to)| {
            let mut characters = from.chars();
            let (Some(character), None) = (characters.next(), characters.next()) else {
                return to.problem("is not for one character", "one character that an event type cannot hold");
            };
            if u8::try_from(character).is_ok_and(is_event_type_byte) {
                return to.problem("is for a character that event types hold", "one that an event type cannot hold");
            }
            const EXPECTED: &str = "up to 16 characters of A-Z a-z 0-9 _ . : -";
            let text = to.text(EXPECTED)?;
            let fits = text.len() <= 16 && text.bytes().all(is_event_type_byte);
            if fits { Some((character, text.to_owned())) } else { to.unfit(EXPECTED) }
        })?;
        Some(EventTypeMap(entries))
    })
}

fn payload(object: &Object<'_>, pattern: &PathPattern) -> Option<Payload> {
    let envelope = object.or("payload", false, |node| choice(node, &[("envelope", true), ("raw", false)], &[]));
    let metadata = object.or("metadata", Vec::new(), |node| metadata(node, pattern));
    if envelope == Some(false)
        && let Some(node) = object.get("metadata")
    {
        return node.problem("has no place in a raw payload", "payload: envelope beside it");
    }
    let metadata = metadata?;
    Some(if envelope? { Payload::Envelope { metadata } } else { Payload::Raw })
}

fn metadata(node: &Node<'_>, pattern: &PathPattern) -> Option<Vec<(String, MetadataValue)>> {
    let entries = node.entries(METADATA_MAX, "an object of names and values")?;
    // The entries are sorted, as the fields of every object are.
    all(&entries, |(name, node)| Some(((*name).to_owned(), metadata_value(node, pattern)?)))
}

fn metadata_value(node: &Node<'_>, pattern: &PathPattern) -> Option<MetadataValue> {
    match node.value() {
        Value::Text(_) => template(node, pattern).map(MetadataValue::Template),
        Value::Null => Some(MetadataValue::Literal("null".to_owned())),
        Value::Bool(value) => Some(MetadataValue::Literal(value.to_string())),
        Value::Number(number) => match number.to_string() {
            text if Number::parse(&text) == Some(number.as_f64()) => Some(MetadataValue::Literal(text)),
            _ => node.problem("is a number of more digits than are kept", "text, in quotes"),
        },
        Value::List(_) | Value::Object(_) => node.wrong_type("a string, number, boolean or null"),
    }
}

fn ack(object: &Object<'_>) -> Option<Ack> {
    let delivered = object.or("ack", false, |node| choice(node, &[("accepted", false), ("delivered", true)], &[]));
    let timeout = object.duration("ack_timeout", ACK_TIMEOUT, Duration::from_millis(10), ACK_TIMEOUT_MAX);
    if delivered == Some(false)
        && let Some(node) = object.get("ack_timeout")
    {
        return node.problem("has no meaning when the answer waits for nothing", "ack: delivered beside it");
    }
    let timeout = timeout?;
    Some(if delivered? { Ack::Delivered { timeout } } else { Ack::Accepted })
}

/// Where the events of a route are kept: by default in the journal, if there is one.
fn durability(object: &Object<'_>, has_journal: bool) -> Option<Durability> {
    let default = if has_journal { Durability::Journal } else { Durability::Memory };
    object.or("durability", default, |node| {
        match choice(node, &[("journal", Durability::Journal), ("memory", Durability::Memory)], &[])? {
            Durability::Journal if !has_journal => {
                node.problem("is \"journal\", and the configuration has no section journal", "the section, or memory")
            }
            durability => Some(durability),
        }
    })
}

fn references(node: &Node<'_>, endpoints: &Index) -> Option<Vec<EndpointId>> {
    const EXPECTED: &str = "the name of an endpoint";
    let nodes = node.some_list(endpoints.len().max(1), "names of endpoints; left out, it means all that subscribe")?;
    let named = all(&nodes, |node| {
        let name = node.text(EXPECTED)?;
        let id = endpoints.get(name.as_bytes()).map(EndpointId);
        id.or_else(|| node.problem(&format!("names {}, which is no endpoint", shown(name)), EXPECTED))
    })?;
    let mut ascending = Vec::new();
    named.into_iter().for_each(|id| insert_ascending(&mut ascending, id));
    Some(ascending)
}
