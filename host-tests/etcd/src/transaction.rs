//! Transactions: what etcd refuses about one before it looks at any key, its conditions, and its operations.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use etcd_messages::compare::{Operand, Result as Wanted, Target};
use etcd_messages::request_op::Request;
use etcd_messages::response_op::Response;
use etcd_messages::{
    Compare, DeleteRangeRequest, DeleteRangeResponse, KeyValue, PutRequest, PutResponse, RequestOp, ResponseHeader,
    ResponseOp, TxnRequest, TxnResponse,
};

use crate::leases::Leases;
use crate::status::{self, Status};
use crate::store::{Change, Store, Write, covers};

/// `--max-txn-ops`, as etcd has it unless told otherwise: for the conditions and for either branch.
const OPERATIONS: usize = 128;

/// Refuses a transaction that is wrong in itself.
pub(crate) fn check(request: &TxnRequest) -> Result<(), Status> {
    let most = request.compare.len().max(request.success.len()).max(request.failure.len());
    if most > OPERATIONS {
        return Err(status::too_many_operations());
    }
    if request.compare.iter().any(|compare| compare.key.is_empty()) {
        return Err(status::empty_key());
    }
    for operation in request.success.iter().chain(&request.failure) {
        let key = match &operation.request {
            Some(Request::Range(range)) => &range.key,
            Some(Request::Put(put)) => &put.key,
            Some(Request::DeleteRange(delete)) => &delete.key,
            None => return Err(status::empty_operation()),
        };
        if key.is_empty() {
            return Err(status::empty_key());
        }
    }
    [&request.success, &request.failure].into_iter().try_for_each(|branch| check_keys(branch))
}

/// Refuses a branch that puts a key twice, or puts one that it deletes as well.
fn check_keys(branch: &[RequestOp]) -> Result<(), Status> {
    let deletes: Vec<&DeleteRangeRequest> = branch
        .iter()
        .filter_map(|operation| match &operation.request {
            Some(Request::DeleteRange(delete)) => Some(delete),
            _ => None,
        })
        .collect();
    let mut seen = BTreeSet::new();
    for put in puts(branch) {
        // etcd 3.4 overlooks a delete of all keys from one on.
        let deletes = deletes.iter().filter(|delete| delete.range_end != [0]);
        let is_deleted = deletes.into_iter().any(|delete| covers(&delete.key, &delete.range_end, &put.key));
        if is_deleted || !seen.insert(&put.key) {
            return Err(status::duplicate_key());
        }
    }
    Ok(())
}

/// The puts of a branch.
pub(crate) fn puts(branch: &[RequestOp]) -> impl Iterator<Item = &PutRequest> {
    branch.iter().filter_map(|operation| match &operation.request {
        Some(Request::Put(put)) => Some(put),
        _ => None,
    })
}

/// The keys that an operation works on.
fn keys_of(operation: &RequestOp) -> Option<(&[u8], &[u8])> {
    Some(match operation.request.as_ref()? {
        Request::Range(range) => (&range.key, &range.range_end),
        Request::Put(put) => (&put.key, &[]),
        Request::DeleteRange(delete) => (&delete.key, &delete.range_end),
    })
}

/// All keys that a transaction may work on.
pub(crate) fn keys(request: &TxnRequest) -> impl Iterator<Item = (&[u8], &[u8])> {
    let compared = request.compare.iter().map(|compare| (compare.key.as_slice(), [].as_slice()));
    compared.chain(request.success.iter().chain(&request.failure).filter_map(keys_of))
}

/// Does it read only, whichever branch is taken?
pub(crate) fn is_read_only(request: &TxnRequest) -> bool {
    let is_read = |operation: &RequestOp| matches!(operation.request, Some(Request::Range(_)));
    request.success.iter().chain(&request.failure).all(is_read)
}

/// Carries a transaction out; gives what changed, too.
pub(crate) fn apply(
    store: &mut Store,
    leases: &Leases,
    request: &TxnRequest,
) -> Result<(TxnResponse, Vec<Change>), Status> {
    let succeeded = request.compare.iter().all(|compare| holds(store, compare));
    let branch = if succeeded { &request.success } else { &request.failure };
    if puts(branch).any(|put| put.lease != 0 && !leases.knows(put.lease)) {
        return Err(status::lease_not_found());
    }
    for operation in branch {
        if let Some(Request::Range(range)) = &operation.request {
            store.check_revision(range.revision)?;
        }
    }
    let mut write = store.write();
    let responses: Result<Vec<ResponseOp>, Status> =
        branch.iter().map(|operation| operate(&mut write, operation)).collect();
    let changes = write.end();
    Ok((TxnResponse { header: None, succeeded, responses: responses? }, changes))
}

fn operate(write: &mut Write<'_>, operation: &RequestOp) -> Result<ResponseOp, Status> {
    let response = match &operation.request {
        Some(Request::Range(range)) => Response::Range(write.range(range)?),
        Some(Request::Put(put)) => {
            write.put(&put.key, &put.value, put.lease);
            Response::Put(PutResponse { header: header(write) })
        }
        Some(Request::DeleteRange(delete)) => {
            let deleted = i64::try_from(write.delete(&delete.key, &delete.range_end)).unwrap_or(i64::MAX);
            Response::DeleteRange(DeleteRangeResponse { header: header(write), deleted })
        }
        None => return Err(status::empty_operation()),
    };
    Ok(ResponseOp { response: Some(response) })
}

/// Inside of a transaction a header has the revision alone.
fn header(write: &Write<'_>) -> Option<ResponseHeader> {
    Some(ResponseHeader { revision: write.revision(), ..ResponseHeader::default() })
}

fn holds(store: &Store, compare: &Compare) -> bool {
    let target = Target::try_from(compare.target).ok();
    let found = store.get(&compare.key);
    if found.is_none() && target == Some(Target::Value) {
        // There is no way to write down a value that is not there.
        return false;
    }
    let missing = KeyValue::default();
    let kv = found.map_or(&missing, AsRef::as_ref);
    // An operand of another kind than the target counts as 0, or as empty.
    let ordering = match (target, &compare.operand) {
        (Some(Target::Version), Some(Operand::Version(than))) => kv.version.cmp(than),
        (Some(Target::Version), _) => kv.version.cmp(&0),
        (Some(Target::Create), Some(Operand::CreateRevision(than))) => kv.create_revision.cmp(than),
        (Some(Target::Create), _) => kv.create_revision.cmp(&0),
        (Some(Target::Mod), Some(Operand::ModRevision(than))) => kv.mod_revision.cmp(than),
        (Some(Target::Mod), _) => kv.mod_revision.cmp(&0),
        (Some(Target::Value), Some(Operand::Value(than))) => kv.value.cmp(than),
        (Some(Target::Value), _) => kv.value.as_slice().cmp(&[]),
        (Some(Target::Lease), Some(Operand::Lease(than))) => kv.lease.cmp(than),
        (Some(Target::Lease), _) => kv.lease.cmp(&0),
        (None, _) => Ordering::Equal,
    };
    match Wanted::try_from(compare.result) {
        Ok(Wanted::Equal) => ordering.is_eq(),
        Ok(Wanted::Greater) => ordering.is_gt(),
        Ok(Wanted::Less) => ordering.is_lt(),
        Ok(Wanted::NotEqual) => ordering.is_ne(),
        Err(_) => true,
    }
}
