//! The payload guard at work: what must not leave, in an event that some endpoint wants.

use super::Engine;
use crate::answer::Answer;
use crate::ids::{EndpointId, RouteId};
use crate::ingress::event::Offer;
use crate::ingress::guard::guard;
use crate::ingress::payload::{GuardAction, Unreadable};
use crate::ingress::route::Payload;
use crate::store::World;
use crate::telemetry::notice::Notice;

/// The most findings that are named as the detail of a rollback: the detail is kept with each endpoint's progress.
const TOLD_MAX: usize = 3;

impl Engine {
    /// Looks for personal data that the payload guard forbids, and does what the guard's action says. Returns the
    /// answer that refuses the event; `None`: the event is now as it may be sent. In either case the endpoints that
    /// want an event with personal data may be rolled back. An event that cannot be read is refused, and proves nothing
    /// that an endpoint should be rolled back for.
    pub(super) fn inspect(
        &mut self,
        world: &mut World<'_>,
        offer: &mut Offer,
        wanted: &[EndpointId],
    ) -> Option<Answer> {
        let config = std::rc::Rc::clone(&self.config);
        let (rules, route) = (config.payload_guard.as_ref()?, config.routes.get(offer.route.0)?);
        let is_envelope = matches!(route.payload, Payload::Envelope { .. });
        let guarded = match guard(rules, &mut offer.event, &offer.fillings, is_envelope) {
            Ok(guarded) => guarded,
            Err(why) => return Some(self.refuse_unreadable(offer.route, &why)),
        };
        let findings = guarded.findings;
        if findings.is_empty() {
            return None;
        }
        self.found_personal_data(world, wanted, &findings.summary(TOLD_MAX));
        let is_refused = guarded.action == GuardAction::Reject;
        let answer = is_refused.then(|| Answer::personal_data(&findings, rules.action == GuardAction::Redact));
        self.output.note(Notice::Findings { route: offer.route, action: guarded.action, findings });
        answer
    }

    /// The answer that refuses an event whose body the payload guard cannot read.
    pub(super) fn refuse_unreadable(&mut self, route: RouteId, why: &Unreadable) -> Answer {
        let reason = why.to_string();
        let answer = Answer::unreadable(&reason);
        self.output.note(Notice::Unreadable { route, reason });
        answer
    }
}
