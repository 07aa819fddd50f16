//! The rollout's guard in a fleet: every gateway judges what all gateways have counted.

use super::*;
use crate::rollout::Progress;
use crate::rollout::guard::{Trigger, count_fleet};
use crate::store::{Write, read, update};

fn guarded(gateways: usize, breaker: &str, guard: &str) -> Gateways {
    let billing = billing(&format!(r#", "retry": {{"delays": ["0s"]}}, "breaker": {breaker}"#));
    Gateways::with("", &vec![billing.as_str(); gateways], &format!(r#"}}, "rollout": {{"guard": {guard}}}"#))
}

/// A breaker that does not open.
const PATIENT: &str = r#"{"failures": 100}"#;

impl Gateways {
    /// Offers five events a second to each of these gateways; each attempt is answered with this status.
    fn play(&mut self, offered: &[usize], seconds: u64, status: u16) {
        for _ in 0..seconds * 5 {
            offered.iter().for_each(|gateway| drop(self.offer(*gateway, 1)));
            self.answer_all(200, |_| status);
        }
    }

    fn progress(&mut self, gateway: usize) -> Progress {
        read(&mut self.processes[gateway].store, &Keys::new("g").of("billing")).unwrap().unwrap_or_default()
    }

    /// What the endpoint is rolled back for at each gateway, with the detail.
    fn rolled_back(&mut self) -> Vec<Option<(Trigger, String)>> {
        let gateways = 0..self.processes.len();
        let progress: Vec<Progress> = gateways.map(|gateway| self.progress(gateway)).collect();
        progress.into_iter().map(|progress| progress.rolled_back.map(|found| (found.trigger, found.detail))).collect()
    }

    fn opens(&mut self, gateway: usize) -> u32 {
        let now = Instant::from_nanos(self.processes[gateway].millis * 1_000_000);
        self.progress(gateway).opens(now)
    }

    /// Has the breaker of a gateway open so often, and then lets everything be delivered.
    fn open_breaker(&mut self, gateway: usize, times: u32) {
        let until = self.opens(gateway) + times;
        while self.opens(gateway) < until {
            self.offer(gateway, 1);
            self.answer_all(50, |_| 500);
        }
        self.answer_all(5_000, |_| 200);
    }
}

/// Neither gateway has enough events for a verdict, and both together have: both roll back.
#[test]
fn windows_of_two_gateways_are_judged_together() {
    let guard = r#"{"for": "10s", "min_events": 60}"#;
    let mut alone = guarded(2, PATIENT, guard);
    alone.play(&[0], 15, 400);
    assert_eq!(alone.rolled_back(), [None, None]);
    let mut gateways = guarded(2, PATIENT, guard);
    gateways.play(&[0, 1], 15, 400);
    for rolled_back in gateways.rolled_back() {
        let (trigger, detail) = rolled_back.unwrap();
        assert_eq!(trigger, Trigger::Success);
        assert!(detail.ends_with(" deliveries were delivered, over 2 gateways"), "{detail}");
    }
}

/// What a gateway has counted is the fleet's as long as the gateway lives.
#[test]
fn counts_of_a_dead_gateway_count_no_more() {
    for (running, gateways_seen) in [(vec![0, 1], 2), (vec![0], 1)] {
        let mut gateways = guarded(2, PATIENT, r#"{"for": "60s", "min_events": 350}"#);
        gateways.play(&[0, 1], 20, 400);
        gateways.only(&running);
        // The gateway has 300 events in the window, and the fleet has a hundred more.
        gateways.play(&[0], 41, 400);
        let now = Instant::from_nanos(gateways.processes[0].millis * 1_000_000);
        let (store, window) = (&mut gateways.processes[0].store, std::time::Duration::from_secs(60));
        assert_eq!(count_fleet(store, &Keys::new("g"), "billing", window, now).unwrap().gateways, gateways_seen);
        assert_eq!(gateways.rolled_back()[0].is_some(), running.len() == 2, "{running:?}");
    }
}

/// The openings of all gateways' breakers count together, until an operator resumes the rollout.
#[test]
fn openings_of_two_breakers_reach_the_limit_together() {
    let mut gateways = guarded(2, r#"{"failures": 1, "open": "1s"}"#, r#"{"max_breaker_opens": 2}"#);
    gateways.open_breaker(0, 2);
    assert_eq!(gateways.rolled_back(), [None, None]);
    gateways.open_breaker(1, 1);
    let rolled_back = Some((Trigger::BreakerOpens, "3 openings in 24 hours, over 2 gateways".to_owned()));
    assert_eq!(gateways.rolled_back(), [rolled_back.clone(), rolled_back]);
    let plan = gateways.processes[0].workers[0].config().rollout.plan.clone();
    gateways.processes[0].run(0, |_, world| {
        update(world.store, &Keys::new("g").of("billing"), |kept: &mut Progress| {
            *kept = Progress::under(Some(kept.clone()), &plan, world.now);
            kept.resume(world.now);
            (Write::Yes, ())
        })
        .unwrap();
    });
    gateways.answer_all(3_000, |_| 200);
    gateways.open_breaker(1, 1);
    assert_eq!((gateways.rolled_back(), gateways.opens(0)), (vec![None, None], 0));
}

/// A gateway whose own breaker does not close ends no rollout that goes well at the others.
#[test]
fn one_breaker_that_stays_open_is_borne_by_the_fleet() {
    for (others_deliver, is_rolled_back) in [(false, true), (true, false)] {
        let guard = r#"{"for": "10s", "min_events": 5, "max_breaker_opens": null}"#;
        let mut gateways = guarded(2, r#"{"failures": 1, "open": "1s"}"#, guard);
        for step in 0..16 * 20 {
            if step % 20 == 0 {
                gateways.offer(0, 1);
            }
            if others_deliver {
                gateways.offer(1, 1);
            }
            for (gateway, sent) in gateways.pass(50) {
                let status = if gateway == 0 { 500 } else { 200 };
                gateways.processes[gateway].end(&sent, Ending::Status(status));
            }
        }
        let rolled_back = gateways.rolled_back();
        assert!(rolled_back.iter().all(|found| found.is_some() == is_rolled_back), "{rolled_back:?}");
    }
}
