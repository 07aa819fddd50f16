//! The payload guard over all of an event that leaves: its payload, and beside it the event type, what the path and the
//! headers fill in, and the headers that are passed on.
//!
//! Only a payload, a `content-type` and a `tracestate` can be redacted. The event type decides who gets the event, and
//! receivers read it: an event with personal data there is refused where the action is to redact.

use crate::ingress::event::{Event, Filling};
use crate::ingress::payload::detect::{DataKinds, kinds};
use crate::ingress::payload::{DataKind, EventPart, Findings, GuardAction, GuardRules, Outgoing, Unreadable, inspect};

/// What is to be done with an event.
#[derive(Debug)]
pub struct Guarded {
    /// The findings.
    pub findings: Findings,
    /// What the guard does: its action, or [`GuardAction::Reject`] where what was found cannot be redacted.
    pub action: GuardAction,
}

/// Looks through an event, and redacts it where that is the action. `is_envelope`: its payload is an envelope.
///
/// # Errors
/// The payload cannot be read: the event must not be sent, whatever the action.
pub fn guard(
    rules: &GuardRules,
    event: &mut Event,
    fillings: &[Filling],
    is_envelope: bool,
) -> Result<Guarded, Unreadable> {
    let outgoing = Outgoing {
        bytes: &event.payload,
        content_type: event.content_type.as_deref(),
        content_encoding: event.content_encoding.as_deref(),
        is_envelope,
    };
    let inspected = inspect(rules, &outgoing)?;
    let mut findings = inspected.findings;
    let before = findings.total();
    look_at_names(rules.detect, event, fillings, &mut findings);
    let can_redact = findings.total() == before;
    let is_redacting = rules.action == GuardAction::Redact;
    let action = if is_redacting && !can_redact { GuardAction::Reject } else { rules.action };
    look_at_headers(rules.detect, event, is_redacting, &mut findings);
    if let Some(payload) = inspected.redacted {
        event.payload = payload;
    }
    Ok(Guarded { findings, action })
}

/// Looks at the event type, and at each text that fills a template: in the middle of a name an address is none. What is
/// found in the event type or the metadata is not told twice.
fn look_at_names(wanted: DataKinds, event: &Event, fillings: &[Filling], findings: &mut Findings) {
    let in_metadata = findings.list.iter().filter(|finding| finding.part == EventPart::Metadata);
    let in_metadata = in_metadata.fold(DataKinds::NONE, |kinds, finding| kinds.with(finding.kind));
    let in_type = kinds(event.event_type.as_bytes(), wanted);
    note(findings, in_type, EventPart::EventType, "");
    let mut captures = 0;
    for filling in fillings {
        let known = if filling.is_in_event_type { in_type } else { in_metadata };
        let pointer = match &filling.header {
            Some(name) => ["/", name].concat(),
            None => format!("/{captures}"),
        };
        captures += usize::from(filling.header.is_none());
        let part = if filling.header.is_some() { EventPart::Header } else { EventPart::Path };
        note(findings, kinds(&filling.text, wanted).minus(known), part, &pointer);
    }
}

/// Looks at the headers that are passed on, besides those whose syntax leaves no room for personal data.
fn look_at_headers(wanted: DataKinds, event: &mut Event, is_redacting: bool, findings: &mut Findings) {
    if let Some(content_type) = &event.content_type {
        let found = kinds(content_type, wanted);
        note(findings, found, EventPart::ContentType, "");
        if is_redacting && found != DataKinds::NONE {
            // The parameters go, and all of it if that was not enough.
            let media_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii().to_vec();
            let is_clean = !media_type.is_empty() && kinds(&media_type, wanted) == DataKinds::NONE;
            event.content_type = is_clean.then_some(media_type);
        }
    }
    let found = event.tracestate.as_deref().map_or(DataKinds::NONE, |state| kinds(state, wanted));
    note(findings, found, EventPart::TraceState, "");
    if is_redacting && found != DataKinds::NONE {
        event.tracestate = None;
    }
}

fn note(findings: &mut Findings, found: DataKinds, part: EventPart, pointer: &str) {
    for kind in DataKind::ALL.into_iter().filter(|kind| found.has(*kind)) {
        findings.note(kind, part, &|| pointer.to_owned());
    }
}

#[cfg(test)]
mod tests;
