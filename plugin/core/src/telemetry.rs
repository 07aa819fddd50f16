//! The telemetry: notices of what happened, for metrics and the log; the history of events; and the counts by the hour.

pub mod backlog;
pub mod fleet;
pub mod history;
pub mod hours;
pub mod log;
pub mod metrics;
pub mod notice;
