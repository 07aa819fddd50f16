//! Several plugins of one `vm_id`, each on a listener of its own.

use std::error::Error;

use host_tests::{Process, Request, Thread};

use crate::support::{said, said_on, scripted, seconds};

type Result = std::result::Result<(), Box<dyn Error>>;

const WORKER: Thread = Thread::Worker(0);

fn named(name: &str) -> String {
    format!("configure: log configured-{name}\nrequest_headers: log request-{name}; property plugin_name; shared key")
}

fn get(process: &mut Process, listener: &str) -> std::result::Result<u16, host_tests::Fault> {
    let stream = process.request(0, Request::new("GET", "/").listener(listener))?;
    Ok(process.answer(stream).map_or(0, host_tests::Answer::status))
}

/// Two plugins share a VM and its keys and a request names its listener.
#[test]
fn two_plugins_share_a_vm_and_its_keys() -> Result {
    let first = "configure: log configured-first\nrequest_headers: log request-first; share key value";
    let mut process = scripted(first).listener("admin", "operator", named("admin")).start()?;
    assert_eq!(process.vm_count(WORKER), 1);
    process.request(0, Request::new("GET", "/"))?;
    get(&mut process, "admin")?;
    assert_eq!(
        said(&process),
        [
            "configured-first",
            "configured-admin",
            "request-first",
            "share key value -> ok",
            "request-admin",
            "property plugin_name -> operator",
            "shared key -> value"
        ]
    );
    let fault = get(&mut process, "nowhere").expect_err("there is none");
    assert_eq!(fault.to_string(), "main in request: the process has no listener nowhere");
    Ok(())
}

/// Plugins of one name differ by their configuration and are one root if that is the same.
#[test]
fn equal_plugins_are_one_root() -> Result {
    let mut process = scripted(&named("a"))
        .name("same")
        .listener("second", "same", named("b"))
        .listener("third", "same", named("b"))
        .start()?;
    for listener in ["second", "third"] {
        get(&mut process, listener)?;
    }
    let said = said(&process);
    assert_eq!(said.iter().filter(|line| line.starts_with("configured")).count(), 2);
    assert_eq!(said.iter().filter(|line| **line == "request-b").count(), 2);
    // And each was tried by one canary.
    let tried = said_on(&process, Thread::Main).iter().filter(|line| **line == "configured-b").count();
    assert_eq!(tried, 2);
    Ok(())
}

/// After a VM is lost each listener brings its own root back with its next stream.
#[test]
fn each_listener_brings_its_own_root_back() -> Result {
    let mut process = scripted(&named("a")).listener("admin", "filter", named("admin")).start()?;
    process.advance(seconds(2))?;
    process.kill_vm(WORKER);
    let known = said(&process).len();
    assert_eq!(get(&mut process, "admin")?, 200);
    assert_eq!(said(&process)[known], "configured-admin");
    assert_eq!(said(&process).iter().skip(known).filter(|line| line.starts_with("configured")).count(), 1);
    process.request(0, Request::new("GET", "/"))?;
    assert!(said(&process)[known + 1..].contains(&"configured-a"));
    assert_eq!(process.vm_count(WORKER), 1);
    Ok(())
}

/// Another configuration of one listener leaves the others as they are.
#[test]
fn an_update_of_one_listener_leaves_the_others() -> Result {
    let mut process = scripted(&named("a")).listener("admin", "filter", named("admin")).start()?;
    process.update_listener("admin", named("changed"))?;
    process.end_drain()?;
    process.request(0, Request::new("GET", "/"))?;
    get(&mut process, "admin")?;
    let said = said(&process);
    let requests: Vec<&&str> = said.iter().filter(|line| line.starts_with("request-")).collect();
    assert_eq!(requests, [&"request-a", &"request-changed"]);
    assert!(process.update_listener("nowhere", "").is_err());
    Ok(())
}
