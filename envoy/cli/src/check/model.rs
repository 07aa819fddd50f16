//! What the checks read in a config: its parts, with the questions that several checks ask of them.

pub mod cluster;
pub mod filter;
pub mod listener;
pub mod pattern;
pub mod places;
pub mod rewrite;
pub mod route;
pub mod runtime;
pub mod source;
pub mod validation;
