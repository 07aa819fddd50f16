//! Gateways that run: a client of their admin surface.
//!
//! A failure is a sentence for a person: a gateway that is down must not hide how the others stand, so nothing here ends
//! a command, and all of them are asked at the same time ([`ask_all`]).

mod arguments;
mod client;

pub use arguments::Gateways;
pub(crate) use arguments::{duration, since};
#[cfg(test)]
pub(crate) use client::tests;
pub use client::{Failure, Gateway, Result, ask_all};
pub(crate) use client::{IN_FORCE, encoded, query};
pub use gatepost_core::admin::answers::{
    BreakerView, Counters, Deliveries, DeliveryView, EndpointView, EventDeliveries, Fleet, GatewayView, HourView,
    HoursView, JournalView, LetterView, Letters, ListedDelivery, NO_BREAKER, Outcomes, Redelivered, RolloutView,
    Status,
};
