//! Inbound messages that are claimed in the fleet.

use super::*;
use crate::headers::Headers;
use crate::inbound::InboundResult;
use crate::ingress::request::{Request, RequestResult, Step};
use crate::ingress::waiting::Budgets;
use crate::secret::Secret;

mod late;

const RULE: &str = r#"}, "inbound": [{"name": "partner", "match": {"path": "/in"}, "secrets": [{"value": "s"}],
    "signature": {"scheme": "github"}, "replay": {"scope": "fleet"}},
    {"name": "events", "match": {"path": "/events/paid"}, "secrets": [{"value": "t"}],
    "signature": {"scheme": "github"}, "replay": {"scope": "fleet"}}]"#;
/// What faults of claims and ends find in their calls.
const IDS: &str = "/p/i/";

/// A request on its way, at a gateway.
struct Sending {
    gateway: usize,
    request: Request,
    /// What was told at once; 0: it goes on; `None`: it waits.
    told: Option<u16>,
}

impl Gateways {
    fn with_rule(gateways: usize, more: &str) -> Self {
        Self::with("", &vec![billing("").as_str(); gateways], &format!("{more}{RULE}"))
    }

    /// Sends a message with this body, signed, to a gateway.
    fn send(&mut self, gateway: usize, stream: u32, body: &[u8]) -> Sending {
        self.send_to(gateway, stream, ("/in", "s"), body)
    }

    fn send_to(&mut self, gateway: usize, stream: u32, (path, secret): (&str, &str), body: &[u8]) -> Sending {
        let mac = hex::encode(Secret::new(secret.as_bytes().to_vec()).unwrap().mac(&[body]).bytes());
        let signature = format!("sha256={mac}");
        let headers = [
            (":method", "POST"),
            (":path", path),
            ("content-type", "application/json"),
            ("x-hub-signature-256", &signature),
        ];
        let headers = Headers::new(&headers.map(|(name, value)| (name, value.as_bytes())));
        let process = &mut self.processes[gateway];
        let config = Rc::clone(process.workers[0].config());
        let (rules, mut request) = (config.request_rules(), Request::new(stream));
        let budgets = Budgets::new(1 << 20);
        assert!(matches!(request.handle_headers(&rules, &budgets, headers, false), Step::Pause));
        assert!(matches!(request.handle_data(&rules, body.len(), true), Step::Read { .. }));
        let Step::Work(work) = request.handle_read(&rules, None, Some(body.to_vec())) else { panic!("it is verified") };
        let told = match process.run(0, |engine, world| engine.handle_work(world, &mut request, work)) {
            Step::Change(_) => Some(0),
            Step::Reply(answer, _) => Some(answer.status),
            Step::Pause => None,
            step => panic!("{step:?}"),
        };
        let mut sending = Sending { gateway, request, told };
        if let Some(status @ 1..) = sending.told {
            self.respond(&mut sending, status);
        }
        sending
    }

    /// Lets this much time pass; returns what the request was told by then, as [`Sending::told`] has it.
    fn result(&mut self, sending: &mut Sending, millis: u64) -> Option<u16> {
        self.pass(millis);
        let (gateway, stream) = (sending.gateway, sending.request.stream());
        if sending.told.is_none() && self.passed.contains(&(gateway, stream)) {
            sending.told = Some(0);
        }
        if let Some(place) = self.answers.iter().position(|(other, to, ..)| (*other, *to) == (gateway, stream)) {
            let (.., status, _) = self.answers.remove(place);
            assert_eq!(sending.told.replace(status), None, "a request is told once");
            self.respond(sending, status);
        }
        sending.told
    }

    /// The response to a request has this status.
    fn respond(&mut self, sending: &mut Sending, status: u16) {
        if let Some((ticket, is_taken)) = sending.request.handle_response(status) {
            self.processes[sending.gateway].run(0, |engine, world| engine.handle_message_end(world, &ticket, is_taken));
        }
    }

