//! What producers, operators and metrics are told of the journal. The store is one that agrees to everything.

use std::collections::BTreeMap;

use etcd_messages::request_op::Request;
use etcd_messages::response_op::Response;
use etcd_messages::{
    COMPACT, CompactionResponse, KeyValue, LEASE_GRANT, LEASE_KEEP_ALIVE, LeaseGrantResponse, LeaseKeepAliveResponse,
    RangeResponse, ResponseOp, TXN, TxnRequest, TxnResponse,
};
use prost::Message;
use serde_json::Value;

use super::*;
use crate::admin::{AdminRequest, Outcome, handle};
use crate::journal::JournalState;
use crate::journal::operation::{StoreCall, StoreReply};
use crate::telemetry::notice::Gauge;

const JOURNAL: &str = r#", "journal": {"etcd": {"cluster": "etcd", "prefix": "/g"}},
    "admin": {"tokens": [{"value": "may-look"}]}"#;

/// How the store answers.
#[derive(Clone, Copy, PartialEq)]
enum StoreAnswers {
    Well,
    Full,
    Never,
}

/// A process with a journal, what its store keeps of its writers, and what was told.
struct JournaledProcess {
    process: Process,
    answers: StoreAnswers,
    writers: BTreeMap<Vec<u8>, Vec<u8>>,
    notices: Vec<Notice>,
    answered: Vec<(u32, Value)>,
}

impl JournaledProcess {
    fn new(workers: usize, route: &str, more: &str) -> Self {
        let process = Process::configured(workers, route, &billing(""), &[JOURNAL, more].concat());
        let (writers, notices, answered) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { process, answers: StoreAnswers::Well, writers, notices, answered }
    }

    /// Lets time pass in steps of 50 ms. Attempts are answered with 204.
    fn pass(&mut self, millis: u64) {
        let end = self.process.millis + millis;
        while self.process.millis < end {
            self.process.millis += 50;
            for worker in 0..self.process.workers.len() {
                self.process.run(worker, Engine::handle_timeout);
                while let Some(action) = self.process.run(worker, Engine::poll_action) {
                    self.perform(worker, action);
                }
            }
        }
    }

    fn perform(&mut self, worker: usize, action: Action) {
        match action {
            Action::Call(call) => {
                let end = Ending::Status(204);
                self.process.run(worker, |engine, world| engine.handle_call_ended(world, call.attempt, end, None));
            }
            Action::Store(request) => {
                let reply = self.reply(&request.call);
                self.process.run(worker, |engine, world| engine.handle_store_reply(world, request.number, &reply));
            }
            Action::Answer { stream, answer } => {
                self.answered.push((stream, serde_json::from_slice(&answer.body).unwrap()));
            }
            Action::Pass { .. } | Action::OpenStream { .. } | Action::CloseStream => {}
            Action::Notice(notice) => self.notices.push(notice),
        }
    }

    fn reply(&mut self, call: &StoreCall) -> StoreReply {
        let path = call.headers.iter().find(|(name, _)| *name == ":path").unwrap().1.as_str();
        let message = match (self.answers, path) {
            (StoreAnswers::Never, _) => return StoreReply::Lost,
            (_, LEASE_GRANT) => LeaseGrantResponse { id: 7, ttl: 5, ..Default::default() }.encode_to_vec(),
            (_, LEASE_KEEP_ALIVE) => LeaseKeepAliveResponse { id: 7, ttl: 5, ..Default::default() }.encode_to_vec(),
            (_, TXN) => {
                let transaction = TxnRequest::decode(&call.body[5..]).unwrap();
                let puts = |op: &etcd_messages::RequestOp| matches!(op.request, Some(Request::Put(_)));
                if self.answers == StoreAnswers::Full && transaction.success.iter().any(puts) {
                    return answer(8, "etcdserver: mvcc: database space exceeded", &[]);
                }
                let responses = transaction.success.into_iter().filter_map(|op| self.carry_out(op.request?)).collect();
                TxnResponse { succeeded: true, responses, ..Default::default() }.encode_to_vec()
            }
            (_, COMPACT) => CompactionResponse::default().encode_to_vec(),
            (_, path) => panic!("nothing here calls {path}"),
        };
        answer(0, "", &message)
    }

