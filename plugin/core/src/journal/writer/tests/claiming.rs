//! Takeover: a dead writer is claimed, read page by page, and released.

use super::*;

fn pages(fleet: &Fleet, index: usize) -> Vec<usize> {
    let of = fleet.events.iter().filter(|(of, _)| *of == index);
    let pages = of.filter_map(|(_, event)| match event {
        JournalEvent::Taken { segments, .. } => Some(segments.len()),
        _ => None,
    });
    pages.collect()
}

/// The dead writer's segments are read page by page; when the last event has ended, nothing is left of the writer.
#[test]
fn a_dead_writer_is_claimed_read_and_forgotten() {
    let mut fleet = Fleet::new(2);
    let segments = fleet.commit(0, 40);
    fleet.pass(1_000);
    let dead = fleet.kill(0);
    fleet.pass(7_000);
    assert_eq!(fleet.count(1, |event| *event == JournalEvent::Claimed(dead)), 1);
    assert_eq!(pages(&fleet, 1), [8, 8, 8, 8, 8]);
    assert_eq!(fleet.writers[1].takeovers(), 1);
    segments.iter().for_each(|segment| fleet.end(1, *segment));
    fleet.pass(2_000);
    assert!(fleet.etcd.found(&dead.to_string()).is_empty());
    assert_eq!(fleet.count(1, |event| *event == JournalEvent::Lost), 0, "the claimer goes on");
}

/// A writer that left nothing is forgotten too, so that no registration stays for ever.
#[test]
fn an_empty_dead_writer_is_forgotten() {
    let mut fleet = Fleet::new(2);
    let dead = fleet.kill(0);
    fleet.pass(8_000);
    assert!(fleet.etcd.found(&dead.to_string()).is_empty());
}

/// Of two living writers one has the claim.
#[test]
fn a_dead_writer_is_claimed_once() {
    let mut fleet = Fleet::new(3);
    fleet.commit(0, 1);
    fleet.kill(0);
    fleet.pass(9_000);
    let claims = |index| fleet.count(index, |event| matches!(event, JournalEvent::Claimed(_)));
    assert_eq!(claims(1) + claims(2), 1);
}

/// A claim whose answer is lost is found out about: else nobody would deliver as long as the claimer lives.
#[test]
fn a_claim_whose_answer_is_lost_is_known() {
    for fault in [Fault::AnswerLost, Fault::Lost, Fault::Late] {
        let mut fleet = Fleet::new(2);
        fleet.commit(0, 1);
        let dead = fleet.kill(0);
        fleet.fault(&format!("/t/{dead}"), fault);
        fleet.pass(8_000);
        let now = fleet.now();
        fleet.etcd.apply_late(now);
        fleet.heal();
        fleet.pass(1_000);
        assert_eq!(fleet.count(1, |event| *event == JournalEvent::Claimed(dead)), 1, "{fault:?}");
        assert_eq!(pages(&fleet, 1), [1], "{fault:?}");
    }
}

/// A claim that the store has and its claimer does not know of is found: a call without an answer may be carried out late,
/// when another's claim has ended.
#[test]
fn a_claim_that_came_late_is_found() {
    let mut fleet = Fleet::new(2);
    fleet.commit(0, 1);
    let dead = fleet.kill(0);
    fleet.fault(&format!("/t/{dead}"), Fault::AnswerLost);
    fleet.pass(7_000);
    assert!(!fleet.etcd.found(&format!("/t/{dead}")).is_empty(), "the store has the claim");
    fleet.writers[1].jobs.retain(|job| !matches!(job.operation, Operation::Claim { .. }));
    fleet.heal();
    fleet.pass(3_000);
    assert_eq!(fleet.count(1, |event| *event == JournalEvent::Claimed(dead)), 1);
    assert_eq!(pages(&fleet, 1), [1]);
}

/// A page and a release that are not sent are tried again after a while, not for ever in one callback.
#[test]
fn a_page_or_release_that_fails_waits() {
    for fault in [Fault::NotSent, Fault::Lost, Fault::AnswerLost, Fault::Refused(14, "")] {
        let mut fleet = Fleet::new(2);
        let segment = fleet.commit(0, 1)[0];
        let dead = fleet.kill(0);
        fleet.fault(&format!("/j/{dead}"), fault);
        fleet.pass(9_000);
        assert_eq!(pages(&fleet, 1), [0usize; 0]);
        assert!(fleet.calls(&format!("/j/{dead}")).len() < 60);
        fleet.heal();
        fleet.pass(200);
        assert_eq!(pages(&fleet, 1), [1]);
        fleet.fault(&format!("/r/{dead}"), fault);
        fleet.end(1, segment);
        fleet.pass(1_000);
        fleet.heal();
        fleet.pass(1_000);
        assert!(fleet.etcd.found(&dead.to_string()).is_empty(), "{fault:?}");
    }
}

#[test]
fn nothing_is_read_without_room() {
    let mut fleet = Fleet::new(2);
    fleet.commit(0, 20);
    fleet.kill(0);
    fleet.writers[1].hold_takeover(true);
    fleet.pass(9_000);
    assert_eq!(pages(&fleet, 1), [0usize; 0]);
    fleet.writers[1].hold_takeover(false);
    fleet.pass(100);
    assert_eq!(pages(&fleet, 1), [8, 8, 4]);
}

/// What a gateway has no endpoint for is released for others, and looked at again later.
#[test]
fn events_of_other_gateways_are_left_to_them() {
    let mut fleet = Fleet::new(2);
    fleet.takes[1] = Takes::LeavesToOthers;
    fleet.commit(0, 1);
    let dead = fleet.kill(0);
    fleet.pass(8_000);
    assert_eq!(pages(&fleet, 1), [1]);
    assert!(fleet.etcd.found(&format!("/t/{dead}")).is_empty());
    assert_eq!(fleet.etcd.found(&format!("/j/{dead}")).len(), 1);
    assert_eq!(fleet.etcd.found(&format!("/r/{dead}")).len(), 1);
    assert_eq!(fleet.writers[1].segments.size(), (0, 0));
    fleet.takes[1] = Takes::Here;
    fleet.pass(5_000);
    assert_eq!(pages(&fleet, 1), [1], "not again at once");
    fleet.pass(12_000);
    assert_eq!(pages(&fleet, 1), [1, 1]);
    assert_eq!(fleet.writers[1].segments.size().0, 1);
}

/// What a claimer leaves undone is claimed by the next one, and its own segments too.
#[test]
fn a_claim_ends_with_the_claimers_lease() {
    let mut fleet = Fleet::new(3);
    fleet.commit(0, 1);
    fleet.running[2] = false;
    fleet.pass(1_000);
    let first = fleet.kill(0);
    fleet.pass(8_000);
    assert_eq!(pages(&fleet, 1).iter().sum::<usize>(), 1);
    let second = fleet.kill(1);
    fleet.running[2] = true;
    fleet.pass(9_000);
    for dead in [first, second] {
        assert_eq!(fleet.count(2, |event| *event == JournalEvent::Claimed(dead)), 1);
    }
    assert_eq!(pages(&fleet, 2).iter().sum::<usize>(), 1);
    // The one that was only paused gives everything up.
    fleet.running[1] = true;
    fleet.pass(500);
    assert_eq!(fleet.count(1, |event| *event == JournalEvent::Lost), 1);
    assert_eq!(fleet.writers[1].segments.size(), (0, 0));
}
