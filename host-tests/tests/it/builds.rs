//! Another build of the filter takes over from the one it replaces.

use host_tests::{Reply, Upstream};

use crate::support::{accept, advance, another_gatepost, attempts, config, endpoint, event, gateway, seconds};

#[test]
fn the_same_seed_gives_the_same_run_across_builds() {
    let run = || {
        let mut process = gateway(&config([endpoint("billing")])).seed(7).start().expect("it starts");
        accept(&mut process, 0, event("paid"));
        process.update_filter(another_gatepost(), config([endpoint("billing")]).to_string()).expect("taken");
        accept(&mut process, 1, event("paid"));
        advance(&mut process, seconds(3));
        process.end_drain().expect("it drains");
        advance(&mut process, seconds(30));
        process.trace().to_string()
    };
    let first = run();
    assert!(first.contains("another build") && first.contains("VM ended"), "{first}");
    assert_eq!(first, run());
}

#[test]
fn what_the_old_build_accepted_the_new_one_delivers() {
    let failing = Upstream::replies([Reply::status(503), Reply::status(503)]);
    let text = config([endpoint("billing")]);
    let mut process = gateway(&text).cluster("billing", failing).start().expect("it starts");
    accept(&mut process, 0, event("paid"));
    advance(&mut process, seconds(1));
    process.update_filter(another_gatepost(), text.to_string()).expect("it is taken");
    advance(&mut process, seconds(1));
    process.end_drain().expect("it drains");
    advance(&mut process, seconds(60));
    let numbers: Vec<u32> = attempts(&process, "billing").iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    let left = process.shared_data().filter(|(key, value)| key.starts_with("gatepost/body/") && value.len() > 1);
    assert_eq!(left.count(), 0);
}
