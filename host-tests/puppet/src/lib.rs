//! A filter that does what its configuration says, so that a test can see what each host call answers.
//!
//! The configuration is lines of `event: command; command` or `event /path: command`, the latter for requests to that
//! path alone. Each command that is a host call logs itself and what it was answered: a value, or `status 2`. See
//! `callbacks` for the events and `commands` for the commands.
//!
//! There is no SDK in between: it panics about answers that it does not expect, and keeps tokens of its own.

#![allow(missing_docs, reason = "the exported functions are the ABI's, not ours to describe")]

mod abi;
mod callbacks;
mod commands;
mod script;
