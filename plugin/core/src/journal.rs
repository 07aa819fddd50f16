//! What outlives the process: nothing yet.
//!
//! Accepted means written to shared data ([`crate::ledger`]), which lives as long as its Envoy. A journal on a store that
//! outlives it goes here: above the ledger, whose records it keeps, and below all that decides about deliveries.
