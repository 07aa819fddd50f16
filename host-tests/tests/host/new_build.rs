//! Another build of the filter beside the one it replaces. What is expected was seen on Envoy 1.40.

use std::error::Error;

use host_tests::{Process, Reply, Request, StartError, Thread, Upstream};

use crate::support::{
    accept, advance, another_gatepost, another_puppet, attempts, config, endpoint, event, gateway, puppet, said,
    said_on, scripted, seconds,
};

type Result = std::result::Result<(), Box<dyn Error>>;

const WORKER: Thread = Thread::Worker(0);
const MAIN: Thread = Thread::Main;

/// A script whose lines carry a name.
fn named(name: &str) -> String {
    format!(
        "configure: log configured-{name}; tick 1000
        tick: log tick-{name}
        request_headers: log request-{name}
        done: log done-{name}
        delete: log delete-{name}"
    )
}

fn get(process: &mut Process) -> std::result::Result<host_tests::StreamId, host_tests::Fault> {
    process.request(0, Request::new("GET", "/"))
}

fn count(lines: &[&str], line: &str) -> usize {
    lines.iter().filter(|other| **other == line).count()
}

#[test]
fn every_thread_gets_a_new_vm_and_the_old_one_ticks_and_serves_its_connections_until_the_end_of_the_drain() -> Result {
    let mut process = scripted(&named("old")).start()?;
    let kept = get(&mut process)?;
    process.update_filter(another_puppet(), named("new"))?;
    assert_eq!((process.vm_count(WORKER), process.vm_count(MAIN)), (2, 2));
    process.advance(seconds(2))?;
    let known = said(&process).len();
    process.request_again(kept, Request::new("GET", "/"))?;
    get(&mut process)?;
    let requests = ["request-old", "done-old", "delete-old", "request-new", "done-new", "delete-new"];
    assert_eq!(said(&process)[known..], requests);

    process.end_drain()?;
    assert_eq!((process.vm_count(WORKER), process.vm_count(MAIN)), (1, 1));
    assert_eq!(said(&process)[known + requests.len()..], ["done-old", "delete-old"]);
    assert_eq!(said_on(&process, MAIN).last(), Some(&"delete-old"));
    let ticked = count(&said(&process), "tick-old");
    process.request_again(kept, Request::new("GET", "/"))?;
    process.advance(seconds(2))?;
    assert_eq!(count(&said(&process), "tick-old"), ticked);
    assert_eq!(count(&said(&process), "request-new"), 2);
    Ok(())
}

#[test]
fn at_the_end_of_the_drain_a_call_under_way_is_cancelled_whatever_the_old_root_says() -> Result {
    let old = "configure: tick 1000
        tick: tick 0; call billing / 60000
        http_call_response: log ended
        done: log done; answer 0
        delete: log deleted";
    let slow = Upstream::always(Reply::status(200).after(seconds(10)));
    let mut process = scripted(old).cluster("billing", slow).start()?;
    process.advance(seconds(2))?;
    process.update_filter(another_puppet(), "")?;
    process.end_drain()?;
    process.advance(seconds(60))?;
    let said = said(&process);
    assert_eq!(said.last(), Some(&"done"));
    assert_eq!((process.calls("billing").len(), process.vm_count(WORKER)), (2, 1));

    // Where only the configuration is replaced, the root may wait for it.
    let slow = Upstream::always(Reply::status(200).after(seconds(10)));
    let mut process = scripted(&old.replace("log ended", "log ended; done")).cluster("billing", slow).start()?;
    process.advance(seconds(2))?;
    process.update_config("")?;
    process.end_drain()?;
    process.advance(seconds(60))?;
    assert_eq!(said_on(&process, WORKER)[3..], ["done", "ended", "done -> ok", "deleted"]);
    Ok(())
}

#[test]
fn shared_data_and_queues_survive_and_who_registers_a_queue_last_is_told() -> Result {
    let old = "configure: share key old; tick 1000
        tick: tick 0; register wake
        request_headers: enqueue item
        queue_ready: log told-old; dequeue";
    let mut process = scripted(old).start()?;
    process.advance(seconds(2))?;
    let kept = get(&mut process)?;
    process.advance(seconds(1))?;
    let new = "configure: shared key; tick 5000
        tick: tick 0; register wake
        queue_ready: log told-new; dequeue";
    process.update_filter(another_puppet(), new)?;
    process.request_again(kept, Request::new("GET", "/"))?;
    process.advance(seconds(6))?;
    process.request_again(kept, Request::new("GET", "/"))?;
    process.advance(seconds(1))?;
    let said = said(&process);
    assert!(said.contains(&"shared key -> old"), "{said:?}");
    let told: Vec<&&str> = said.iter().filter(|line| line.starts_with("told")).collect();
    assert_eq!(told, [&"told-old", &"told-old", &"told-new"]);
    Ok(())
}

