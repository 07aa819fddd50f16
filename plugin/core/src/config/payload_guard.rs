//! The section `payload_guard`.

use super::reader::{Node, all};
use super::values::choice;
use crate::payload::detect::Kinds;
use crate::payload::{ALLOWED_BYTES_MAX, Action, DeniedKeys, KEY_BYTES_MAX, KeyPattern, Kind, Rules};

/// Each key of a payload is compared with each pattern.
const ALLOW_MAX: usize = 64;
/// 1000 x 100 B.
const DENY_KEYS_MAX: usize = 1000;
const KEYS: &str = "a list of keys, each with 1 to 64 characters besides '_' and '-'";
const PATTERNS: &str = "a list of keys, each with 1 to 128 characters, in which \"*\" stands for any run of them";
const DETECTORS: &str = "a list of email, ipv4, ipv6, phone, card";

/// What a notification is made of.
const ALLOW: [&str; 5] = ["event", "title", "body", "url", "*_id"];
/// What personal data is called, and what opens an account.
const DENY_KEYS: [&str; 10] =
    ["email", "username", "ip_address", "phone", "address", "password", "credit_card", "ssn", "session", "token"];
const DETECT: [Kind; 5] = [Kind::Email, Kind::Ipv4, Kind::Ipv6, Kind::Phone, Kind::Card];

/// Reads the section.
pub(super) fn payload_guard(node: &Node<'_>) -> Option<Rules> {
    let object = node.object(&["ids_only", "allow", "deny_keys", "detect", "action"], &[])?;
    let ids_only = object.or("ids_only", false, Node::boolean);
    let allow = object.or("allow", ALLOW.map(|key| KeyPattern(key.to_owned())).to_vec(), allow);
    let deny_keys = match object.get("deny_keys") {
        Some(node) => deny_keys(&node),
        None => {
            let mut keys = DeniedKeys::default();
            DENY_KEYS.into_iter().try_for_each(|key| keys.add(key)).map(|()| keys)
        }
    };
    let detect = object.or("detect", DETECT.into_iter().fold(Kinds::NONE, Kinds::with), detect);
    // The strictest: what is refused can be sent again, what was sent cannot be taken back.
    let actions = [("reject", Action::Reject), ("redact", Action::Redact), ("report", Action::Report)];
    let action = object.or("action", Action::Reject, |node| choice(node, actions, &[]));
    let rules = Rules { ids_only: ids_only?, allow: allow?, deny_keys: deny_keys?, detect: detect?, action: action? };
    if rules.detect == Kinds::NONE && rules.deny_keys.is_empty() && !rules.ids_only {
        return node.problem("looks for nothing", "deny_keys, detect or ids_only, or no payload_guard");
    }
    Some(rules)
}

fn allow(node: &Node<'_>) -> Option<Vec<KeyPattern>> {
    all(&node.list(ALLOW_MAX, PATTERNS)?, |item| {
        let text = item.text(PATTERNS)?;
        if !(1..=ALLOWED_BYTES_MAX).contains(&text.len()) {
            return item.unfit(PATTERNS);
        }
        Some(KeyPattern(text.to_owned()))
    })
}

fn deny_keys(node: &Node<'_>) -> Option<DeniedKeys> {
    const { assert!(KEY_BYTES_MAX == 64) };
    let mut keys = DeniedKeys::default();
    all(&node.list(DENY_KEYS_MAX, KEYS)?, |item| keys.add(item.text(KEYS)?).or_else(|| item.unfit(KEYS)))?;
    Some(keys)
}

fn detect(node: &Node<'_>) -> Option<Kinds> {
    let named = DETECT.map(|kind| (kind.label(), kind));
    let kinds = all(&node.list(named.len(), DETECTORS)?, |item| choice(item, named, &[]))?;
    Some(kinds.into_iter().fold(Kinds::NONE, Kinds::with))
}
