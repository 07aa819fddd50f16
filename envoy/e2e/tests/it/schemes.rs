//! Other people's libraries, `envoy/verifiers`, and the gateway: each accepts what the other signs.

mod inbound;
mod installed;
mod library;
mod outbound;
mod published;
mod rotation;
mod scheme;
