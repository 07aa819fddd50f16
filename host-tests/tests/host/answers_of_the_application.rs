//! Answers of the application behind the gateway, as a filter sees them. What is expected was seen on Envoy 1.40.

use std::error::Error;

use host_tests::{Application, Fault, Process, Reply, Request, StreamId};

use crate::support::{in_pieces, millis, outcome, said, scripted, seconds, whole};

type Result = std::result::Result<(), Box<dyn Error>>;

fn get(process: &mut Process) -> std::result::Result<StreamId, Fault> {
    process.request(0, Request::new("GET", "/"))
}

#[test]
fn a_body_that_is_let_through_is_shown_piece_by_piece() -> Result {
    let mut process = in_pieces("response_headers: show\nresponse_body: show").start()?;
    let stream = get(&mut process)?;
    process.advance(seconds(1))?;
    assert_eq!(
        said(&process),
        [
            "response_headers [3, 0]",
            "response_body [6, 0]",
            "response_body [4, 0]",
            "response_body [5, 0]",
            "response_body [0, 1]"
        ]
    );
    assert_eq!(outcome(&process, stream), whole(200, "hello big world"));
    assert_eq!(process.answer(stream).expect("an answer").header("x-app"), "1");
    Ok(())
}

#[test]
fn the_last_piece_over_http2_says_that_it_is_the_last() -> Result {
    let answer = Application::always(Reply::status(200).chunks(["a", "b"])).http2();
    let mut process = scripted("response_body: show").application(answer).start()?;
    get(&mut process)?;
    process.advance(seconds(1))?;
    assert_eq!(said(&process), ["response_body [1, 0]", "response_body [1, 1]"]);
    Ok(())
}

/// A paused body is shown from its start each time and goes on whole.
#[test]
fn a_paused_body_is_shown_from_its_start() -> Result {
    let mut process =
        in_pieces("response_headers: pause\nresponse_body: show; body 1; pause\ntick: log tick").start()?;
    let stream = get(&mut process)?;
    process.advance(seconds(1))?;
    assert_eq!(
        said(&process),
        [
            "response_body [6, 0]",
            "body 1 -> hello ",
            "response_body [10, 0]",
            "body 1 -> hello big ",
            "response_body [15, 0]",
            "body 1 -> hello big world",
            "response_body [15, 1]",
            "body 1 -> hello big world",
        ]
    );
    assert!(process.is_open(stream) && process.received(stream).is_none());
    Ok(())
}

/// Headers that were paused go on with the first piece that does.
#[test]
fn paused_headers_go_on_with_the_first_piece() -> Result {
    let mut process = in_pieces("response_headers: pause\nresponse_body: replace 2 x-sum 15").start()?;
    let stream = process.request(0, Request::new("GET", "/"));
    // The first piece lets the headers go: the second is too late for them.
    let fault = process.advance(seconds(1)).expect_err("the headers have gone on");
    assert_eq!(process.received(stream?).expect("the headers").header("x-sum"), "15");
    assert_eq!(fault.host_call, Some("proxy_replace_header_map_value"));
    assert_eq!(fault.reason, "the answer's headers have gone on and cannot be changed any more");
    Ok(())
}

#[test]
fn an_answer_that_is_paused_goes_on_when_a_tick_continues_it() -> Result {
    let script = "configure: tick 2000
        response_headers: remember; pause
        response_body: pause
        tick: effective; replace 2 x-late 1; put 1 0 99 rewritten; continue 1; tick 0";
    let mut process = in_pieces(script).start()?;
    let stream = get(&mut process)?;
    process.advance(millis(1900))?;
    assert!(process.received(stream).is_none());
    process.advance(millis(200))?;
    assert_eq!(outcome(&process, stream), whole(200, "rewritten"));
    assert_eq!(process.answer(stream).expect("an answer").header("x-late"), "1");
    Ok(())
}

/// By Envoy's default a pause in the headers of an answer hides its body until it is continued.
#[test]
fn a_pause_in_the_headers_hides_the_body_by_default() -> Result {
    let script = "configure: tick 2000
        response_headers: remember; pause
        response_body: show
        tick: log tick; effective; continue 1; tick 0";
    let mut process = in_pieces(script).hold_body_while_paused().start()?;
    let stream = get(&mut process)?;
    process.advance(seconds(3))?;
    let said = said(&process);
    assert_eq!(said[said.len() - 5], "tick");
    assert_eq!(said[said.len() - 1], "response_body [15, 1]", "{said:?}");
    assert_eq!(outcome(&process, stream), whole(200, "hello big world"));
    Ok(())
}

/// A body can be replaced at its start and grow at its end and nothing else.
#[test]
fn a_body_is_replaced_at_its_start_and_grows_at_its_end() -> Result {
    let script = "response_body: put 1 1 1 M; put 1 1000 0 FAR; put 1 0 2 CUT; body 1";
    let mut process = in_pieces(script).start()?;
    let stream = get(&mut process)?;
    process.advance(seconds(1))?;
    assert_eq!(
        said(&process)[..4],
        ["put 1 1 1 M -> status 2", "put 1 1000 0 FAR -> ok", "put 1 0 2 CUT -> ok", "body 1 -> CUTllo FAR"]
    );
    // The last piece is empty, where everything is beyond the end.
    assert_eq!(outcome(&process, stream), whole(200, "CUTllo FARCUTg FARCUTrldFARCUTAR"));
    Ok(())
}