    /// The stream of a request ends.
    fn end_stream(&mut self, sending: &mut Sending) {
        let (ticket, waited) = sending.request.handle_end();
        let stream = sending.request.stream();
        self.processes[sending.gateway].run(0, |engine, world| {
            ticket.into_iter().for_each(|ticket| engine.handle_message_end(world, &ticket, false));
            waited.into_iter().for_each(|end| engine.handle_request_end(world, stream, end));
        });
    }

    /// Sends a message; returns what it is told, once the application has answered with this status if it got it.
    fn deliver(&mut self, gateway: usize, stream: u32, body: &[u8], status: u16) -> Option<u16> {
        let mut sending = self.send(gateway, stream, body);
        let told = self.result(&mut sending, 50);
        if told == Some(0) {
            self.respond(&mut sending, status);
        }
        self.end_stream(&mut sending);
        self.pass(50);
        told
    }

    fn counted(&self, result: InboundResult) -> usize {
        let is_it =
            |notice: &&Notice| matches!(notice, Notice::Request(RequestResult::Inbound(_, other)) if *other == result);
        self.notices.iter().filter(is_it).count()
    }

    fn is_idle(&self) -> bool {
        self.processes.iter().all(|process| {
            process
                .workers
                .iter()
                .all(|worker| worker.queue.waiters.is_empty() && worker.journal.as_ref().unwrap().messages.is_empty())
        })
    }
}

/// A message that the application behind one gateway has taken is a duplicate at all others.
#[test]
fn message_taken_at_one_is_a_duplicate_at_the_others() {
    let mut gateways = Gateways::with_rule(3, "");
    assert_eq!(gateways.deliver(0, 1, b"{}", 204), Some(0));
    assert_eq!(gateways.deliver(1, 2, b"{}", 204), Some(200));
    assert_eq!(gateways.deliver(2, 3, b"{}", 204), Some(200));
    assert_eq!(gateways.deliver(2, 4, b"[]", 204), Some(0), "another message");
    assert_eq!((gateways.counted(InboundResult::Verified), gateways.counted(InboundResult::Duplicate)), (2, 2));
    // What the fleet has said once, the process knows.
    let calls = gateways.etcd.calls.iter().filter(|call| crate::journal::memory::has(call, IDS)).count();
    assert_eq!(gateways.send(2, 5, b"{}").told, Some(200));
    assert_eq!(gateways.etcd.calls.iter().filter(|call| crate::journal::memory::has(call, IDS)).count(), calls);
    assert!(gateways.is_idle());
}

/// While one gateway's application has a message, the others say so; where it was not taken, it may come again anywhere.
#[test]
fn message_under_way_at_one_is_in_progress_at_the_other() {
    let mut gateways = Gateways::with_rule(2, "");
    let mut first = gateways.send(0, 1, b"{}");
    assert_eq!((first.told, gateways.result(&mut first, 50)), (None, Some(0)));
    assert_eq!(gateways.deliver(1, 2, b"{}", 204), Some(409));
    gateways.respond(&mut first, 503);
    gateways.end_stream(&mut first);
    gateways.pass(50);
    assert!(gateways.etcd.found(IDS).is_empty());
    assert_eq!(gateways.deliver(1, 3, b"{}", 204), Some(0));
    assert_eq!(gateways.deliver(0, 4, b"{}", 204), Some(200));
    assert!(gateways.is_idle());
}

/// Of the same message at all gateways at once one goes on.
#[test]
fn message_at_all_gateways_at_once_goes_on_once() {
    let mut gateways = Gateways::with_rule(3, "");
    let mut sendings: Vec<_> = (0..3).map(|gateway| gateways.send(gateway, 1, b"{}")).collect();
    gateways.pass(100);
    let mut told: Vec<_> = sendings.iter_mut().map(|sending| gateways.result(sending, 0)).collect();
    told.sort_unstable();
    assert_eq!(told, [Some(0), Some(409), Some(409)]);
}

