//! How a stream ends: by a local reply, a client that leaves, an application that fails, or for want of any of them. What
//! is expected was seen on Envoy 1.40.

use std::error::Error;
use std::time::Duration;

use host_tests::{Application, Fault, Process, Reply, Request, StreamId, Thread};

use crate::support::{in_pieces, millis, outcome, said, scripted, seconds, whole};

type Result = std::result::Result<(), Box<dyn Error>>;

fn get(process: &mut Process) -> std::result::Result<StreamId, Fault> {
    process.request(0, Request::new("GET", "/"))
}

/// A local reply takes the place of an answer that is paused and the filter does not see it.
#[test]
fn a_local_reply_replaces_a_paused_answer() -> Result {
    let script = "configure: tick 2000
        response_headers: show; remember; pause
        response_body: pause
        tick: effective; reply 418 later; tick 0
        log: get 2 :status";
    let mut process = in_pieces(script).start()?;
    let stream = get(&mut process)?;
    process.advance(seconds(3))?;
    assert_eq!(outcome(&process, stream), whole(418, "later"));
    let said = said(&process);
    assert_eq!(said.iter().filter(|line| line.starts_with("response_headers")).count(), 1);
    assert_eq!(said.last(), Some(&"get 2 :status -> 418"));
    Ok(())
}

/// A local reply while the headers of an answer are shown takes its place.
#[test]
fn a_local_reply_replaces_an_answer_at_its_headers() -> Result {
    for script in ["response_headers: reply 418 no; pause", "response_headers: reply 418 no"] {
        let mut process = in_pieces(script).start()?;
        let stream = get(&mut process)?;
        process.advance(seconds(1))?;
        assert_eq!(outcome(&process, stream), whole(418, "no"));
    }
    Ok(())
}

/// A local reply after an answer has gone on is a fault that names the call.
#[test]
fn a_local_reply_after_the_answer_is_a_fault() -> Result {
    let mut process = in_pieces("response_body: reply 418 no").start()?;
    get(&mut process)?;
    let fault = process.advance(seconds(1)).expect_err("it is too late");
    assert_eq!((fault.thread, fault.host_call), (Thread::Worker(0), Some("proxy_send_local_response")));
    assert_eq!(fault.reason, "an answer has gone to the client already: Envoy would reset the stream");
    Ok(())
}

#[test]
fn of_two_local_replies_the_first_is_sent() -> Result {
    let mut process = in_pieces("request_headers: reply 201 one; reply 202 two; pause").start()?;
    let stream = get(&mut process)?;
    assert_eq!(outcome(&process, stream), whole(201, "one"));
    Ok(())
}

#[test]
fn a_filter_may_pause_its_own_reply() -> Result {
    let script = "configure: tick 1000
        request_headers: reply 201 one; pause
        response_headers: remember; pause
        response_body: pause
        tick: effective; replace 2 x-late 1; continue 1; tick 0";
    let mut process = in_pieces(script).start()?;
    let stream = get(&mut process)?;
    assert!(process.is_open(stream));
    process.advance(seconds(2))?;
    assert_eq!(outcome(&process, stream), whole(201, "one"));
    assert_eq!(process.answer(stream).expect("an answer").header("x-late"), "1");
    assert!(process.forwarded(stream).is_none());
    Ok(())
}

#[test]
fn an_answer_that_is_not_paused_cannot_be_continued() -> Result {
    let mut process = in_pieces("response_headers: continue 1").start()?;
    get(&mut process)?;
    let fault = process.advance(seconds(1)).expect_err("nothing to continue");
    assert_eq!(fault.reason, "the answer is not paused: what Envoy does then is undefined");
    Ok(())
}

/// A client that leaves before or in the middle of an answer ends its stream.
#[test]
fn a_client_that_leaves_ends_its_stream() -> Result {
    for wait in [0, 50, 150] {
        let slow = Reply::status(200).chunks(["a", "b"]).after(millis(40)).spaced(millis(100));
        let script = "response_headers: show\nresponse_body: show\nlog: log over\ndone: log done\ndelete: log gone";
        let mut process = scripted(script).application(Application::always(slow)).start()?;
        let stream = get(&mut process)?;
        process.advance(millis(wait))?;
        process.disconnect(stream)?;
        process.advance(seconds(1))?;
        assert!(!process.is_open(stream) && process.answer(stream).is_none());
        let said = said(&process);
        assert_eq!(said[said.len() - 3..], ["over", "done", "gone"]);
        assert_eq!(said.len() - 3, (wait / 40).min(2) as usize, "nothing more is shown: {said:?}");
    }
    Ok(())
}

