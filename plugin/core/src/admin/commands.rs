//! The bodies of the admin surface's requests: they are read, and their mistakes told, as the config's are.

use crate::admin::control::FilterState;
use crate::config::{Node, Problems, choice, percent, read_body};
use crate::rollout::Percent;

/// An operator's words: a line of a log.
const REASON_MAX: usize = 200;

/// `{"state": "enabled|paused|disabled", "reason": ".."}`.
///
/// # Errors
/// All that is wrong with it.
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

/// `{"disabled": true|false}`.
///
/// # Errors
/// All that is wrong with it.
pub fn endpoint_command(body: &[u8]) -> Result<bool, Problems> {
    read_body(body, |node| node.object(&["disabled"], &[])?.required("disabled", "true or false", Node::boolean))
}

/// `{"state": "closed|open"}`: whether it is to be open.
///
/// # Errors
/// All that is wrong with it.
pub fn breaker_command(body: &[u8]) -> Result<bool, Problems> {
    const STATES: [(&str, bool); 2] = [("closed", false), ("open", true)];
    read_body(body, |node| {
        node.object(&["state"], &[])?.required("state", "closed or open", |node| choice(node, &STATES, &[]))
    })
}

/// `{"percent": 25}`.
///
/// # Errors
/// All that is wrong with it.
pub fn rollout_command(body: &[u8]) -> Result<Percent, Problems> {
    read_body(body, |node| node.object(&["percent"], &[])?.required("percent", "a share of the events", percent))
}