/// The claim of a dead gateway is void, and what it has done stays done.
#[test]
fn claims_of_the_dead_are_void_and_what_is_done_stays() {
    let mut gateways = Gateways::with_rule(2, "");
    assert_eq!(gateways.deliver(0, 1, b"done", 204), Some(0));
    let mut lost = gateways.send(0, 2, b"lost");
    assert_eq!(gateways.result(&mut lost, 50), Some(0));
    gateways.only(&[1]);
    assert_eq!(gateways.deliver(1, 3, b"lost", 204), Some(409), "it may yet live");
    gateways.pass(6_000);
    assert_eq!(gateways.deliver(1, 4, b"lost", 204), Some(0));
    assert_eq!(gateways.deliver(1, 5, b"done", 204), Some(200));
}

/// A gateway that has just begun, and is in nobody's list yet, keeps its claim.
#[test]
fn claim_of_a_gateway_that_is_not_listed_yet_counts() {
    let mut gateways = Gateways::with_rule(2, "");
    gateways.only(&[0]);
    gateways.pass(8_000);
    gateways.only(&[1]);
    gateways.processes[1].workers[0] = Engine::new(Rc::clone(gateways.processes[1].workers[0].config()), "g");
    gateways.processes[1].drawn += 1 << 70;
    gateways.pass(50);
    let mut first = gateways.send(1, 1, b"{}");
    assert_eq!(gateways.result(&mut first, 50), Some(0));
    gateways.only(&[0]);
    let mut second = gateways.send(0, 2, b"{}");
    assert_eq!(gateways.result(&mut second, 50), Some(409));
}

/// A sender that leaves while its message is waited for leaves no claim behind.
#[test]
fn sender_that_leaves_meanwhile_leaves_no_claim() {
    let mut gateways = Gateways::with_rule(2, "");
    let mut sending = gateways.send(0, 1, b"{}");
    gateways.end_stream(&mut sending);
    assert_eq!(gateways.result(&mut sending, 100), None);
    assert!(gateways.etcd.found(IDS).is_empty() && gateways.is_idle());
    assert_eq!(gateways.deliver(1, 2, b"{}", 204), Some(0));
}

/// One that leaves while the application has its message, may send it again.
#[test]
fn sender_that_leaves_before_the_answer_may_come_again() {
    let mut gateways = Gateways::with_rule(2, "");
    let mut sending = gateways.send(0, 1, b"{}");
    assert_eq!(gateways.result(&mut sending, 50), Some(0));
    gateways.end_stream(&mut sending);
    gateways.pass(50);
    assert!(gateways.is_idle());
    assert_eq!(gateways.deliver(1, 2, b"{}", 204), Some(0));
}

/// A claim whose answer is lost is asked for again, and recognised.
#[test]
fn claim_whose_answer_is_lost_is_recognised() {
    let mut gateways = Gateways::with_rule(2, "");
    gateways.deliver(0, 1, b"to have a lease", 204);
    gateways.fault(IDS, Fault::AnswerLost);
    let mut sending = gateways.send(0, 2, b"{}");
    assert_eq!(gateways.result(&mut sending, 1_000), None);
    gateways.etcd.faults.clear();
    assert_eq!(gateways.result(&mut sending, 200), Some(0));
}

