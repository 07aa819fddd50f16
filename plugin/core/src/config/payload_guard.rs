//! The section `payload_guard`.

use super::reader::{Node, Object};
use super::values::choice;
use crate::ingress::payload::detect::DataKinds;
use crate::ingress::payload::{ALLOWED_BYTES_MAX, DataKind, DeniedKeys, GuardAction, GuardRules, KeyPattern, NonJson};

/// The largest number of patterns in `allow`: each key of a payload is compared with each pattern.
const ALLOW_MAX: usize = 64;
/// The largest number of keys in `deny_keys`: 1000 x 100 B.
const DENY_KEYS_MAX: usize = 1000;
const KEYS: &str = "a list of keys, each with 1 to 64 characters besides '_' and '-'";
const PATTERNS: &str = "a list of keys, each with 1 to 128 characters, in which \"*\" stands for any run of them";
const DETECTORS: &str = "a list of email, ipv4, ipv6, phone, card";

/// The default of `allow`: the keys of a notification.
const ALLOW: [&str; 5] = ["event", "title", "body", "url", "*_id"];
/// The default of `deny_keys`: the usual names of personal data, and of what opens an account. Names made of several
/// words stand whole, since a part of a key denies nothing: `token` leaves a `cart_token` alone.
const DENY_KEYS: [&str; 44] = [
    "email",
    "email_address",
    "username",
    "first_name",
    "middle_name",
    "last_name",
    "given_name",
    "family_name",
    "maiden_name",
    "surname",
    "ip_address",
    "phone",
    "phone_number",
    "mobile_number",
    "mobile_phone",
    "national_number",
    "wa_id",
    "address",
    "street_address",
    "birth_date",
    "birthday",
    "date_of_birth",
    "dob",
    "iban",
    "credit_card",
    "credit_card_number",
    "card_number",
    "cvc",
    "cvv",
    "ssn",
    "social_security_number",
    "national_id",
    "passport_number",
    "tax_id",
    "password",
    "passwd",
    "session",
    "token",
    "access_token",
    "refresh_token",
    "id_token",
    "auth_token",
    "client_secret",
    "private_key",
];
const DETECT: [&str; 5] = ["email", "ipv4", "ipv6", "phone", "card"];

/// Reads the section.
pub(super) fn payload_guard(node: &Node<'_>) -> Option<GuardRules> {
    let object = node.object(&["ids_only", "allow", "deny_keys", "detect", "action", "non_json"], &[])?;
    let ids_only = object.boolean("ids_only", false);
    let mut allow = Vec::new();
    let mut deny_keys = DeniedKeys::default();
    let mut detect = DataKinds::NONE;
    let has_allow = each(&object, ("allow", ALLOW_MAX, PATTERNS), &ALLOW, |text| {
        allow.push(KeyPattern(text.to_owned()));
        (1..=ALLOWED_BYTES_MAX).contains(&text.len())
    });
    let has_keys = each(&object, ("deny_keys", DENY_KEYS_MAX, KEYS), &DENY_KEYS, |text| deny_keys.add(text));
    let has_kinds = each(&object, ("detect", DETECT.len(), DETECTORS), &DETECT, |text| {
        let kind = DataKind::ALL.into_iter().find(|kind| DETECT.contains(&text) && kind.label() == text);
        detect = kind.map_or(detect, |kind| detect.with(kind));
        kind.is_some()
    });
    // The default is the strictest action: what is refused can be sent again, what was sent cannot be taken back.
    let actions = [("reject", GuardAction::Reject), ("redact", GuardAction::Redact), ("report", GuardAction::Report)];
    let action = object.or("action", GuardAction::Reject, |node| choice(node, &actions, &[]));
    // Text has no keys to look at: whoever sends some has to say so.
    let readings = [("reject", NonJson::Reject), ("text", NonJson::Text)];
    let non_json = object.or("non_json", NonJson::Reject, |node| choice(node, &readings, &[]));
    (has_allow && has_keys && has_kinds).then_some(())?;
    let rules = GuardRules { ids_only: ids_only?, allow, deny_keys, detect, action: action?, non_json: non_json? };
    if rules.detect == DataKinds::NONE && rules.deny_keys.is_empty() && !rules.ids_only {
        return node.problem("looks for nothing", "deny_keys, detect or ids_only, or no payload_guard");
    }
    Some(rules)
}

/// Hands each item of the list under a key, or of the key's default, to `take`. `list`: the key, how many items its
/// list may have, and what was expected. Returns false if the list or an item was refused.
fn each(
    object: &Object<'_>,
    list: (&'static str, usize, &str),
    default: &[&str],
    mut take: impl FnMut(&str) -> bool,
) -> bool {
    let (key, max, expected) = list;
    let Some(node) = object.get(key) else { return default.iter().all(|text| take(text)) };
    let Some(items) = node.list(max, expected) else { return false };
    let mut is_good = true;
    for item in items {
        is_good &= item.text(expected).is_some_and(|text| take(text) || item.unfit::<()>(expected).is_some());
    }
    is_good
}