    fn carry_out(&mut self, request: Request) -> Option<ResponseOp> {
        let is_writer = |key: &[u8]| key.starts_with(b"/g/w/");
        match request {
            Request::Put(put) if is_writer(&put.key) => drop(self.writers.insert(put.key, put.value)),
            Request::Range(range) => {
                let of = |(key, value): (&Vec<u8>, &Vec<u8>)| KeyValue {
                    key: key.clone(),
                    value: value.clone(),
                    ..Default::default()
                };
                let kvs = if is_writer(&range.key) { self.writers.iter().map(of).collect() } else { Vec::new() };
                return Some(ResponseOp {
                    response: Some(Response::Range(RangeResponse { kvs, ..Default::default() })),
                });
            }
            _ => {}
        }
        None
    }

    /// The answer of the admin surface, as any worker gives it.
    fn ask(&mut self, path: &str) -> (u16, Value) {
        let authorization: Option<&[u8]> = Some(b"Bearer may-look");
        let admin =
            AdminRequest { method: "GET", path, query: "", authorization, body: b"", fleet: Default::default() };
        let outcome = self
            .process
            .run(0, |engine, world| handle(world, &engine.keys, engine.config.admin.as_ref().unwrap(), &admin));
        let Outcome::Answer(answer) = outcome else { panic!("{outcome:?}") };
        (answer.status, serde_json::from_slice(&answer.body).unwrap())
    }

    /// The states of the journal that were told since the last look.
    fn told(&mut self) -> Vec<(JournalState, Option<String>)> {
        let told = std::mem::take(&mut self.notices).into_iter();
        told.filter_map(|notice| if let Notice::Journal { state, why } = notice { Some((state, why)) } else { None })
            .collect()
    }
}

fn answer(grpc_status: u32, grpc_message: &str, message: &[u8]) -> StoreReply {
    let mut body = vec![0];
    body.extend_from_slice(&(message.len() as u32).to_be_bytes());
    body.extend_from_slice(message);
    StoreReply::Answer { status: 200, grpc_status: Some(grpc_status), grpc_message: grpc_message.to_owned(), body }
}

fn body(reply: Reply) -> Value {
    serde_json::from_slice(&reply.answer.unwrap().body).unwrap()
}

