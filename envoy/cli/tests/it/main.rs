//! The commands, as a user runs them.
#![cfg(test)]
#![allow(clippy::disallowed_macros, reason = "what a test says is its own")]

mod check;
mod command;
mod demo;
mod evidence;
mod hostile;
mod operate;
mod port;
mod preflight;
mod receive;
mod schedules;
mod secret;
mod send;
mod site;
mod smoke;
mod terminal;
mod verify;
mod watch;
