//! The commands of `gatepost`, a module each, and what several of them share. It is a library for the tests of this crate:
//! they start a receiver in their own process, and read what a check finds.
//!
//! - [`demo`], [`mod@bench`], [`mod@check`], [`secret`], [`send`], [`verify`], [`receive`] (`gatepost receiver`), [`smoke`],
//!   [`preflight`], [`operate`] (the admin verbs), [`watch`], [`evidence`]: the commands.
//! - [`gateway`]: a client of the admin surface of gateways that run.
//! - [`checklist`]: what was checked and what came of it, as a table or JSON.
//! - [`signing`]: signs and verifies in each of the filter's schemes.
//! - [`given`]: files and secrets as they are given to a command.
//! - [`terminal`]: all that is printed.
//! - [`clock`]: the time.

pub mod bench;
pub mod check;
pub mod checklist;
pub mod clock;
pub mod demo;
pub mod evidence;
pub mod gateway;
pub mod given;
pub mod operate;
pub mod preflight;
pub mod receive;
pub mod secret;
pub mod send;
pub mod signing;
pub mod smoke;
pub mod terminal;
pub mod verify;
pub mod watch;
