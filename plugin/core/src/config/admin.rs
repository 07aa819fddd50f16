//! The section `admin`, and the bodies of the admin surface: they are read, and their mistakes told, as the config's are.

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::error::{Problem, Problems};
use super::reader::{Node, Reader, all};
use super::rollout::percent;
use super::tree::Value;
use super::values::choice;
use super::{Admin, Role, Token};
use crate::control::State;
use crate::rollout::Percent;

const TOKENS_MAX: usize = 16;
/// An operator's words: a line of a log.
const REASON_MAX: usize = 200;
const ROLES: [(&str, Role); 2] = [("read", Role::Read), ("operate", Role::Operate)];

/// Reads the section.
pub(super) fn admin(node: &Node<'_>) -> Option<Admin> {
    let object = node.object(&["path", "tokens"], &[])?;
    let path = object.or("path", "/gatepost".to_owned(), path);
    let tokens = object.required("tokens", "a list with at least one {env: NAME, role: operate}", |node| {
        all(&node.some_list(TOKENS_MAX, "tokens such as {env: NAME, role: operate}")?, token)
    });
    Some(Admin { path: path?, tokens: tokens? })
}

fn path(node: &Node<'_>) -> Option<String> {
    const EXPECTED: &str = "a path such as \"/gatepost\", without a slash at its end";
    let text = node.text(EXPECTED)?;
    let is_path = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    let fits = text.len() > 1 && text.starts_with('/') && !text.ends_with('/') && text.bytes().all(is_path);
    if fits { Some(text.to_owned()) } else { node.unfit(EXPECTED) }
}

fn token(node: &Node<'_>) -> Option<Token> {
    const EXPECTED: &str = "{env: NAME, role: operate}";
    let object = node.object(&["env", "value", "role"], &[])?;
    let text = match (object.get("env"), object.get("value")) {
        (Some(env), None) => env.environment(),
        (None, Some(value)) => value.text("a token").map(str::to_owned),
        _ => node.problem("has not exactly one of env and value", EXPECTED),
    };
    // Whoever has it may look only, unless the config says more.
    let role = object.or("role", Role::Read, |node| choice(node, &ROLES, &[]));
    let text = Zeroizing::new(text?);
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return node.problem("is empty or holds white space", "a token that a header may hold");
    }
    Some(Token { digest: Sha256::digest(text.as_bytes()).into(), role: role? })
}

/// `{"state": "enabled|paused|disabled", "reason": ".."}`.
///
/// # Errors
/// All that is wrong with it.
pub fn state_command(body: &[u8]) -> Result<(State, String), Problems> {
    command(body, |node| {
        let object = node.object(&["state", "reason"], &[])?;
        let state = object.required("state", "enabled or paused or disabled", |node| choice(node, &State::WORDS, &[]));
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
    command(body, |node| node.object(&["disabled"], &[])?.required("disabled", "true or false", Node::boolean))
}

/// `{"state": "closed|open"}`: whether it is to be open.
///
/// # Errors
/// All that is wrong with it.
pub fn breaker_command(body: &[u8]) -> Result<bool, Problems> {
    const STATES: [(&str, bool); 2] = [("closed", false), ("open", true)];
    command(body, |node| {
        node.object(&["state"], &[])?.required("state", "closed or open", |node| choice(node, &STATES, &[]))
    })
}

/// `{"percent": 25}`.
///
/// # Errors
/// All that is wrong with it.
pub fn rollout_command(body: &[u8]) -> Result<Percent, Problems> {
    command(body, |node| node.object(&["percent"], &[])?.required("percent", "a share of the events", percent))
}

/// Reads a body of JSON.
fn command<T>(body: &[u8], read: impl FnOnce(&Node<'_>) -> Option<T>) -> Result<T, Problems> {
    const WHOLE: &str = "body";
    let text = std::str::from_utf8(body).map_err(|error| error.to_string());
    let tree: Value = text
        .and_then(|text| serde_json::from_str(text).map_err(|error| error.to_string()))
        .map_err(|fault| vec![Problem::new(WHOLE.to_owned(), &format!("is not JSON: {fault}"), "a JSON object")])?;
    let reader = Reader::new(WHOLE, &|_| None);
    reader.finish(read(&reader.root(&tree)))
}
