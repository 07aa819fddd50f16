//! The result of a request, as it is counted.

use crate::ids::{RouteId, RuleId};
use crate::inbound::InboundResult;
use crate::ingress::event::EventResult;

/// The result of a request, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestResult {
    /// The result of a request on an event route.
    Event(RouteId, EventResult),
    /// The result of a request on an inbound path.
    Inbound(RuleId, InboundResult),
    /// A request to the admin surface was refused.
    Admin(AdminRefusal),
}

/// Why a request to the admin surface was refused; the label `reason` of `gatepost_admin_refused_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminRefusal {
    /// 401: its token is none of the configured ones.
    Token,
    /// 429: its token is none of the configured ones, and too many before it were none either.
    Throttled,
    /// 503: too many others were waited for.
    Overloaded,
}

impl AdminRefusal {
    /// All refusals.
    pub const ALL: [Self; 3] = [Self::Token, Self::Throttled, Self::Overloaded];

    /// The label's value.
    pub fn label(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Throttled => "throttled",
            Self::Overloaded => "overloaded",
        }
    }
}