/// A client may leave while its answer is paused and a tick finds nobody.
#[test]
fn a_client_may_leave_during_a_pause() -> Result {
    let script = "configure: tick 1000
        response_headers: remember; pause
        tick: tick 0; effective";
    let mut process = scripted(script).start()?;
    let stream = get(&mut process)?;
    process.disconnect(stream)?;
    process.advance(seconds(2))?;
    assert_eq!(said(&process).last(), Some(&"effective -> status 2"));
    Ok(())
}

#[test]
fn an_application_that_does_not_answer_is_answered_for() -> Result {
    let cases = [
        (Reply::hang(), whole(504, "upstream request timeout"), seconds(15)),
        (Reply::refused(), whole(503, "no healthy upstream"), Duration::ZERO),
        (Reply::reset(), None, millis(1)),
        (Reply::status(200).chunks(["half"]).cut(), Some((200, "half".to_owned(), false)), millis(1)),
        (Reply::status(200).chunks(["a", "b"]).spaced(seconds(10)), Some((200, "a".to_owned(), false)), seconds(15)),
    ];
    for (reply, expected, after) in cases {
        let mut process = scripted("response_body: log body").application(Application::always(reply)).start()?;
        let stream = get(&mut process)?;
        let began = process.clock().elapsed();
        assert!(process.run_until(|process| !process.is_open(stream), seconds(60))?);
        assert_eq!(process.clock().elapsed() - began, after);
        let answer = outcome(&process, stream);
        assert!(answer == expected || expected.is_none() && answer == Some((200, String::new(), false)), "{answer:?}");
    }
    for reply in [Reply::disconnect(), Reply::connect_failure()] {
        let mut process = scripted("").application(Application::always(reply)).start()?;
        let stream = get(&mut process)?;
        process.advance(seconds(1))?;
        assert_eq!(process.answer(stream).map(|answer| answer.status()), Some(503));
    }
    Ok(())
}

#[test]
fn more_than_a_mebibyte_of_an_answer_is_not_held_over_http1() -> Result {
    let large = Application::always(Reply::status(200).chunks([vec![b'x'; 1 << 20], vec![b'x']]));
    let mut process = scripted("response_headers: pause\nresponse_body: pause").application(large).start()?;
    let stream = get(&mut process)?;
    process.advance(seconds(1))?;
    assert_eq!(outcome(&process, stream), whole(500, "Internal Server Error"));
    let http2 = process.request(0, Request::new("GET", "/").http2())?;
    process.advance(seconds(1))?;
    assert!(process.is_open(http2));
    Ok(())
}

#[test]
fn a_stream_that_is_paused_for_five_minutes_is_given_up() -> Result {
    for (request, status) in [(Request::new("GET", "/"), 504), (Request::post("/").chunks(["a"]), 504)] {
        let script = "request_headers: pause\nrequest_body: pause";
        let mut process = scripted(script).start()?;
        let stream = process.request(0, request)?;
        process.advance(seconds(299))?;
        assert!(process.is_open(stream));
        process.advance(seconds(2))?;
        assert_eq!(outcome(&process, stream), whole(status, "stream timeout"));
    }
    Ok(())
}

/// A stream whose VM is lost waits for what comes next and is answered 503 then.
#[test]
fn a_stream_without_its_vm_is_answered_503() -> Result {
    let slow = Application::always(Reply::status(200).after(seconds(3)));
    let mut process = scripted("request_headers /paused: pause").application(slow).start()?;
    let on_its_way = get(&mut process)?;
    let paused = process.request(0, Request::new("GET", "/paused"))?;
    process.advance(seconds(1))?;
    process.kill_vm(Thread::Worker(0));
    assert!(process.is_open(on_its_way) && process.is_open(paused));
    process.advance(seconds(3))?;
    assert_eq!(outcome(&process, on_its_way), whole(503, ""));
    assert!(process.is_open(paused));
    process.advance(seconds(300))?;
    assert_eq!(outcome(&process, paused), whole(503, ""));
    Ok(())
}

/// A filter that closes its stream leaves the client with what it has.
#[test]
fn a_filter_that_closes_its_stream_cuts_the_answer() -> Result {
    let mut process = in_pieces("response_body: close 1").start()?;
    let stream = get(&mut process)?;
    process.advance(seconds(1))?;
    assert_eq!(outcome(&process, stream), Some((200, String::new(), false)));
    let mut process = in_pieces("request_headers: close 0; pause\nlog: get 2 :status").start()?;
    let stream = get(&mut process)?;
    assert!(!process.is_open(stream) && process.answer(stream).is_none());
    assert_eq!(said(&process).last(), Some(&"get 2 :status -> status 1"));
    Ok(())
}
