//! The quota of the database, and the alarm that stands once it was reached.

use std::collections::BTreeSet;

use etcd_messages::{AlarmMember, AlarmRequest, PutRequest, RequestOp, TxnRequest};

use crate::status::{self, Status};
use crate::transaction::puts;

/// `--quota-backend-bytes`, as etcd has it unless told otherwise: 2 GiB.
pub(crate) const QUOTA: usize = 2 << 30;
/// What etcd reckons for a put beside key and value, in bytes.
const PUT: usize = 256;
/// What it reckons for a lease.
const LEASE: usize = 64;
/// The alarm `NOSPACE`.
pub(crate) const NO_SPACE: i32 = 1;

const ACTIVATE: i32 = 1;
const DEACTIVATE: i32 = 2;

/// The quota, and all alarms.
#[derive(Debug)]
pub(crate) struct Space {
    pub(crate) quota: usize,
    /// The alarm's number, and the member that raised it.
    alarms: BTreeSet<(i32, u64)>,
}

impl Default for Space {
    fn default() -> Self {
        Self { quota: QUOTA, alarms: BTreeSet::new() }
    }
}

impl Space {
    /// Refuses what would need `cost` more bytes where they are not there: this member raises the alarm then, and while
    /// it stands everything is refused that costs anything.
    pub(crate) fn check(&mut self, cost: usize, file: usize, member: u64) -> Result<(), Status> {
        if cost == 0 {
            return Ok(());
        }
        if file + cost >= self.quota {
            self.raise(member);
        }
        if self.is_full() { Err(status::no_space()) } else { Ok(()) }
    }

    pub(crate) fn raise(&mut self, member: u64) {
        self.alarms.insert((NO_SPACE, member));
    }

    pub(crate) fn is_full(&self) -> bool {
        self.alarms.iter().any(|(alarm, _)| *alarm == NO_SPACE)
    }

    /// Reads, raises or takes back an alarm; gives those that it was about.
    pub(crate) fn alarm(&mut self, request: &AlarmRequest) -> Vec<AlarmMember> {
        let named = (request.alarm, request.member_id);
        let members: Vec<(i32, u64)> = match request.action {
            ACTIVATE => {
                self.alarms.insert(named);
                vec![named]
            }
            DEACTIVATE => self.alarms.take(&named).into_iter().collect(),
            _ => {
                let wanted = |alarm: i32| request.alarm == 0 || request.alarm == alarm;
                self.alarms.iter().copied().filter(|(alarm, _)| wanted(*alarm)).collect()
            }
        };
        members.into_iter().map(|(alarm, member_id)| AlarmMember { member_id, alarm }).collect()
    }
}

pub(crate) fn cost_of_put(put: &PutRequest) -> usize {
    PUT + put.key.len() + put.value.len()
}

pub(crate) fn cost_of_lease() -> usize {
    LEASE
}

/// The dearer of its branches.
pub(crate) fn cost_of_txn(request: &TxnRequest) -> usize {
    let cost = |branch: &[RequestOp]| puts(branch).map(cost_of_put).sum::<usize>();
    cost(&request.success).max(cost(&request.failure))
}