/// A body that is not shown reads as empty and cannot be written.
#[test]
fn a_body_that_is_not_shown_reads_as_empty() -> Result {
    let mut process = in_pieces("response_headers: body 1; put 1 0 0 x; body 0").start()?;
    get(&mut process)?;
    process.advance(millis(10))?;
    assert_eq!(said(&process), ["body 1 -> ", "put 1 0 0 x -> status 2", "body 0 -> "]);
    Ok(())
}

/// What has gone on is read again only when the stream is logged.
#[test]
fn what_has_gone_on_is_read_again_at_the_log_alone() -> Result {
    let script = "request_headers: get 0 :path
        request_body: get 0 :path; pairs 0
        response_headers: get 0 :path; pairs 0; get 2 :status
        response_body: get 2 :status
        log: get 0 :path; get 2 :status; replace 2 x y";
    let mut process = scripted(script).start()?;
    let fault = process.request(0, Request::post("/").body("one")).expect_err("it writes when it logs");
    assert_eq!(
        said(&process),
        [
            "get 0 :path -> /",
            "get 0 :path -> status 2",
            "pairs 0 -> ",
            "get 0 :path -> status 2",
            "pairs 0 -> ",
            "get 0 :path -> status 2",
            "pairs 0 -> ",
            "get 2 :status -> 200",
            "get 0 :path -> /",
            "get 2 :status -> 200",
        ]
    );
    assert_eq!((fault.callback, fault.host_call), ("proxy_on_log", Some("proxy_replace_header_map_value")));
    Ok(())
}

#[test]
fn request_headers_are_changed_too_late_once_the_body_is_shown() {
    let mut process = scripted("request_body: add 0 x-late 1").start().expect("it starts");
    let fault = process.request(0, Request::post("/").body("one")).expect_err("it is too late");
    assert_eq!(fault.reason, "the request's headers have gone on and cannot be changed any more");
    assert_eq!(fault.host_call, Some("proxy_add_header_map_value"));
}

/// Trailers are shown and change and may be added at the last piece alone.
#[test]
fn trailers_are_shown_changed_and_added() -> Result {
    let script = "response_trailers /t: show; replace 3 x-sum 2; pairs 3
        response_body /added: add 3 x-sum 1";
    let with_trailers = Reply::status(200).chunks(["a"]).trailers([("x-sum", "1")]);
    let answers = Application::replies([with_trailers, Reply::status(200).chunks(["a"])]);
    let mut process = scripted(script).application(answers).start()?;
    let streams = ["/t", "/added"].map(|path| process.request(0, Request::new("GET", path)));
    process.advance(seconds(1))?;
    let mut sums = Vec::new();
    for stream in streams {
        sums.push(process.answer(stream?).expect("an answer").trailers.get("x-sum").map(str::to_owned));
    }
    assert_eq!(sums, [Some("2".to_owned()), Some("1".to_owned())]);
    assert_eq!(
        said(&process),
        [
            "response_trailers [1]",
            "replace 3 x-sum 2 -> ok",
            "pairs 3 -> x-sum 2",
            "add 3 x-sum 1 -> status 2",
            "add 3 x-sum 1 -> ok"
        ]
    );
    Ok(())
}

#[test]
fn the_application_sees_what_the_filter_made_of_the_request() -> Result {
    let application = Application::by(|request| {
        let body = String::from_utf8_lossy(&request.body).to_uppercase();
        Reply::status(200).header("x-path", request.header(":path")).body(body)
    });
    let script = "request_headers: replace 0 :path /changed; pause
        request_body: put 0 0 99 new";
    let mut process = scripted(script).application(application).start()?;
    let stream = process.request(0, Request::post("/").body("old").http2())?;
    process.advance(seconds(1))?;
    assert_eq!(outcome(&process, stream), whole(200, "NEW"));
    assert_eq!(process.answer(stream).expect("an answer").header("x-path"), "/changed");
    Ok(())
}

/// An answer that comes later takes its time and another script is for later requests.
#[test]
fn a_late_answer_takes_its_time() -> Result {
    let slow = Application::always(Reply::status(200).after(seconds(3)));
    let mut process = scripted("").application(slow).start()?;
    let first = get(&mut process)?;
    process.set_application(Application::always(Reply::status(201)));
    let second = get(&mut process)?;
    process.advance(millis(2900))?;
    assert!(process.answer(first).is_none());
    assert_eq!(process.answer(second).map(|answer| answer.status()), Some(201));
    process.advance(millis(200))?;
    assert_eq!(process.answer(first).map(|answer| answer.header("x-envoy-upstream-service-time")), Some("3000"));
    Ok(())
}
