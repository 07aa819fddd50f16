//! The journal: what outlives the process. Nothing yet.
//!
//! An event counts as accepted once it is written to shared data ([`crate::ledger`]), which lives as long as its Envoy.
//! A journal in a store that outlives Envoy goes here: above the ledger, whose records it would keep, and below
//! everything that decides about deliveries.
