//! Gateways that share one etcd in memory: each with a store of its own, as in a fleet.

use super::*;
use crate::admin::control::Control;
use crate::journal::memory::{Fault, MemoryEtcd};
use crate::store::keys::Keys;

mod announcements;
mod guard;
mod keys;
mod letters;
mod messages;
mod notes;
mod trials;

const JOURNAL: &str = r#""journal": {"etcd": {"cluster": "etcd", "prefix": "/p"}"#;
/// The payload of the events, by which faults find the calls that append them.
const PAYLOAD: &[u8] = b"\"payload\"";

/// Some gateways of one fleet.
struct Gateways {
    etcd: MemoryEtcd,
    processes: Vec<Process>,
    /// The gateways that run; the others are dead, or not started yet.
    running: Vec<bool>,
    /// Answers that producers have got since this was asked last: the gateway, the stream, the status, the body.
    answers: Vec<(usize, u32, u16, String)>,
    /// Requests that were held and went on: the gateway, the stream.
    passed: Vec<(usize, u32)>,
    /// The streams that each gateway has open, on which changes are announced.
    streams: Vec<i32>,
    notices: Vec<Notice>,
}

impl Gateways {
    /// Gateways with these endpoints each, all running.
    fn new(endpoints: &[&str]) -> Self {
        Self::with("", endpoints, "}")
    }

    /// `route` are more keys of the route; `more` ends the section `journal`, and goes on behind it.
    fn with(route: &str, endpoints: &[&str], more: &str) -> Self {
        let gateway = |(number, endpoints): (usize, &&str)| {
            let mut process = Process::configured(1, route, endpoints, &format!(", {JOURNAL} {more}"));
            process.drawn = (number as u128 + 1) << 64;
            process
        };
        let processes: Vec<_> = endpoints.iter().enumerate().map(gateway).collect();
        let running = vec![true; processes.len()];
        let mut gateways = Self {
            etcd: MemoryEtcd::default(),
            processes,
            running,
            answers: Vec::new(),
            passed: Vec::new(),
            streams: vec![0; endpoints.len()],
            notices: Vec::new(),
        };
        gateways.pass(200);
        gateways
    }

    /// Lets only these gateways run.
    fn only(&mut self, running: &[usize]) {
        (0..self.running.len()).for_each(|gateway| self.running[gateway] = running.contains(&gateway));
    }

    /// Lets all gateways do what they can now; returns the attempts that leave, each with its gateway.
    fn poll(&mut self) -> Vec<(usize, Sent)> {
        let mut sent = Vec::new();
        for (gateway, process) in self.processes.iter_mut().enumerate().filter(|(gateway, _)| self.running[*gateway]) {
            for worker in 0..process.workers.len() {
                process.run(worker, Engine::handle_timeout);
                let mut actions = 0;
                while let Some(action) = process.run(worker, Engine::poll_action) {
                    actions += 1;
                    assert!(actions < 10_000, "one callback acts for ever");
                    match action {
                        Action::Call(call) => sent.push((gateway, Sent { worker, call })),
                        Action::Store(request) => {
                            let reply =
                                self.etcd.handle(Instant::from_nanos(process.millis * 1_000_000), &request.call);
                            process
                                .run(worker, |engine, world| engine.handle_store_reply(world, request.number, &reply));
                        }
                        Action::Answer { stream, answer } => {
                            let body = String::from_utf8(answer.body).unwrap();
                            self.answers.push((gateway, stream, answer.status, body));
                        }
                        Action::Pass { stream, rule, .. } => {
                            self.passed.push((gateway, stream));
                            process.run(worker, |engine, _| engine.handle_passed(rule, true));
                        }
                        Action::OpenStream { .. } => self.streams[gateway] += 1,
                        Action::CloseStream => self.streams[gateway] -= 1,
                        Action::Notice(notice) => self.notices.push(notice),
                    }
                }
            }
        }
        sent
    }

    /// Lets time pass in steps of 50 ms, for all gateways. Returns the attempts that leave.
    fn pass(&mut self, millis: u64) -> Vec<(usize, Sent)> {
        let mut sent = Vec::new();
        for _ in 0..millis / 50 {
            self.processes.iter_mut().for_each(|process| process.millis += 50);
            sent.extend(self.poll());
        }
        sent
    }

