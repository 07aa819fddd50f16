//! From an event to its attempts: who wants the event, what is sent, what the end of an attempt means, and when the
//! next attempt is made.

pub mod attempt;
pub mod breaker;
pub mod dead_letter;
pub mod endpoint;
pub mod filter;
pub mod operational;
pub mod rate;
pub mod retry;
pub mod state;
pub mod subscription;
