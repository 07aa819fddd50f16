//! Dead letters of a fleet: every gateway has them, whichever of them dies.

use super::*;
use crate::admin::{AdminRequest, Outcome, handle};
use crate::egress::dead_letter;

const ADMIN: &str = r#"}, "admin": {"tokens": [{"value": "may-operate", "role": "operate"}]}"#;
/// What stands in calls that change or read letters, and in no other.
const LETTER: &str = ".billing";
const MEMORY: &str = r#", "durability": "memory""#;

/// Gateways whose only endpoint tries once.
fn fleet(gateways: usize, route: &str, more: &str) -> Gateways {
    let endpoint = billing(r#", "retry": {"delays": ["0s"]}, "breaker": null"#);
    Gateways::with(route, &vec![endpoint.as_str(); gateways], &format!("{ADMIN}{more}"))
}

impl Gateways {
    /// Has an event die at a gateway; returns the name of its delivery.
    fn die(&mut self, gateway: usize) -> String {
        let before = self.listed(gateway);
        self.offer(gateway, 7);
        let told = self.answer_all(200, |_| 400);
        assert_eq!(told.len(), 1);
        self.listed(gateway).into_iter().rfind(|name| !before.contains(name)).unwrap()
    }

    /// The deliveries whose letters a gateway lists, oldest first.
    fn listed(&mut self, gateway: usize) -> Vec<String> {
        let (store, keys) = (&mut self.processes[gateway].store, Keys::new("g"));
        let listed = dead_letter::list(store, &keys).unwrap();
        listed.into_iter().map(|one| dead_letter::open(store, &keys, one).unwrap().unwrap().0.delivery()).collect()
    }

    fn counts(&mut self) -> Vec<usize> {
        (0..self.processes.len()).map(|gateway| self.listed(gateway).len()).collect()
    }

    /// What a letter at a gateway says: the attempts, and the payload.
    fn letter(&mut self, gateway: usize) -> (u32, Vec<u8>) {
        let (store, keys) = (&mut self.processes[gateway].store, Keys::new("g"));
        let only = dead_letter::list(store, &keys).unwrap()[0];
        let (letter, payload) = dead_letter::open(store, &keys, only).unwrap().unwrap();
        (letter.attempts, payload)
    }

    fn ask(&mut self, gateway: usize, method: &str, path: &str) {
        let authorization: Option<&[u8]> = Some(b"Bearer may-operate");
        let request = AdminRequest { method, path, query: "", authorization, body: b"", fleet: Default::default() };
        let outcome = self.processes[gateway]
            .run(0, |engine, world| handle(world, &engine.keys, engine.config.admin.as_ref().unwrap(), &request));
        assert!(matches!(outcome, Outcome::Changed(..)), "{outcome:?}");
    }

    fn discard(&mut self, gateway: usize, delivery: &str) {
        self.ask(gateway, "DELETE", &format!("/dead-letters/{delivery}"));
    }

    fn redeliver(&mut self, gateway: usize) {
        self.ask(gateway, "POST", "/dead-letters/redeliver");
    }

    /// The process of a gateway ends, and another one begins with nothing.
    fn restart(&mut self, gateway: usize) {
        let process = &mut self.processes[gateway];
        let config = Rc::clone(process.workers[0].config());
        (process.workers, process.store) = (vec![Engine::new(config, "g")], Default::default());
    }

    /// The numbers of segments, of letters, and of letters that are marked as being redelivered.
    fn kept(&self) -> [usize; 3] {
        ["/j/", "/l/", "/a/"].map(|table| self.etcd.found(table).len())
    }
}

/// A letter is listed at every gateway, with its payload, wherever its event was kept; its segment is not needed any more.
#[test]
fn letter_is_listed_at_every_gateway() {
    for route in ["", MEMORY] {
        let mut gateways = fleet(3, route, "");
        gateways.only(&[0, 1]);
        let name = gateways.die(0);
        gateways.pass(4_000);
        assert_eq!(gateways.kept(), [0, 1, 0]);
        // One that begins later lists it, too.
        gateways.only(&[0, 1, 2]);
        gateways.pass(4_000);
        for gateway in 0..3 {
            assert_eq!(gateways.listed(gateway), [name.as_str()]);
            assert_eq!(gateways.letter(gateway), (1, PAYLOAD.to_vec()));
        }
    }
}

/// Letters outlive all gateways at once, those of events in memory, too.
#[test]
fn letters_outlive_all_gateways() {
    let mut gateways = fleet(2, MEMORY, "");
    gateways.die(0);
    gateways.die(1);
    gateways.pass(3_000);
    (0..2).for_each(|gateway| gateways.restart(gateway));
    assert_eq!(gateways.counts(), [0, 0]);
    gateways.pass(10_000);
    assert_eq!(gateways.counts(), [2, 2]);
}

#[test]
fn what_is_discarded_at_one_gateway_is_gone_at_all() {
    let mut gateways = fleet(2, "", "");
    let (first, second) = (gateways.die(0), gateways.die(0));
    gateways.pass(3_000);
    gateways.discard(1, &first);
    gateways.pass(3_000);
    assert_eq!((gateways.counts(), gateways.kept()), (vec![1, 1], [0, 1, 0]));
    // A worker that begins to keep the letters knows of no other.
    let config = Rc::clone(gateways.processes[1].workers[0].config());
    gateways.discard(1, &second);
    gateways.processes[1].workers[0] = Engine::new(config, "g");
    gateways.pass(10_000);
    assert_eq!((gateways.counts(), gateways.kept()), (vec![0, 0], [0, 0, 0]));
}

/// While a gateway delivers a letter again no other one lists it; delivered, it is gone; failed, it is listed anew.
#[test]
fn letter_is_redelivered_at_another_gateway() {
    let mut gateways = fleet(2, "", "");
    gateways.die(0);
    gateways.pass(3_000);
    gateways.redeliver(1);
    let sent = gateways.pass(3_000);
    let [(1, again)] = sent.as_slice() else { panic!("{sent:?}") };
    assert_eq!((gateways.counts(), gateways.kept()), (vec![0, 0], [0, 1, 1]));
    gateways.processes[1].end(again, Ending::Status(403));
    gateways.pass(3_000);
    assert_eq!((gateways.counts(), gateways.kept()), (vec![1, 1], [0, 1, 0]));
    gateways.redeliver(0);
    assert_eq!(gateways.answer_all(3_000, |_| 200).len(), 1);
    gateways.pass(3_000);
    assert_eq!((gateways.counts(), gateways.kept()), (vec![0, 0], [0, 0, 0]));
}

/// A gateway that dies before its letter is among the fleet's leaves it in the segment, whose taker shares it.
#[test]
fn letter_of_a_gateway_that_dies_before_it_is_shared() {
    let mut gateways = fleet(2, "", "");
    gateways.fault(LETTER, Fault::Lost);
    let name = gateways.die(0);
    gateways.pass(3_000);
    assert_eq!(gateways.kept(), [1, 0, 0]);
    gateways.etcd.faults.clear();
    gateways.only(&[1]);
    gateways.pass(15_000);
    assert_eq!((gateways.listed(1), gateways.kept()), (vec![name], [0, 1, 0]));
}

/// The same of an event whose other delivery goes on: the segment says that one of them is a letter.
#[test]
fn letter_beside_a_delivery_that_goes_on_outlives_its_gateway() {
    let once = billing(r#", "retry": {"delays": ["0s"]}, "breaker": null"#);
    let both = format!("{once}, {}", endpoint("audit", r#", "retry": {"delays": ["0s", "5s"]}, "breaker": null"#));
    let mut gateways = Gateways::with("", &[&both, &both], ADMIN);
    gateways.fault(LETTER, Fault::Lost);
    gateways.offer(0, 7);
    assert_eq!(gateways.answer_all(2_000, |_| 503).len(), 2);
    let listed = gateways.listed(0);
    assert_eq!((listed.len(), gateways.kept()), (1, [1, 0, 0]));
    gateways.etcd.faults.clear();
    gateways.only(&[1]);
    assert_eq!(gateways.answer_all(15_000, |_| 200), [(1, "audit".to_owned(), 2)]);
    gateways.pass(3_000);
    assert_eq!((gateways.listed(1), gateways.kept()), (listed, [0, 1, 0]));
}

/// One that dies after, before its segment is told, leaves it in both: it is one letter.
#[test]
fn letter_in_its_segment_and_among_the_fleets_is_one() {
    let mut gateways = fleet(2, "", "");
    let name = gateways.die(0);
    while gateways.kept()[1] == 0 {
        gateways.pass(50);
    }
    assert_eq!(gateways.kept(), [1, 1, 0]);
    gateways.only(&[1]);
    gateways.pass(15_000);
    assert_eq!((gateways.listed(1), gateways.kept()), (vec![name.clone()], [0, 1, 0]));
    gateways.discard(1, &name);
    gateways.pass(3_000);
    assert_eq!((gateways.counts()[1], gateways.kept()), (0, [0, 0, 0]));
}

/// The letter of a gateway that dies while it delivers it again is listed by the others once its lease has lapsed.
#[test]
fn letter_of_a_redeliverer_that_dies_is_listed_again() {
    let mut gateways = fleet(2, MEMORY, "");
    let name = gateways.die(0);
    gateways.pass(3_000);
    gateways.redeliver(1);
    assert_eq!(gateways.pass(3_000).len(), 1);
    assert_eq!(gateways.counts(), [0, 0]);
    gateways.only(&[0]);
    gateways.pass(10_000);
    assert_eq!((gateways.listed(0), gateways.kept()), (vec![name], [0, 1, 0]));
    gateways.redeliver(0);
    assert_eq!(gateways.answer_all(3_000, |_| 200), [(0, "billing".to_owned(), 1)]);
    gateways.pass(3_000);
    assert_eq!((gateways.counts()[0], gateways.kept()), (0, [0, 0, 0]));
}

/// The limits are the fleet's: the oldest letter goes, wherever its event died, and no more than has to.
#[test]
fn limits_of_letters_are_the_fleets() {
    let mut gateways = fleet(2, "", r#", "limits": {"dead_letters": 3}"#);
    let mut names: Vec<String> = (0..3).map(|number| gateways.die(number % 2)).collect();
    gateways.pass(3_000);
    // Two at once, at different gateways.
    names.push(gateways.die(0));
    names.push(gateways.die(1));
    gateways.pass(5_000);
    for gateway in 0..2 {
        assert_eq!(gateways.listed(gateway), names[2..]);
    }
    assert_eq!(gateways.kept(), [0, 3, 0]);
    // One that begins with nothing evicts nothing.
    gateways.restart(0);
    gateways.pass(15_000);
    assert_eq!((gateways.listed(0), gateways.kept()), (names[2..].to_vec(), [0, 3, 0]));
}

/// A gateway without the store keeps its letters and what operators do; both are the fleet's when the store is back.
#[test]
fn letters_wait_while_the_store_is_away() {
    let mut gateways = fleet(2, MEMORY, "");
    let (first, second) = (gateways.die(0), gateways.die(0));
    gateways.pass(3_000);
    gateways.fault("/etcdserverpb", Fault::NotSent);
    let third = gateways.die(1);
    gateways.discard(1, &first);
    gateways.pass(20_000);
    assert_eq!(
        (gateways.listed(0), gateways.listed(1)),
        (vec![first, second.clone()], vec![second.clone(), third.clone()])
    );
    gateways.etcd.faults.clear();
    gateways.pass(5_000);
    for gateway in 0..2 {
        assert_eq!(gateways.listed(gateway), [second.as_str(), third.as_str()]);
    }
}

/// What was discarded elsewhere while a gateway was cut off is gone when it is back, and comes back to none.
#[test]
fn a_cut_off_gateway_brings_no_letter_back() {
    let mut gateways = fleet(2, MEMORY, "");
    let name = gateways.die(0);
    gateways.pass(3_000);
    gateways.only(&[1]);
    gateways.discard(1, &name);
    gateways.pass(20_000);
    gateways.only(&[0, 1]);
    gateways.pass(10_000);
    assert_eq!((gateways.counts(), gateways.kept()), (vec![0, 0], [0, 0, 0]));
}

/// A letter that is larger than what the store takes stays its gateway's.
#[test]
fn a_letter_too_large_stays_at_its_gateway() {
    let mut gateways = fleet(2, MEMORY, "");
    gateways.processes[0].offer_event(0, 7, "paid", &vec![b'1'; 1_400_000]);
    assert_eq!(gateways.answer_all(200, |_| 400).len(), 1);
    let small = gateways.die(0);
    gateways.pass(5_000);
    assert_eq!((gateways.counts(), gateways.listed(1), gateways.kept()[1]), (vec![2, 1], vec![small], 1));
}

/// A write of a letter that the store carries out after the letter was discarded does not bring it back.
#[test]
fn late_write_brings_no_discarded_letter_back() {
    let mut gateways = fleet(2, MEMORY, "");
    gateways.fault(LETTER, Fault::Late);
    let name = gateways.die(0);
    gateways.pass(2_000);
    assert_eq!(gateways.kept()[1], 0);
    gateways.etcd.faults.clear();
    gateways.pass(2_000);
    assert_eq!((gateways.counts(), gateways.kept()[1]), (vec![1, 1], 1));
    gateways.discard(1, &name);
    gateways.pass(2_000);
    let now = Instant::from_nanos(gateways.processes[0].millis * 1_000_000);
    gateways.etcd.apply_late(now);
    gateways.pass(5_000);
    assert_eq!((gateways.counts(), gateways.kept()[1]), (vec![0, 0], 0));
}

/// Where the store has no room letters can be discarded, and all gateways see that; new ones wait for room.
#[test]
fn letters_are_discarded_where_the_store_is_full() {
    let mut gateways = fleet(2, MEMORY, "");
    let (first, second) = (gateways.die(0), gateways.die(0));
    gateways.pass(3_000);
    gateways.etcd.is_full = true;
    let third = gateways.die(0);
    gateways.pass(2_000);
    gateways.discard(1, &first);
    gateways.pass(4_000);
    assert_eq!((gateways.listed(0), gateways.listed(1)), (vec![second.clone(), third.clone()], vec![second.clone()]));
    gateways.etcd.is_full = false;
    gateways.pass(4_000);
    assert_eq!((gateways.listed(1), gateways.kept()[1]), (vec![second, third], 2));
}

/// More letters than one call takes are all shared; answers that are cut off have fewer read at once.
#[test]
fn many_letters_are_shared_in_parts() {
    let mut gateways = fleet(2, MEMORY, "");
    gateways.only(&[0]);
    for _ in 0..150 {
        gateways.die(0);
    }
    gateways.pass(3_000);
    assert_eq!(gateways.kept()[1], 150);
    gateways.fault(LETTER, Fault::AnswerLost);
    gateways.only(&[1]);
    gateways.pass(3_000);
    assert_eq!((gateways.counts()[1], gateways.processes[1].workers[0].fleet_letters.page), (0, 1));
    gateways.etcd.faults.clear();
    gateways.pass(3_000);
    assert_eq!(gateways.counts()[1], 150);
}

/// One worker of a gateway keeps the letters of all; if its VM is lost another one does.
#[test]
fn letters_of_any_worker_are_shared() {
    let mut gateways = fleet(2, "", "");
    let config = Rc::clone(gateways.processes[0].workers[0].config());
    gateways.processes[0].workers.push(Engine::new(Rc::clone(&config), "g"));
    gateways.pass(2_000);
    for (worker, count) in [(0, 1), (1, 2)] {
        gateways.processes[0].offer_event(worker, 7, "paid", PAYLOAD);
        assert_eq!(gateways.answer_all(200, |_| 400).len(), 1);
        gateways.pass(4_000);
        assert_eq!((gateways.counts(), gateways.kept()), (vec![count, count], [0, count, 0]));
    }
    gateways.processes[0].workers.remove(0);
    gateways.processes[0].offer_event(0, 7, "paid", PAYLOAD);
    assert_eq!(gateways.answer_all(200, |_| 400).len(), 1);
    gateways.pass(15_000);
    assert_eq!((gateways.counts(), gateways.kept()), (vec![3, 3], [0, 3, 0]));
}
