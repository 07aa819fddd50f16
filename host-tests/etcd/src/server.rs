//! etcd's API: a request by its path and bytes, and what comes of it.

use std::time::Duration;

use etcd_messages::{
    self as messages, AlarmRequest, AlarmResponse, AuthenticateRequest, AuthenticateResponse, CompactionRequest,
    CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, LeaseGrantRequest, LeaseGrantResponse,
    LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseRevokeRequest, LeaseRevokeResponse, PutRequest, PutResponse,
    RangeRequest, ResponseHeader, StatusRequest, StatusResponse, TxnRequest,
};
use fastrand::Rng;
use prost::Message;

use crate::defragment::{DEFRAGMENT, DefragmentRequest, DefragmentResponse};
use crate::leases::Leases;
use crate::space::{self, Space};
use crate::status::{self, Status};
use crate::store::{Change, Store};
use crate::transaction;
use crate::users::{Users, Who};

/// `--max-request-bytes`, as etcd has it unless told otherwise: of what goes through its log.
const REQUEST: usize = 3 << 19;
/// About what the log adds to a request, in bytes.
const ENVELOPE: usize = 24;
/// The largest message that etcd's gRPC library takes.
pub(crate) const MESSAGE: usize = REQUEST + (512 << 10);
/// The version that this is a model of.
const VERSION: &str = "3.4.23";

/// An answer's message, and what the call changed.
pub(crate) type Served = Result<(Vec<u8>, Vec<Change>), Status>;

/// The state that all members of etcd agree on.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) store: Store,
    pub(crate) leases: Leases,
    pub(crate) users: Users,
    pub(crate) space: Space,
    pub(crate) cluster: u64,
    pub(crate) members: Vec<u64>,
    /// The number of the leader among the members.
    pub(crate) leader: usize,
    pub(crate) term: u64,
    pub(crate) rng: Rng,
}

/// A call that has reached a member.
pub(crate) struct Asked<'a> {
    pub(crate) path: &'a str,
    pub(crate) message: &'a [u8],
    pub(crate) who: Who<'a>,
    pub(crate) member: u64,
    pub(crate) now: Duration,
}

impl Server {
    pub(crate) fn new(seed: u64, members: usize) -> Self {
        let mut rng = Rng::with_seed(seed);
        Self {
            store: Store::default(),
            leases: Leases::default(),
            users: Users::default(),
            space: Space::default(),
            cluster: rng.u64(1..),
            members: (0..members.max(1)).map(|_| rng.u64(1..)).collect(),
            leader: 0,
            term: 2,
            rng,
        }
    }

    fn header(&self, member: u64) -> Option<ResponseHeader> {
        Some(ResponseHeader {
            cluster_id: self.cluster,
            member_id: member,
            revision: self.store.revision(),
            raft_term: self.term,
        })
    }

    /// Serves a call.
    pub(crate) fn serve(&mut self, asked: &Asked<'_>) -> Served {
        match asked.path {
            messages::RANGE => self.range(asked),
            messages::PUT => self.put(asked),
            messages::DELETE_RANGE => self.delete_range(asked),
            messages::TXN => self.txn(asked),
            messages::COMPACT => self.compact(asked),
            messages::LEASE_GRANT => self.lease_grant(asked),
            messages::LEASE_REVOKE => self.lease_revoke(asked),
            messages::LEASE_KEEP_ALIVE => self.lease_keep_alive(asked),
            messages::AUTHENTICATE => self.authenticate(asked),
            messages::STATUS => self.status(asked),
            messages::ALARM => self.alarm(asked),
            DEFRAGMENT => self.defragment(asked),
            path => Err(unknown(path)),
        }
    }

    fn range(&mut self, asked: &Asked<'_>) -> Served {
        let request: RangeRequest = decoded(asked.message)?;
        if request.key.is_empty() {
            return Err(status::empty_key());
        }
        self.users.check(asked.who, [(request.key.as_slice(), request.range_end.as_slice())], asked.now)?;
        let mut response = self.store.range(&request)?;
        response.header = self.header(asked.member);
        read(&response)
    }

    fn put(&mut self, asked: &Asked<'_>) -> Served {
        let request: PutRequest = decoded(asked.message)?;
        self.space.check(space::cost_of_put(&request), self.store.file(), asked.member)?;
        if request.key.is_empty() {
            return Err(status::empty_key());
        }
        logged(asked)?;
        self.users.check(asked.who, [(request.key.as_slice(), [].as_slice())], asked.now)?;
        if request.lease != 0 && !self.leases.knows(request.lease) {
            return Err(status::lease_not_found());
        }
        let mut write = self.store.write();
        write.put(&request.key, &request.value, request.lease);
        let changes = write.end();
        Ok((PutResponse { header: self.header(asked.member) }.encode_to_vec(), changes))
    }

    fn delete_range(&mut self, asked: &Asked<'_>) -> Served {
        let request: DeleteRangeRequest = decoded(asked.message)?;
        if request.key.is_empty() {
            return Err(status::empty_key());
        }
        logged(asked)?;
        self.users.check(asked.who, [(request.key.as_slice(), request.range_end.as_slice())], asked.now)?;
        let mut write = self.store.write();
        let deleted = i64::try_from(write.delete(&request.key, &request.range_end)).unwrap_or(i64::MAX);
        let changes = write.end();
        Ok((DeleteRangeResponse { header: self.header(asked.member), deleted }.encode_to_vec(), changes))
    }