#[test]
fn a_build_whose_canary_refuses_changes_nothing() -> Result {
    let mut process = scripted(&named("old")).start()?;
    let refused = process.update_filter(another_puppet(), "configure: log no; answer 0");
    assert!(matches!(refused, Err(StartError::Refused { vm, log }) if vm == "canary" && log.len() == 2));
    assert_eq!(process.vm_count(WORKER), 1);
    get(&mut process)?;
    assert_eq!(count(&said(&process), "request-old"), 1);
    Ok(())
}

#[test]
fn what_a_canary_refused_it_refuses_again_without_a_line_and_what_it_took_it_is_not_asked_again() -> Result {
    let mut process = scripted(&named("a")).start()?;
    let lines = |result| match result {
        Err(StartError::Refused { log, .. }) => log.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(lines(process.update_config("configure: log no; answer 0")), 2);
    assert_eq!(lines(process.update_config("configure: log no; answer 0")), 0);
    process.update_config(named("b"))?;
    process.end_drain()?;
    let before = count(&said_on(&process, MAIN), "configured-a");
    process.update_config(named("a"))?;
    // The main thread's own root, and no canary.
    assert_eq!(count(&said_on(&process, MAIN), "configured-a"), before + 1);
    Ok(())
}

#[test]
fn a_build_that_comes_back_while_it_drains_is_served_by_the_vm_it_left() -> Result {
    let mut process = scripted(&named("old")).start()?;
    process.update_filter(another_puppet(), named("new"))?;
    process.advance(seconds(2))?;
    let lines = process.log().len();
    process.update_filter(puppet(), named("old"))?;
    assert_eq!(process.log().len(), lines, "nothing is configured");
    get(&mut process)?;
    assert_eq!(said(&process).last(), Some(&"delete-old"));
    process.end_drain()?;
    assert_eq!(said(&process)[said(&process).len() - 2..], ["done-new", "delete-new"]);
    assert_eq!(process.vm_count(WORKER), 1);
    Ok(())
}

#[test]
fn each_vm_is_lost_alone_and_a_connection_of_the_old_build_brings_its_own_back() -> Result {
    let mut process = scripted(&named("old")).start()?;
    let kept = get(&mut process)?;
    process.update_filter(another_puppet(), named("new"))?;
    process.advance(seconds(2))?;
    process.kill_vm(WORKER);
    assert!(!process.has_vm(WORKER) && process.vm_count(WORKER) == 1);
    process.request_again(kept, Request::new("GET", "/"))?;
    assert_eq!(count(&said(&process), "request-old"), 2);
    get(&mut process)?;
    assert!(process.has_vm(WORKER));

    process.kill_old_vms(WORKER);
    assert_eq!(process.vm_count(WORKER), 1);
    let configured = count(&said(&process), "configured-old");
    process.request_again(kept, Request::new("GET", "/"))?;
    assert_eq!(count(&said(&process), "configured-old"), configured + 1);
    assert_eq!((count(&said(&process), "request-old"), process.vm_count(WORKER)), (3, 2));
    Ok(())
}

#[test]
fn a_new_configuration_gives_every_thread_a_vm_that_has_lost_its_own() -> Result {
    let mut process = scripted(&named("a")).start()?;
    [MAIN, WORKER].into_iter().for_each(|thread| process.kill_vm(thread));
    process.update_config(named("b"))?;
    assert!(process.has_vm(MAIN) && process.has_vm(WORKER));
    Ok(())
}

#[test]
fn a_lost_vm_comes_back_at_once_when_it_was_started_long_ago() -> Result {
    let mut process = scripted("").start()?;
    process.advance(seconds(5))?;
    for (wait, status) in [(0, 200), (0, 503), (1, 200)] {
        process.kill_vm(WORKER);
        process.advance(seconds(wait))?;
        let stream = get(&mut process)?;
        assert_eq!(process.answer(stream).map(|answer| answer.status()), Some(status));
    }
    Ok(())
}

#[test]
fn a_process_that_starts_again_has_the_newest_build_alone() -> Result {
    let mut process = scripted(&named("old")).start()?;
    let stream = process.request(0, Request::new("GET", "/"))?;
    process.update_filter(another_puppet(), named("new"))?;
    process.restart()?;
    assert_eq!(process.vm_count(WORKER), 1);
    process.request_again(stream, Request::new("GET", "/"))?;
    assert_eq!(count(&said(&process), "request-new"), 1);
    Ok(())
}

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
fn what_the_old_build_of_gatepost_accepted_the_new_one_delivers() {
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