/// A receipt says where the event is kept: in the journal, or in memory where the route or an unwell journal wants so.
#[test]
fn receipt_says_where_the_event_is_kept() {
    let mut fleet = JournaledProcess::new(1, "", "");
    fleet.pass(500);
    assert!(fleet.process.offer(0, 7).answer.is_none(), "its commit is waited for");
    fleet.pass(50);
    let (stream, receipt) = fleet.answered.remove(0);
    assert_eq!((stream, &receipt["status"], &receipt["durability"]), (7, &"accepted".into(), &"journal".into()));

    let mut memory = JournaledProcess::new(1, r#", "durability": "memory""#, "");
    memory.pass(500);
    assert_eq!(body(memory.process.offer(0, 7))["durability"], "memory");

    let mut bare = Process::new(1, &billing(""));
    assert_eq!(body(bare.offer(0, 7)).get("durability"), None, "without a journal nothing is said");
}

/// The journal's state is told once for all workers when it changes, and is what operators and metrics see.
#[test]
fn state_of_the_journal_is_told_at_its_transitions() {
    let mut fleet = JournaledProcess::new(2, "", "");
    fleet.pass(3000);
    assert_eq!(fleet.told(), []);
    let (_, status) = fleet.ask("/status");
    assert_eq!((&status["journal"]["state"], &status["journal"]["last_error"]), (&"ok".into(), &Value::Null));

    fleet.answers = StoreAnswers::Never;
    fleet.pass(6000);
    let up = |value| Notice::Gauge { endpoint: None, gauge: Gauge::JournalUp, value };
    assert!(fleet.notices.contains(&up(0)));
    assert_eq!(fleet.told(), [(JournalState::Unavailable, Some("no answer".to_owned()))]);
    let (_, status) = fleet.ask("/status");
    assert_eq!(status["journal"]["state"], "unavailable");
    assert_eq!(status["journal"]["last_error"], "no answer");

    fleet.answers = StoreAnswers::Well;
    fleet.pass(8000);
    assert!(fleet.notices.contains(&up(1)));
    assert_eq!(fleet.told(), [(JournalState::Ok, None)]);
}

/// A store without room is told of as full, and not as gone.
#[test]
fn store_without_room_is_told_of_as_full() {
    let mut fleet = JournaledProcess::new(1, "", "");
    fleet.pass(500);
    fleet.answers = StoreAnswers::Full;
    fleet.process.offer(0, 7);
    fleet.pass(2000);
    assert_eq!(fleet.told(), [(JournalState::Full, Some("full".to_owned()))]);
    assert_eq!(fleet.answered.remove(0).1["detail"], "the journal is full");
    assert_eq!(fleet.ask("/status").1["journal"]["state"], "full");
}

/// The workers of a gateway are one row of the fleet.
#[test]
fn fleet_has_a_row_for_each_gateway() {
    let mut fleet = JournaledProcess::new(2, "", "");
    fleet.pass(5000);
    let (status, answer) = fleet.ask("/fleet");
    assert_eq!((status, &answer["journal"]["gateways"], &answer["dead_workers"]), (200, &1.into(), &0.into()));
    let row = &answer["gateways"][0];
    assert_eq!((&row["instance"], &row["workers"]), (&answer["instance"], &2.into()), "{answer}");
    assert_eq!((&row["started_at"], &row["version"]), (&answer["started_at"], &env!("CARGO_PKG_VERSION").into()));
    assert!(row["lease_age_seconds"].as_u64().unwrap() >= 3, "{answer}");
    assert!(answer["seen_seconds"].as_u64().unwrap() <= 2, "{answer}");
}

/// Where nothing has a journal the fleet is not found, and the status says nothing of one.
#[test]
fn without_a_journal_there_is_no_fleet() {
    let admin = r#", "admin": {"tokens": [{"value": "may-look"}]}"#;
    let process = Process::configured(1, "", &billing(""), admin);
    let mut bare = JournaledProcess {
        process,
        answers: StoreAnswers::Never,
        writers: BTreeMap::new(),
        notices: vec![],
        answered: vec![],
    };
    bare.pass(2000);
    let (status, problem) = bare.ask("/fleet");
    let detail = "the config has no journal: this gateway is in no fleet";
    assert_eq!((status, &problem["detail"]), (404, &detail.into()));
    assert_eq!(bare.ask("/status").1.get("journal"), None);
}

/// The first worker that ends tells of all that is pending in the process; the others, and older ones, tell nothing.
#[test]
fn end_of_the_process_tells_what_is_pending_once() {
    let mut process = Process::new(2, &billing(""));
    process.poll();
    (1..=3).for_each(|stream| drop(process.offer(stream as usize % 2, stream)));
    let ends = |process: &mut Process, worker| {
        process.run(worker, |engine, world| engine.close(world));
        let notices: Vec<Notice> = std::iter::from_fn(|| process.workers[worker].poll_notice()).collect();
        notices.into_iter().filter(|notice| matches!(notice, Notice::EndsWithPending { .. })).collect::<Vec<_>>()
    };
    assert_eq!(ends(&mut process, 0), [Notice::EndsWithPending { deliveries: 3 }]);
    assert_eq!(ends(&mut process, 1), []);
}

/// A worker whose configuration was replaced tells nothing: the newer one goes on.
#[test]
fn end_of_a_replaced_configuration_tells_nothing() {
    let mut process = Process::new(1, &billing(""));
    process.poll();
    process.offer(0, 1);
    let newer = Process::new(1, &billing(r#", "timeout": "9s""#)).workers.remove(0);
    process.workers.push(newer);
    process.millis += 1000;
    process.run(1, Engine::handle_timeout);
    process.run(0, Engine::handle_timeout);
    process.run(0, |engine, world| engine.close(world));
    let notices: Vec<Notice> = std::iter::from_fn(|| process.workers[0].poll_notice()).collect();
    assert!(!notices.iter().any(|notice| matches!(notice, Notice::EndsWithPending { .. })), "{notices:?}");
}
