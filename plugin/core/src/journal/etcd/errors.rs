//! What the errors of gRPC mean, as etcd uses them.

use super::grpc::{GrpcError, status};
use crate::journal::operation::{Outcome, StoreRefusal};

/// What an error means for the operation.
pub(super) fn meaning(error: GrpcError<'_>) -> Outcome {
    let text = |part| error.message.contains(part);
    Outcome::Refused(match error.status {
        Some(status::RESOURCE_EXHAUSTED) if text("space exceeded") => StoreRefusal::Full,
        Some(status::RESOURCE_EXHAUSTED) => StoreRefusal::TooLarge,
        Some(status::INVALID_ARGUMENT) if text("too large") || text("too many operations") => StoreRefusal::TooLarge,
        Some(
            status::INVALID_ARGUMENT
            | status::NOT_FOUND
            | status::PERMISSION_DENIED
            | status::UNIMPLEMENTED
            | status::UNAUTHENTICATED,
        ) => StoreRefusal::Denied,
        _ => return Outcome::Unknown,
    })
}

/// The outcome of an operation whose own call was not made yet: it surely changed nothing.
pub(super) fn not_made(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Unknown => Outcome::Refused(StoreRefusal::NotSent),
        outcome => outcome,
    }
}
