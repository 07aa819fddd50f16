//! The payload guard at work: personal data in an event that some endpoint wants.

use super::Engine;
use crate::answer::Answer;
use crate::ids::EndpointId;
use crate::ingress::event::Offer;
use crate::ingress::payload::{GuardAction, inspect};
use crate::ingress::route::Payload;
use crate::store::World;
use crate::telemetry::notice::Notice;

/// The most findings that are named as the detail of a rollback: the detail is kept with each endpoint's progress.
const TOLD_MAX: usize = 3;

impl Engine {
    /// Looks for personal data that the payload guard forbids, and does what the guard's action says. Returns the
    /// answer that refuses the event; `None`: the event is now as it may be sent. In either case the endpoints that
    /// want an event with personal data may be rolled back.
    pub(super) fn inspect(
        &mut self,
        world: &mut World<'_>,
        offer: &mut Offer,
        wanted: &[EndpointId],
    ) -> Option<Answer> {
        let config = std::rc::Rc::clone(&self.config);
        let (rules, route) = (config.payload_guard.as_ref()?, config.routes.get(offer.route.0)?);
        let is_envelope = matches!(route.payload, Payload::Envelope { .. });
        let inspected = match inspect(rules, &offer.event.payload, is_envelope) {
            Ok(inspected) => inspected,
            Err(fault) => return Some(Answer::bad_request(&fault.to_string())),
        };
        let findings = inspected.findings;
        if findings.list.is_empty() {
            return None;
        }
        self.found_personal_data(world, wanted, &findings.summary(TOLD_MAX));
        if let Some(payload) = inspected.redacted {
            offer.event.payload = payload;
        }
        let answer = (rules.action == GuardAction::Reject).then(|| Answer::personal_data(&findings));
        self.output.note(Notice::Findings { route: offer.route, action: rules.action, findings });
        answer
    }
}
