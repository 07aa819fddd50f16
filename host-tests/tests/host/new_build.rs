//! Another build of the filter beside the one it replaces. What is expected was seen on Envoy 1.40.

use std::error::Error;

use host_tests::{Process, Reply, Request, StartError, Thread, Upstream};

use crate::support::{another_puppet, puppet, said, said_on, scripted, seconds};

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

/// Every thread gets a new VM and the old one ticks and serves its connections until the end of the drain.
#[test]
fn a_new_build_gets_new_vms_beside_the_old() -> Result {
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

/// At the end of the drain a call under way is cancelled whatever the old root says.
#[test]
fn the_end_of_the_drain_cancels_calls() -> Result {
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

/// Shared data and queues survive and who registers a queue last is told.
#[test]
fn shared_data_and_queues_survive_a_new_build() -> Result {
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

/// What a canary refused it refuses again without a line and what it took it is not asked again.
#[test]
fn a_canary_is_asked_once() -> Result {
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

/// A build that comes back while it drains is served by the VM it left.
#[test]
fn a_build_that_comes_back_is_served_by_its_old_vm() -> Result {
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

/// Each VM is lost alone and a connection of the old build brings its own back.
#[test]
fn each_build_loses_and_rebuilds_its_own_vm() -> Result {
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

/// A new configuration gives every thread a VM that has lost its own.
#[test]
fn a_new_configuration_rebuilds_lost_vms() -> Result {
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