    /// The same; each attempt is answered at once, and told by its gateway, endpoint and number.
    fn answer_all(&mut self, millis: u64, status: impl Fn(&str) -> u16) -> Vec<(usize, String, u32)> {
        let mut told = Vec::new();
        for _ in 0..millis / 50 {
            for (gateway, sent) in self.pass(50) {
                let name = sent.call.cluster().unwrap().to_owned();
                self.processes[gateway].end(&sent, Ending::Status(status(&name)));
                told.push((gateway, name, sent.call.number));
            }
        }
        told
    }

    fn offer(&mut self, gateway: usize, stream: u32) -> Reply {
        self.processes[gateway].offer_event(0, stream, "paid", PAYLOAD)
    }

    fn fault(&mut self, text: &str, fault: Fault) {
        self.etcd.faults = vec![(text.to_owned(), fault)];
    }

    fn told(&mut self) -> Vec<(usize, u32, u16, String)> {
        std::mem::take(&mut self.answers)
    }

    fn statuses(&mut self) -> Vec<u16> {
        self.told().into_iter().map(|(_, _, status, _)| status).collect()
    }
}

fn both() -> String {
    format!("{}, {}", billing(r#", "retry": {"delays": ["0s", "1s", "30s"]}"#), endpoint("audit", ""))
}

/// The producer is answered, and the first attempt leaves, only once the event is in the journal.
#[test]
fn accepted_means_committed() {
    let mut gateways = Gateways::new(&[&billing("")]);
    gateways.fault("payload", Fault::Lost);
    assert!(gateways.offer(0, 7).answer.is_none());
    assert!(gateways.pass(1_000).is_empty() && gateways.told().is_empty());
    gateways.etcd.faults.clear();
    let sent = gateways.pass(200);
    let answers = gateways.told();
    assert!(matches!(answers.as_slice(), [(0, 7, 202, body)] if body.contains("\"accepted\"")), "{answers:?}");
    assert_eq!((sent.len(), gateways.etcd.found("/j/").len()), (1, 1));
    gateways.processes[0].end(&sent[0].1, Ending::Status(200));
    gateways.pass(1_000);
    // Of what is delivered nothing is kept but a marker, since the tries that were lost may come late.
    assert!(gateways.etcd.found("/j/").iter().all(|(_, value)| value.is_empty()));
}

/// Each way in which an append can fail has its answer, after its time.
#[test]
fn producer_is_told_why_an_event_is_not_kept() {
    let table = [
        (Fault::NotSent, 3_200, 503, "cannot be reached"),
        (Fault::AnswerLost, 4_300, 503, "may be delivered all the same"),
        (Fault::Refused(14, "etcdserver: leader changed"), 4_300, 503, "may be delivered all the same"),
        (Fault::Refused(8, "etcdserver: mvcc: database space exceeded"), 50, 503, "the journal is full"),
        (Fault::Refused(7, "etcdserver: permission denied"), 50, 503, "refuses the gateway"),
        (Fault::Refused(3, "etcdserver: request is too large"), 50, 413, "larger than an entry"),
    ];
    for (fault, millis, status, words) in table {
        let mut gateways = Gateways::new(&[&billing("")]);
        gateways.fault("payload", fault);
        gateways.offer(0, 7);
        let sent = gateways.pass(millis);
        let answers = gateways.told();
        assert!(
            matches!(answers.as_slice(), [(0, 7, told, body)] if *told == status && body.contains(words)),
            "{fault:?}: {answers:?}"
        );
        assert!(sent.is_empty());
        let kept = gateways.etcd.found("/j/");
        assert!(kept.iter().all(|(_, value)| value.is_empty()), "{fault:?}: {kept:?}");
    }
}

/// An event that cannot be kept in the journal is accepted into memory where the config says so, but not a large one.
#[test]
fn unavailable_memory_accepts_into_memory() {
    for (fault, millis, status, attempts) in [
        (Fault::NotSent, 3_200, 202, 1),
        (Fault::Refused(7, "etcdserver: permission denied"), 50, 202, 1),
        (Fault::Refused(3, "etcdserver: request is too large"), 50, 413, 0),
    ] {
        let mut gateways = Gateways::with("", &[&billing("")], r#", "unavailable": "memory"}"#);
        gateways.fault("payload", fault);
        gateways.offer(0, 7);
        assert_eq!((gateways.pass(millis).len(), gateways.statuses()), (attempts, vec![status]), "{fault:?}");
    }
}

/// The event of a producer that left before the commit is delivered all the same, and nobody is answered.
#[test]
fn client_that_leaves_before_the_commit_gets_no_answer() {
    let mut gateways = Gateways::new(&[&billing("")]);
    gateways.fault("payload", Fault::Lost);
    gateways.offer(0, 7);
    gateways.pass(500);
    gateways.processes[0].run(0, |engine, world| engine.producer_gone(world, 7, None));
    gateways.etcd.faults.clear();
    assert_eq!((gateways.pass(300).len(), gateways.told().len()), (1, 0));
}

#[test]
fn ack_delivered_waits_for_the_commit_and_the_end() {
    let mut gateways = Gateways::with(r#", "ack": "delivered""#, &[&billing("")], "}");
    gateways.offer(0, 7);
    let sent = gateways.pass(100);
    assert!(gateways.told().is_empty());
    gateways.processes[0].end(&sent[0].1, Ending::Status(200));
    gateways.pass(50);
    assert_eq!(gateways.statuses(), [200]);
}

/// Another gateway goes on with the attempts that were made, under the same id.
#[test]
fn takeover_goes_on_with_the_attempts_known() {
    let endpoints = billing(r#", "retry": {"delays": ["0s", "30s"]}"#);
    let mut gateways = Gateways::new(&[&endpoints, &endpoints]);
    gateways.offer(0, 7);
    let first = gateways.pass(50).remove(0).1;
    gateways.processes[0].end(&first, Ending::Status(503));
    gateways.pass(1_000);
    gateways.only(&[1]);
    assert!(gateways.pass(25_000).is_empty(), "not sooner than the schedule says");
    let again = gateways.pass(8_000);
    let [(1, sent)] = again.as_slice() else { panic!("{again:?}") };
    assert_eq!((sent.call.number, header(sent, "x-webhook-id")), (2, header(&first, "x-webhook-id")));
    gateways.processes[1].end(sent, Ending::Status(200));
    gateways.pass(2_000);
    assert!(gateways.etcd.found("/j/").is_empty() && gateways.etcd.found("/p/p/").is_empty());
}

/// A delivery that has ended stays ended, however many gateways die one after another.
#[test]
fn what_has_ended_is_not_delivered_by_the_second_taker() {
    let mut gateways = Gateways::new(&[&both(), &both(), &both()]);
    gateways.only(&[0]);
    gateways.offer(0, 7);
    let fails = |name: &str| if name == "audit" { 200 } else { 503 };
    assert_eq!(gateways.answer_all(900, fails).len(), 2);
    gateways.only(&[1]);
    assert_eq!(gateways.answer_all(10_000, fails), [(1, "billing".to_owned(), 2)]);
    gateways.only(&[2]);
    assert_eq!(gateways.answer_all(40_000, |_| 200), [(2, "billing".to_owned(), 3)]);
    assert!(gateways.etcd.found("/j/").is_empty());
}

/// A gateway leaves what its config has no endpoint for to one that has it, and each delivery is made once.
#[test]
fn deliveries_of_other_configs_are_left_to_them() {
    let audit = endpoint("audit", "");
    let mut gateways = Gateways::new(&[&both(), &audit, &both()]);
    gateways.only(&[0]);
    gateways.offer(0, 7);
    assert_eq!(gateways.pass(50).len(), 2);
    gateways.only(&[1]);
    assert_eq!(gateways.answer_all(12_000, |_| 200), [(1, "audit".to_owned(), 1)]);
    assert_eq!(gateways.etcd.found("/j/").len(), 1);
    gateways.only(&[1, 2]);
    assert_eq!(gateways.answer_all(25_000, |_| 200), [(2, "billing".to_owned(), 1)]);
    assert!(gateways.etcd.found("/j/").is_empty());
}

/// A gateway that drains gives its events up; another one has them within two seconds.
#[test]
fn drain_hands_over_within_two_seconds() {
    let endpoints = billing(r#", "retry": {"delays": ["1s"]}"#);
    let mut gateways = Gateways::new(&[&endpoints, &endpoints]);
    gateways.offer(0, 7);
    gateways.pass(100);
    assert_eq!(gateways.statuses(), [202]);
    let keys = Keys::new("g");
    Control::change(&mut gateways.processes[0].store, &keys, &mut |control| control.draining = true).unwrap();
    let sent = gateways.pass(2_600);
    assert!(matches!(sent.as_slice(), [(1, _)]), "{sent:?}");
    assert_eq!(gateways.offer(0, 8).answer.map(|answer| answer.status), Some(503));
}

/// What shared data does not take after the commit stands in the journal: it is accepted, and delivered by the next writer.
#[test]
fn event_that_shared_data_does_not_take_is_not_lost() {
    for keyed in [false, true] {
        let mut gateways = Gateways::new(&[&billing("")]);
        gateways.fault("payload", Fault::Lost);
        let offered = if keyed { gateways.offer_keyed(0, 7) } else { gateways.offer(0, 7) };
        assert!(offered.answer.is_none());
        gateways.pass(100);
        gateways.etcd.faults.clear();
        gateways.processes[0].store.refuse_sets = true;
        assert!(gateways.pass(500).is_empty(), "keyed: {keyed}");
        assert_eq!(gateways.statuses(), [202], "keyed: {keyed}");
        gateways.pass(10_000);
        let refused = gateways.offer(0, 8).answer.map(|answer| answer.status);
        assert_eq!(refused, Some(503), "what is known to fail is not committed");
        gateways.processes[0].store.refuse_sets = false;
        assert_eq!(gateways.answer_all(20_000, |_| 200), [(0, "billing".to_owned(), 1)], "keyed: {keyed}");
        assert!(gateways.etcd.found("/j/").is_empty());
    }
}

/// A worker that adopts the partition of a dead one leaves its journalled events to whoever holds the journal's.
#[test]
fn an_event_is_not_adopted_and_taken_over_too() {
    let mut gateways = Gateways::new(&[&billing("")]);
    let config = Rc::clone(gateways.processes[0].workers[0].config());
    gateways.processes[0].workers.push(Engine::new(Rc::clone(&config), "g"));
    gateways.pass(200);
    gateways.offer(0, 7);
    assert_eq!(gateways.pass(50).len(), 1);
    gateways.processes[0].workers[0] = Engine::new(config, "g");
    assert_eq!(gateways.answer_all(30_000, |_| 200).len(), 1);
    assert!(gateways.etcd.found("/j/").is_empty());
    assert_eq!(gateways.processes[0].workers.iter().map(|worker| worker.queue.waiting).sum::<usize>(), 0);
}

/// Events that wait for their commit count against the limits of the queue.
#[test]
fn limits_count_events_that_wait_for_their_commit() {
    let mut gateways = Gateways::with("", &[&billing("")], r#"}, "limits": {"pending": 2}"#);
    gateways.fault("payload", Fault::Lost);
    assert!(gateways.offer(0, 1).answer.is_none() && gateways.offer(0, 2).answer.is_none());
    let refused = gateways.offer(0, 3).answer.unwrap();
    assert_eq!(refused.status, 503);
    assert!(String::from_utf8(refused.body).unwrap().contains("the queue is full"));
}

/// Where no call to the store can be sent, a callback comes to an end all the same, and the gateway recovers by itself.
#[test]
fn unreachable_store_stops_no_worker() {
    let mut gateways = Gateways::new(&[&billing(""), &billing("")]);
    gateways.offer(0, 7);
    gateways.pass(100);
    gateways.fault("/etcdserverpb", Fault::NotSent);
    gateways.pass(20_000);
    assert!(gateways.offer(0, 8).answer.is_some_and(|answer| answer.status == 503), "refused at once");
    gateways.etcd.faults.clear();
    gateways.pass(20_000);
    gateways.told();
    gateways.offer(1, 9);
    gateways.pass(100);
    assert_eq!(gateways.statuses(), [202]);
}