/// Where a message cannot be claimed it is refused; a try that comes late claims nothing.
#[test]
fn message_that_cannot_be_claimed_is_refused() {
    let table = [
        (Fault::NotSent, 3_200, "cannot be reached"),
        (Fault::AnswerLost, 4_300, "does not answer"),
        (Fault::Late, 4_300, "does not answer"),
        (Fault::Refused(8, "etcdserver: mvcc: database space exceeded"), 50, "the journal is full"),
        (Fault::Refused(7, "etcdserver: permission denied"), 50, "refuses the gateway"),
    ];
    for (fault, millis, words) in table {
        let mut gateways = Gateways::with_rule(2, "");
        gateways.deliver(0, 1, b"to have a lease", 204);
        gateways.fault(IDS, fault);
        let mut sending = gateways.send(0, 2, b"{}");
        gateways.pass(millis);
        let answers = gateways.answers.clone();
        assert!(matches!(answers.as_slice(), [(0, 2, 503, body)] if body.contains(words)), "{fault:?}: {answers:?}");
        assert_eq!(gateways.result(&mut sending, 0), Some(503));
        gateways.end_stream(&mut sending);
        gateways.etcd.faults.clear();
        gateways.pass(1_500);
        let now = Instant::from_nanos(gateways.processes[0].millis * 1_000_000);
        gateways.etcd.apply_late(now);
        assert_eq!(gateways.deliver(1, 3, b"{}", 204), Some(0), "{fault:?}");
        assert_eq!(gateways.deliver(0, 4, b"{}", 204), Some(200), "{fault:?}");
        assert!(gateways.is_idle());
    }
}

