//! A payload is looked through, by what it is: an envelope, JSON, a form, or text.

use super::detect::kinds;
use super::form::inspect_form;
use super::read::{Reading, Unreadable, reading};
use super::scan::{inspect_envelope, inspect_json, note_string};
use super::text::{is_something, redacted};
use super::{EventPart, Findings, GuardAction, GuardRules, Inspected, Outgoing, REDACTED};
use crate::json;

/// Looks through a payload.
///
/// # Errors
/// The payload cannot be read, and must not be sent.
pub fn inspect(rules: &GuardRules, outgoing: &Outgoing<'_>) -> Result<Inspected, Unreadable> {
    let payload = outgoing.bytes;
    let not_json = |error| Unreadable::NotJson(json::not_json(error));
    if outgoing.is_envelope && outgoing.content_encoding.is_none() {
        return inspect_envelope(rules, payload).map_err(not_json);
    }
    match reading(rules.non_json, outgoing)? {
        Reading::Nothing => Ok(Inspected::default()),
        Reading::Json(json) => inspect_json(rules, payload, json).map_err(not_json),
        Reading::Form => Ok(inspect_form(rules, payload)),
        Reading::Text => Ok(inspect_text(rules, payload)),
    }
}

/// Looks through a payload that is text: one string, which stands under no key.
fn inspect_text(rules: &GuardRules, payload: &[u8]) -> Inspected {
    let mut findings = Findings::default();
    let kinds = kinds(payload, rules.detect);
    note_string(&mut findings, kinds, rules.ids_only && is_something(payload), EventPart::Body, &String::new);
    let is_redacted = rules.action == GuardAction::Redact && findings.total() > 0;
    let redacted = is_redacted
        .then(|| if rules.ids_only { REDACTED.as_bytes().to_vec() } else { redacted(payload, rules.detect) });
    Inspected { findings, redacted }
}
