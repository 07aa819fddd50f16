//! Deliberate bugs of a fleet: each breaks one promise, between the gateways and etcd, and must be caught by the check of
//! that promise. A message that is changed on its way is one that the filter did not send as it should have.

use etcd_messages::compare::Target;
use etcd_messages::request_op::Request;
use etcd_messages::{DeleteRangeRequest, RequestOp, TXN, TxnRequest};
use etcd_model::Etcd;
use prost::Message;

use super::ownership::JournalKey;
use crate::checks::Invariant;

/// A deliberate bug of a fleet.
#[derive(Clone, Copy, Debug)]
pub struct FleetBug {
    /// The name of the bug, a few words.
    pub name: &'static str,
    /// What the filter does wrong.
    pub what: &'static str,
    /// The promises that the bug breaks.
    pub breaks: &'static [Invariant],
    /// What becomes of each transaction.
    pub change: fn(&mut TxnRequest),
}

/// All bugs.
pub const ALL: &[FleetBug] = &[
    FleetBug {
        name: "no fence",
        what: "changes do not depend on the lease",
        breaks: &[Invariant::Fenced],
        change: |request| {
            let is_fence = |target: i32| target == i32::from(Target::Lease) || target == i32::from(Target::Version);
            request.compare.retain(|compare| !is_fence(compare.target));
        },
    },
    FleetBug {
        name: "void forgotten",
        what: "an append that was given up is not made void",
        breaks: &[Invariant::JournalEmpty],
        change: |request| {
            request.success.retain(|operation| !is_void(operation));
        },
    },
    FleetBug {
        name: "deleted before it is delivered",
        what: "a segment is deleted with the next append",
        breaks: &[Invariant::SegmentStays, Invariant::NothingVanishes],
        change: |request| {
            let previous = request.success.iter().find_map(segment_before);
            request.success.extend(previous);
        },
    },
    FleetBug {
        name: "claim without a lease",
        what: "a claim does not end with its claimer",
        breaks: &[Invariant::NothingVanishes, Invariant::JournalEmpty],
        change: |request| {
            for operation in &mut request.success {
                if let Some(Request::Put(put)) = &mut operation.request
                    && matches!(JournalKey::parse(&put.key), Some(JournalKey::Claimed(_)))
                {
                    put.lease = 0;
                }
            }
        },
    },
    FleetBug {
        name: "key of each gateway",
        what: "an idempotency key is claimed whatever etcd has under it",
        breaks: &[Invariant::OneEventAKey],
        change: |request| {
            request.compare.retain(|compare| !matches!(JournalKey::parse(&compare.key), Some(JournalKey::Key(_))));
        },
    },
    FleetBug {
        name: "message of each gateway",
        what: "a message is claimed whatever etcd has under it",
        breaks: &[Invariant::TakenOnce, Invariant::OneAtATime],
        change: |request| {
            request.compare.retain(|compare| !matches!(JournalKey::parse(&compare.key), Some(JournalKey::Message(_))));
        },
    },
    FleetBug {
        name: "message not claimed",
        what: "a claim is taken as made that etcd does not have",
        breaks: &[Invariant::Claimed],
        change: |request| {
            let is_claim = request.compare.iter().any(|compare| {
                matches!(JournalKey::parse(&compare.key), Some(JournalKey::Message(_)))
                    && compare.target == i32::from(Target::Mod)
            });
            request
                .success
                .retain(|operation| !is_claim || !is_put(operation, |key| matches!(key, JournalKey::Message(_))));
        },
    },
    FleetBug {
        name: "message kept",
        what: "a message that its application has refused is not given back",
        breaks: &[Invariant::Acknowledged],
        change: |request| {
            let is_message = |key: &[u8]| matches!(JournalKey::parse(key), Some(JournalKey::Message(_)));
            request.success.retain(
                |operation| !matches!(&operation.request, Some(Request::DeleteRange(range)) if is_message(&range.key)),
            );
        },
    },
    FleetBug {
        name: "order kept at home",
        what: "what operators order at a gateway is not written to etcd",
        breaks: &[Invariant::OrderStands, Invariant::SameAtEveryGateway],
        change: |request| {
            request.success.retain(|operation| !is_put(operation, |key| matches!(key, JournalKey::Document(_))));
        },
    },
    FleetBug {
        name: "documents not read",
        what: "a gateway does not learn what was ordered at another",
        breaks: &[Invariant::Stopped, Invariant::EndpointDisabled, Invariant::SameAtEveryGateway],
        change: |request| {
            for operation in &mut request.success {
                if let Some(Request::Range(range)) = &mut operation.request
                    && matches!(JournalKey::parse(&range.key), Some(JournalKey::Document(_)))
                {
                    range.min_mod_revision = i64::MAX;
                }
            }
        },
    },
    FleetBug {
        name: "answered before it is committed",
        what: "a batch is taken as committed that etcd does not have",
        breaks: &[Invariant::Committed],
        change: |request| {
            request.success.retain(|operation| !is_segment(operation) || is_void(operation));
        },
    },
];

impl FleetBug {
    /// Puts the bug between the gateways and etcd.
    pub fn put_in(&self, etcd: &Etcd) {
        let change = self.change;
        etcd.tamper(move |path, message| match TxnRequest::decode(message.as_slice()) {
            Ok(mut request) if path == TXN => {
                change(&mut request);
                request.encode_to_vec()
            }
            _ => message,
        });
    }
}

/// Whether an operation puts such a key.
fn is_put(operation: &RequestOp, is: impl Fn(&JournalKey) -> bool) -> bool {
    matches!(&operation.request, Some(Request::Put(put)) if JournalKey::parse(&put.key).is_some_and(|key| is(&key)))
}

fn is_segment(operation: &RequestOp) -> bool {
    is_put(operation, |key| matches!(key, JournalKey::Segment(_)))
}

fn is_void(operation: &RequestOp) -> bool {
    is_segment(operation) && matches!(&operation.request, Some(Request::Put(put)) if put.value.is_empty())
}

/// Deletes the segment before the one that is put.
fn segment_before(operation: &RequestOp) -> Option<RequestOp> {
    let Some(Request::Put(put)) = operation.request.as_ref().filter(|_| is_segment(operation)) else { return None };
    let Some(JournalKey::Segment(name)) = JournalKey::parse(&put.key) else { return None };
    let before = u64::from_str_radix(&name.number, 16).ok()?.checked_sub(1)?;
    let end = put.key.len().checked_sub(name.number.len())?;
    let key = [put.key.get(..end)?, format!("{before:016x}").as_bytes()].concat();
    Some(RequestOp { request: Some(Request::DeleteRange(DeleteRangeRequest { key, range_end: Vec::new() })) })
}
