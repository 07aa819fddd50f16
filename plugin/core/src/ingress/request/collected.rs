//! The kinds of requests whose body is collected.

use std::rc::Rc;

use super::result::{AdminRefusal, RequestResult};
use crate::ids::{RouteId, RuleId};
use crate::inbound::InboundResult;
use crate::ingress::event::EventResult;
use crate::ingress::waiting::{Budget, Budgets, COMMAND_MAX};

/// The kind of a request whose body is coming.
#[derive(Clone, Copy, Debug)]
pub(super) enum Collected {
    Command,
    Message(RuleId),
    Event(RouteId),
}

impl Collected {
    pub(super) fn budget(self, budgets: &Budgets) -> &Rc<Budget> {
        match self {
            Self::Command => &budgets.commands,
            Self::Message(_) => &budgets.messages,
            Self::Event(_) => &budgets.events,
        }
    }

    /// The largest body in bytes, where `body_max` is that of messages and events.
    pub(super) fn body_max(self, body_max: usize) -> usize {
        if matches!(self, Self::Command) { COMMAND_MAX } else { body_max }
    }

    /// What a request is counted as for which there is no room.
    pub(super) fn overloaded(self) -> RequestResult {
        let refusal = RequestResult::Admin(AdminRefusal::Overloaded);
        self.counted(InboundResult::Overloaded, EventResult::Overloaded).unwrap_or(refusal)
    }

    /// What a message or an event is counted as; `None`: a command is not counted.
    pub(super) fn counted(self, message: InboundResult, event: EventResult) -> Option<RequestResult> {
        match self {
            Self::Command => None,
            Self::Message(rule) => Some(RequestResult::Inbound(rule, message)),
            Self::Event(route) => Some(RequestResult::Event(route, event)),
        }
    }
}