    fn txn(&mut self, asked: &Asked<'_>) -> Served {
        let request: TxnRequest = decoded(asked.message)?;
        self.space.check(space::cost_of_txn(&request), self.store.file(), asked.member)?;
        transaction::check(&request)?;
        if !transaction::is_read_only(&request) {
            logged(asked)?;
        }
        self.users.check(asked.who, transaction::keys(&request), asked.now)?;
        let (mut response, changes) = transaction::apply(&mut self.store, &self.leases, &request)?;
        response.header = self.header(asked.member);
        Ok((response.encode_to_vec(), changes))
    }

    fn compact(&mut self, asked: &Asked<'_>) -> Served {
        let request: CompactionRequest = decoded(asked.message)?;
        self.users.check_token(asked.who, asked.now)?;
        self.store.compact(request.revision)?;
        read(&CompactionResponse { header: self.header(asked.member) })
    }

    fn lease_grant(&mut self, asked: &Asked<'_>) -> Served {
        let request: LeaseGrantRequest = decoded(asked.message)?;
        self.space.check(space::cost_of_lease(), self.store.file(), asked.member)?;
        self.users.check_token(asked.who, asked.now)?;
        let id = if request.id == 0 { self.rng.i64(1..) } else { request.id };
        let ttl = self.leases.grant(id, request.ttl, asked.now)?;
        read(&LeaseGrantResponse { header: self.header(asked.member), id, ttl, error: String::new() })
    }

    fn lease_revoke(&mut self, asked: &Asked<'_>) -> Served {
        let request: LeaseRevokeRequest = decoded(asked.message)?;
        self.users.check_token(asked.who, asked.now)?;
        let changes = self.revoke(request.id)?;
        Ok((LeaseRevokeResponse { header: self.header(asked.member) }.encode_to_vec(), changes))
    }

    /// Ends a lease and deletes its keys, in one revision.
    pub(crate) fn revoke(&mut self, id: i64) -> Result<Vec<Change>, Status> {
        self.leases.revoke(id)?;
        let keys: Vec<Vec<u8>> = self.store.iter().filter(|kv| kv.lease == id).map(|kv| kv.key.clone()).collect();
        let mut write = self.store.write();
        for key in &keys {
            write.delete(key, &[]);
        }
        Ok(write.end())
    }

    fn lease_keep_alive(&mut self, asked: &Asked<'_>) -> Served {
        let request: LeaseKeepAliveRequest = decoded(asked.message)?;
        let ttl = self.leases.renew(request.id, asked.now);
        read(&LeaseKeepAliveResponse { header: self.header(asked.member), id: request.id, ttl })
    }

    fn authenticate(&mut self, asked: &Asked<'_>) -> Served {
        let request: AuthenticateRequest = decoded(asked.message)?;
        let token = self.users.authenticate(&request.name, &request.password, asked.now, &mut self.rng)?;
        read(&AuthenticateResponse { header: self.header(asked.member), token })
    }

    fn status(&mut self, asked: &Asked<'_>) -> Served {
        let StatusRequest {} = decoded(asked.message)?;
        read(&StatusResponse {
            header: self.header(asked.member),
            version: VERSION.to_owned(),
            db_size: i64::try_from(self.store.file()).unwrap_or(i64::MAX),
            leader: self.members.get(self.leader).copied().unwrap_or_default(),
            db_size_in_use: i64::try_from(self.store.in_use()).unwrap_or(i64::MAX),
        })
    }

    fn alarm(&mut self, asked: &Asked<'_>) -> Served {
        let request: AlarmRequest = decoded(asked.message)?;
        self.users.check_token(asked.who, asked.now).map_err(Status::of_maintenance)?;
        read(&AlarmResponse { header: None, alarms: self.space.alarm(&request) })
    }

    fn defragment(&mut self, asked: &Asked<'_>) -> Served {
        let DefragmentRequest {} = decoded(asked.message)?;
        // Only who may do all.
        let everything = [([0].as_slice(), [0].as_slice())];
        self.users.check(asked.who, everything, asked.now).map_err(Status::of_maintenance)?;
        self.store.defragment();
        read(&DefragmentResponse { header: None })
    }
}

/// An answer to a call that changed no key.
fn read(response: &impl Message) -> Served {
    Ok((response.encode_to_vec(), Vec::new()))
}

fn decoded<M: Message + Default>(message: &[u8]) -> Result<M, Status> {
    M::decode(message).map_err(|_| status::not_a_message())
}

/// Refuses what is too large for etcd's log.
fn logged(asked: &Asked<'_>) -> Result<(), Status> {
    if asked.message.len() + ENVELOPE > REQUEST { Err(status::too_large()) } else { Ok(()) }
}

fn unknown(path: &str) -> Status {
    let Some((service, method)) = path.trim_start_matches('/').rsplit_once('/') else {
        return status::malformed(path);
    };
    let paths = [messages::RANGE, messages::LEASE_GRANT, messages::AUTHENTICATE, messages::STATUS, messages::WATCH];
    let is_known =
        |known: &str| known.trim_start_matches('/').rsplit_once('/').is_some_and(|(name, _)| name == service);
    if paths.into_iter().any(is_known) {
        status::unknown_method(service, method)
    } else {
        status::unknown_service(service)
    }
}
