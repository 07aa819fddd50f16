//! How a call fails, in etcd's words: the codes and texts of etcd 3.4.23, and of the gRPC library below it.

use std::fmt;

/// A gRPC status that is not `OK`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The number, such as 14 for `UNAVAILABLE`.
    pub code: u32,
    /// The text, as it is before its encoding in a header.
    pub message: String,
}

impl Status {
    /// A status of this number and text.
    pub fn new(code: u32, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The status as the gRPC library writes an error.
    pub(crate) fn as_error(&self) -> String {
        let code = match self.code {
            3 => "InvalidArgument",
            7 => "PermissionDenied",
            16 => "Unauthenticated",
            _ => "Unknown",
        };
        format!("rpc error: code = {code} desc = {}", self.message)
    }

    /// What etcd makes of an error of its authentication in a maintenance call.
    pub(crate) fn of_maintenance(self) -> Self {
        Self::new(2, self.message.replacen("etcdserver", "auth", 1))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}: {}", self.code, self.message)
    }
}

impl std::error::Error for Status {}

/// Makes a function for each status: its name, number and text.
macro_rules! statuses {
    ($($name:ident = $code:literal, $message:literal;)*) => {
        $(pub(crate) fn $name() -> Status {
            Status::new($code, $message)
        })*
    };
}

statuses! {
    empty_key = 3, "etcdserver: key is not provided";
    empty_operation = 3, "etcdserver: key not found";
    too_many_operations = 3, "etcdserver: too many operations in txn request";
    duplicate_key = 3, "etcdserver: duplicate key given in txn request";
    too_large = 3, "etcdserver: request is too large";
    compacted = 11, "etcdserver: mvcc: required revision has been compacted";
    future_revision = 11, "etcdserver: mvcc: required revision is a future revision";
    no_space = 8, "etcdserver: mvcc: database space exceeded";
    lease_not_found = 5, "etcdserver: requested lease not found";
    lease_exists = 9, "etcdserver: lease already exists";
    lease_too_long = 11, "etcdserver: too large lease TTL";
    no_auth = 9, "etcdserver: authentication is not enabled";
    wrong_password = 3, "etcdserver: authentication failed, invalid user ID or password";
    no_user = 3, "etcdserver: user name is empty";
    wrong_token = 16, "etcdserver: invalid auth token";
    not_permitted = 7, "etcdserver: permission denied";
    leader_changed = 14, "etcdserver: leader changed";
    timed_out = 14, "etcdserver: request timed out";
    not_a_message = 13, "grpc: error unmarshalling request: unexpected EOF";
    broken_frame = 2, "unexpected EOF";
    compressed = 12, "grpc: Decompressor is not installed for grpc-encoding \"\"";
}

pub(crate) fn larger_than_a_message(bytes: usize, most: usize) -> Status {
    Status::new(8, format!("grpc: received message larger than max ({bytes} vs. {most})"))
}

pub(crate) fn malformed(path: &str) -> Status {
    Status::new(8, format!("malformed method name: {path:?}"))
}

pub(crate) fn unknown_service(service: &str) -> Status {
    Status::new(12, format!("unknown service {service}"))
}

pub(crate) fn unknown_method(service: &str, method: &str) -> Status {
    Status::new(12, format!("unknown method {method} for service {service}"))
}
