//! The parts of a configuration that decide about requests.

use crate::headers::Headers;
use crate::inbound::Rules;
use crate::ingress::route::{Routes, Selection};
use crate::ingress::template::Template;

/// The parts of a configuration that decide about requests.
#[derive(Clone, Copy, Debug)]
pub struct RequestRules<'a> {
    /// The prefix of the admin surface's paths; `None`: there is no admin surface.
    pub admin: Option<&'a str>,
    /// The inbound rules: which requests are verified.
    pub inbound: &'a Rules,
    /// The routes: which requests are events.
    pub routes: &'a Routes,
    /// The template of the rollout key; `None`: the event's id decides whether an event is in a rollout.
    pub rollout_key: Option<&'a Template>,
    /// The largest body of a message or an event, in bytes.
    pub body_max: usize,
    /// There is a payload guard, which looks at all that leaves of an event.
    pub is_guarded: bool,
    /// The headers that filters of endpoints look at; in lower case.
    pub filter_headers: &'a [String],
}

/// Selects the route of a request.
pub(super) fn select(rules: &RequestRules<'_>, headers: &Headers) -> Selection {
    rules.routes.select(headers.text(":path"), headers.text(":method"), headers)
}

/// Splits a path at the prefix of the admin surface: what follows the prefix, and the query; `None` where the path is
/// not one of the admin surface's.
pub fn below<'a>(admin: &str, path: &'a str) -> Option<(&'a str, &'a str)> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let rest = path.strip_prefix(admin)?;
    (rest.is_empty() || rest.starts_with('/')).then_some((rest, query))
}