/// With `unavailable: memory` the process's table decides alone, and that is counted.
#[test]
fn unavailable_memory_lets_the_process_decide() {
    let mut gateways = Gateways::with_rule(1, r#", "unavailable": "memory""#);
    gateways.fault("/etcdserverpb", Fault::NotSent);
    assert_eq!(gateways.deliver(0, 1, b"{}", 204), None);
    gateways.pass(12_000);
    // Once there is no lease for a while nobody waits.
    let mut sending = gateways.send(0, 2, b"[]");
    assert_eq!(sending.told, Some(0));
    gateways.respond(&mut sending, 204);
    gateways.end_stream(&mut sending);
    assert_eq!(gateways.send(0, 3, b"[]").told, Some(200));
    gateways.pass(50);
    let memory_only = gateways.notices.iter().filter(|notice| matches!(notice, Notice::InboundMemoryOnly)).count();
    assert_eq!(memory_only, 1);
}

/// One that waits when the journal fails goes on by the process's table.
#[test]
fn message_that_waits_goes_on_with_unavailable_memory() {
    let mut gateways = Gateways::with_rule(1, r#", "unavailable": "memory""#);
    gateways.deliver(0, 1, b"to have a lease", 204);
    gateways.fault(IDS, Fault::Lost);
    let mut sending = gateways.send(0, 2, b"{}");
    assert_eq!((gateways.result(&mut sending, 3_800), gateways.result(&mut sending, 500)), (None, Some(0)));
    gateways.respond(&mut sending, 204);
    assert_eq!(gateways.send(0, 3, b"{}").told, Some(200));
    assert!(gateways.notices.iter().any(|notice| matches!(notice, Notice::InboundMemoryOnly)));
}

/// What the application has taken is told to the store until it has heard it.
#[test]
fn done_is_told_until_the_store_has_heard_it() {
    let mut gateways = Gateways::with_rule(2, "");
    let mut sending = gateways.send(0, 1, b"{}");
    assert_eq!(gateways.result(&mut sending, 50), Some(0));
    gateways.fault(IDS, Fault::NotSent);
    gateways.respond(&mut sending, 204);
    gateways.end_stream(&mut sending);
    gateways.pass(10_000);
    gateways.etcd.faults.clear();
    gateways.pass(1_100);
    assert_eq!(gateways.deliver(1, 2, b"{}", 204), Some(200));
}

/// A message is remembered for its `ttl`, over the leases of its keys, and its keys are forgotten some time after.
#[test]
fn message_is_remembered_for_its_ttl_and_then_forgotten() {
    let mut gateways = Gateways::with_rule(2, "");
    gateways.pass(200_000);
    assert_eq!(gateways.deliver(0, 1, b"{}", 204), Some(0));
    gateways.pass(899_000);
    assert_eq!(gateways.deliver(1, 2, b"{}", 204), Some(200));
    gateways.pass(2_000);
    gateways.only(&[0]);
    assert_eq!(gateways.deliver(0, 3, b"{}", 503), Some(0), "it is new again");
    gateways.pass(1_600_000);
    assert!(gateways.etcd.found(IDS).is_empty());
}

/// A verified message that is an event is claimed before it is accepted, and its 202 ends it.
#[test]
fn message_that_is_an_event_is_accepted_once() {
    let mut gateways = Gateways::with_rule(2, "");
    let to = ("/events/paid", "t");
    let mut first = gateways.send_to(0, 1, to, b"\"payload\"");
    assert_eq!(gateways.result(&mut first, 100), Some(202));
    gateways.end_stream(&mut first);
    let mut second = gateways.send_to(1, 2, to, b"\"payload\"");
    assert_eq!(gateways.result(&mut second, 100), Some(200));
    gateways.end_stream(&mut second);
    assert_eq!(gateways.etcd.found("/j/").len(), 1);
    // One that leaves before the commit is told nothing; its event is kept all the same.
    let mut third = gateways.send_to(0, 3, to, b"\"payload 2\"");
    gateways.fault("payload 2", Fault::Lost);
    assert_eq!(gateways.result(&mut third, 200), None);
    gateways.end_stream(&mut third);
    gateways.etcd.faults.clear();
    gateways.pass(300);
    let mut again = gateways.send_to(1, 4, to, b"\"payload 2\"");
    assert_eq!(gateways.result(&mut again, 100), Some(200));
    gateways.end_stream(&mut again);
    assert!(gateways.is_idle());
}

/// Nothing that is not signed reaches the store, nor what the process knows.
#[test]
fn only_verified_messages_reach_the_store() {
    let mut gateways = Gateways::with_rule(1, "");
    assert_eq!(gateways.send_to(0, 1, ("/in", "another secret"), b"{}").told, Some(401));
    assert!(gateways.pass(200).is_empty() && gateways.etcd.found(IDS).is_empty());
    let mut waiting = gateways.send(0, 2, b"{}");
    assert_eq!(gateways.send(0, 3, b"{}").told, Some(409));
    assert_eq!(gateways.result(&mut waiting, 50), Some(0));
}

/// A gateway that drains lets the application end what it has, takes nothing new, and then gives its lease up.
#[test]
fn drain_waits_for_the_messages_that_are_claimed() {
    let mut gateways = Gateways::with_rule(2, "");
    let mut sending = gateways.send(0, 1, b"{}");
    assert_eq!(gateways.result(&mut sending, 50), Some(0));
    let keys = Keys::new("g");
    Control::change(&mut gateways.processes[0].store, &keys, &mut |control| control.draining = true).unwrap();
    gateways.pass(10_000);
    assert_eq!(gateways.send(0, 2, b"[]").told, Some(503));
    assert_eq!(gateways.deliver(1, 3, b"{}", 204), Some(409));
    gateways.respond(&mut sending, 204);
    gateways.end_stream(&mut sending);
    gateways.pass(2_000);
    assert_eq!(gateways.deliver(1, 4, b"{}", 204), Some(200));
    assert!(gateways.processes[0].workers[0].is_journal_closed());
}

/// The messages that wait are bounded in number.
#[test]
fn messages_that_wait_are_bounded() {
    let mut gateways = Gateways::with_rule(1, "");
    gateways.deliver(0, 1, b"to have a lease", 204);
    gateways.fault(IDS, Fault::Lost);
    let told: Vec<_> = (0..2_100_u32).map(|number| gateways.send(0, number, &number.to_le_bytes()).told).collect();
    assert_eq!(told.iter().filter(|told| told.is_none()).count(), 2_048);
    assert_eq!(told.iter().filter(|told| **told == Some(503)).count(), 52);
}
