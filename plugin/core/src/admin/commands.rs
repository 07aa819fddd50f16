//! The bodies of requests to the admin surface. They are read, and their mistakes reported, like a config.

use crate::admin::control::FilterState;
use crate::config::{Node, Problems, choice, percent, read_body};
use crate::rollout::Percent;

/// The most characters that are kept of an operator's reason, which is part of a log line.
const REASON_MAX: usize = 200;

/// Reads `{"state": "enabled|paused|disabled", "reason": ".."}`: the state of the filter, and the reason.
///
/// # Errors
/// All problems of the body.
pub fn state_command(body: &[u8]) -> Result<(FilterState, String), Problems> {
    read_body(body, |node| {
        let object = node.object(&["state", "reason"], &[])?;
        let state =
            object.required("state", "enabled or paused or disabled", |node| choice(node, &FilterState::WORDS, &[]));
        let reason = object.or("reason", String::new(), |node| {
            let text = node.text("a few words")?;
            let reason: String = text.chars().filter(|c| !c.is_control()).take(REASON_MAX).collect();
            Some(reason)
        });
        Some((state?, reason?))
    })
}

/// Reads `{"disabled": true|false}`: whether the endpoint is to be disabled.
///
/// # Errors
/// All problems of the body.
pub fn endpoint_command(body: &[u8]) -> Result<bool, Problems> {
    read_body(body, |node| node.object(&["disabled"], &[])?.required("disabled", "true or false", Node::boolean))
}

/// Reads `{"state": "closed|open"}`: whether the breaker is to be open.
///
/// # Errors
/// All problems of the body.
pub fn breaker_command(body: &[u8]) -> Result<bool, Problems> {
    const STATES: [(&str, bool); 2] = [("closed", false), ("open", true)];
    read_body(body, |node| {
        node.object(&["state"], &[])?.required("state", "closed or open", |node| choice(node, &STATES, &[]))
    })
}

/// Reads `{"percent": 25}`: the share of the events.
///
/// # Errors
/// All problems of the body.
pub fn rollout_command(body: &[u8]) -> Result<Percent, Problems> {
    read_body(body, |node| node.object(&["percent"], &[])?.required("percent", "a share of the events", percent))
}
