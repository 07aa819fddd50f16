//! The section `admin`.

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::reader::{Node, all};
use super::values::choice;
use super::{Admin, AdminToken, Role};

const TOKENS_MAX: usize = 16;
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

fn token(node: &Node<'_>) -> Option<AdminToken> {
    const EXPECTED: &str = "{env: NAME, role: operate}";
    let object = node.object(&["env", "value", "role"], &[])?;
    let text = match (object.get("env"), object.get("value")) {
        (Some(env), None) => env.environment(),
        (None, Some(value)) => value.text("a token").map(str::to_owned),
        _ => node.problem("has not exactly one of env and value", EXPECTED),
    };
    // The holder of the token may only look, unless the config says more.
    let role = object.or("role", Role::Read, |node| choice(node, &ROLES, &[]));
    let text = Zeroizing::new(text?);
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return node.problem("is empty or holds white space", "a token that a header may hold");
    }
    Some(AdminToken { digest: Sha256::digest(text.as_bytes()).into(), role: role? })
}
