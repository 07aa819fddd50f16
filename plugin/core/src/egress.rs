//! An event becomes attempts: who wants it, what is sent, what its end means, and when the next attempt is made.

pub mod attempt;
pub mod breaker;
pub mod dead_letter;
pub mod endpoint;
pub mod operational;
pub mod rate;
pub mod retry;
pub mod state;
pub mod subscription;
