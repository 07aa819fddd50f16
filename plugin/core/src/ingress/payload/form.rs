//! Forms (`application/x-www-form-urlencoded`): keys and values are decoded and looked at like those of JSON.
//!
//! A form cannot be malformed: what stands between two `&` is a pair, a `%` that begins no byte is itself.

use std::borrow::Cow;
use std::ops::Range;

use super::detect::{DataKinds, kinds};
use super::keys::is_version_key;
use super::redaction::Redaction;
use super::scan::{Context, LEVELS_MAX, PathToken, kinds_of, note_string, pointer};
use super::text::is_something;
use super::{DataKind, EventPart, Findings, GuardAction, GuardRules, Inspected, REDACTED};

/// Looks through a form.
pub(super) fn inspect_form(rules: &GuardRules, payload: &[u8]) -> Inspected {
    let redaction = Redaction::new(payload, rules.action == GuardAction::Redact);
    let mut form = Form { rules, payload, findings: Findings::default(), redaction };
    let mut start = 0;
    for pair in payload.split(|byte| *byte == b'&') {
        let equals = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        form.pair(start..start + equals, (start + equals + 1).min(start + pair.len())..start + pair.len());
        start += pair.len() + 1;
    }
    Inspected { findings: form.findings, redacted: form.redaction.finish() }
}

struct Form<'a> {
    rules: &'a GuardRules,
    payload: &'a [u8],
    findings: Findings,
    redaction: Redaction<'a>,
}

impl<'a> Form<'a> {
    /// Looks at a pair, whose key and value stand at these places.
    fn pair(&mut self, key_place: Range<usize>, value_place: Range<usize>) {
        let (key, value) = (self.decoded(&key_place), self.decoded(&value_place));
        let in_key = kinds(&key, self.rules.detect);
        let is_masked = in_key != DataKinds::NONE;
        let context = Context {
            is_allowed: self.rules.ids_only && !is_masked && self.rules.allows(&key),
            is_version: is_version_key(&key),
            is_nothing: false,
        };
        let is_denied = self.rules.deny_keys.has(&key);
        let path = [if is_masked { PathToken::Masked } else { PathToken::Key(key) }];
        let note = |findings: &mut Findings, kinds, is_misplaced| {
            note_string(findings, kinds, is_misplaced, EventPart::Body, &|| pointer(&path))
        };
        if is_masked {
            note(&mut self.findings, in_key, false);
            let mask = self.redaction.mask('+');
            self.redaction.replace(key_place, &mask);
        }
        let is_found = if is_denied {
            let denied = DataKinds::NONE.with(DataKind::Key);
            is_something(&value) && note(&mut self.findings, denied, false)
        } else {
            let is_misplaced = self.rules.ids_only && !context.is_allowed && is_something(&value);
            note(&mut self.findings, kinds_of(self.rules, &value, context, LEVELS_MAX), is_misplaced)
        };
        if is_found {
            self.redaction.replace(value_place, REDACTED);
        }
    }

    /// The text of a part of the form: `+` is a blank, and `%40` is `@`.
    fn decoded(&self, place: &Range<usize>) -> Cow<'a, [u8]> {
        let part = self.payload.get(place.clone()).unwrap_or_default();
        if !part.iter().any(|byte| b"+%".contains(byte)) {
            return Cow::Borrowed(part);
        }
        let plain: Vec<u8> = part.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
        Cow::Owned(percent_encoding::percent_decode(&plain).collect())
    }
}
