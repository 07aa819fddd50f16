#![doc = include_str!("../README.md")]
//!
//! # Inside
//!
//! From the ground up; a file uses only what stands above it in this list.
//!
//! - `status`: how calls fail, in etcd's words. `store`: keys and their revisions. `leases`, `users`, `space`: what their
//!   names say. `disruption`: faults as rules.
//! - `transaction`: the conditions and operations of one. `defragment`: a call that only operators make.
//! - `server`: a request by its path and bytes, and what comes of it, without time. `wire`: frames and headers.
//! - `watch`: streams of changes.
//! - `cluster`: arrivals, delays and outages under virtual time. `streams`: the watches of a process.
//! - `etcd`: the handle that a test holds.

mod cluster;
mod defragment;
mod disruption;
mod etcd;
mod leases;
mod server;
mod space;
mod status;
mod store;
mod streams;
mod transaction;
mod users;
mod watch;
mod wire;

pub use cluster::Applied;
pub use defragment::{DEFRAGMENT, DefragmentRequest, DefragmentResponse};
pub use disruption::{Disruption, Mishap, Outage};
pub use etcd::{Etcd, Size, Watching};
pub use leases::Lease;
pub use status::Status;
pub use store::Change;
