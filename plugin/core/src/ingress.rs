//! A request becomes an event, or an answer.

pub mod event;
pub mod idempotency;
pub mod payload;
pub mod receipt;
pub mod request;
pub mod route;
pub mod template;
