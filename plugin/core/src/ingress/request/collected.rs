//! The kinds of requests whose body is collected.

use std::rc::Rc;

use super::result::{AdminRefusal, RequestResult};
use crate::ids::{RouteId, RuleId};
use crate::inbound::InboundResult;
use crate::ingress::event::EventResult;
use crate::ingress::waiting::{Budget, Budgets};

/// The largest body of a command to the admin surface, in bytes: a command is a line.
pub const COMMAND_MAX: usize = 16 * 1024;

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
        match self {
            Self::Command => RequestResult::Admin(AdminRefusal::Overloaded),
            Self::Message(rule) => RequestResult::Inbound(rule, InboundResult::Overloaded),
            Self::Event(route) => RequestResult::Event(route, EventResult::Overloaded),
        }
    }

    /// What a request is counted as that could not be read.
    pub(super) fn unavailable(self) -> Option<RequestResult> {
        match self {
            Self::Command => None,
            Self::Message(rule) => Some(RequestResult::Inbound(rule, InboundResult::Unavailable)),
            Self::Event(route) => Some(RequestResult::Event(route, EventResult::Unavailable)),
        }
    }
}
