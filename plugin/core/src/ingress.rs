//! From a request to an event or an answer: routes, templates, the payload guard, idempotency keys, receipts.

pub mod event;
pub mod guard;
pub mod idempotency;
pub mod payload;
pub mod receipt;
pub mod request;
pub mod route;
pub mod waiting;

pub use crate::template;
