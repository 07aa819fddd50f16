//! gRPC calls and streams of a filter. What is expected was seen on Envoy 1.40.

use std::cell::Cell;
use std::error::Error;
use std::rc::Rc;

use host_tests::{Builder, Effect, Fault, GrpcReply, Point, Process, Reply, Request, Rule, Thread, Upstream};

use crate::support::{millis, said, scripted, seconds};

type Result = std::result::Result<(), Box<dyn Error>>;

/// A script that begins at the worker's first request, told all there is to tell.
fn at_request(commands: &str) -> Builder {
    scripted(&format!(
        "request_headers: {commands}
        grpc_receive_initial_metadata: show; pairs 4
        grpc_receive: show; body 5; status
        grpc_receive_trailing_metadata: show; pairs 5
        grpc_close: show; status
        tick: status"
    ))
}

/// Starts it, makes the request, and lets a minute pass.
fn played(builder: Builder) -> std::result::Result<Process, Box<dyn Error>> {
    let mut process = builder.start()?;
    process.request(0, Request::new("GET", "/"))?;
    process.advance(seconds(60))?;
    Ok(process)
}

fn fault(builder: Builder) -> Fault {
    let mut process = builder.start().expect("it starts");
    let played = process.request(0, Request::new("GET", "/")).and_then(|_| process.advance(seconds(1)));
    played.expect_err("it is wrong")
}

#[test]
fn a_call_that_succeeds_is_told_its_message_alone() -> Result {
    let server = Upstream::grpc(|call| GrpcReply::ok().metadata("x-a", "1").message(call.messages[0].clone()));
    let process = played(at_request("grpc ledger Add hello 1000").cluster("ledger", server))?;
    assert_eq!(
        said(&process),
        ["grpc ledger Add hello 1000 -> token 5", "grpc_receive [1, 5, 5]", "body 5 -> hello", "status -> 0 "]
    );
    let call = process.grpc_calls("ledger")[0];
    assert_eq!((call.service.as_str(), call.method.as_str()), ("puppet.Service", "Add"));
    assert_eq!(
        (call.metadata.get("x-puppet"), call.timeout, call.thread),
        (Some("call"), seconds(1), Thread::Worker(0))
    );
    Ok(())
}

/// A call that fails is told its status alone and the message is gone with the callback.
#[test]
fn a_failed_call_is_told_its_status_alone() -> Result {
    let cases = [
        (Upstream::grpc(|_| GrpcReply::status(5, "no such account")), "5 no such account{via_upstream}"),
        (Upstream::grpc(|_| GrpcReply::ok()), "13 "),
        (Upstream::grpc(|_| GrpcReply::open()), "14 upstream request timeout{response_timeout}"),
        (Upstream::grpc(|_| GrpcReply::ok().after(seconds(2))), "14 upstream request timeout{response_timeout}"),
        (Upstream::always(Reply::status(404)), "12 via_upstream"),
        (Upstream::always(Reply::hang()), "14 upstream request timeout{response_timeout}"),
    ];
    for (server, status) in cases {
        let builder = at_request("grpc ledger Add hello 1000; tick 50000").cluster("ledger", server);
        let process = played(builder)?;
        let code = status.split_once(' ').map_or("", |(code, _)| code);
        let said = said(&process);
        assert_eq!(said[2..4], [format!("grpc_close [1, 5, {code}]"), format!("status -> {status}")], "{said:?}");
        assert_eq!(said[4..], [format!("status -> {code} ")]);
    }
    Ok(())
}

/// A cluster that is unknown or has no host is a status of the call itself. A stream to no host ends, too, under a token
/// that the filter does not know.
#[test]
fn an_unknown_or_empty_cluster_is_a_status() -> Result {
    let refusing = || Upstream::grpc(|_| GrpcReply::refused());
    let commands = "grpc nowhere Add hello 1000; open nowhere Add; grpc ledger Add hello 1000; open ledger Add";
    let process = played(at_request(commands).cluster("ledger", refusing()))?;
    assert_eq!(
        said(&process),
        [
            "grpc nowhere Add hello 1000 -> status 4",
            "open nowhere Add -> status 4",
            "grpc ledger Add hello 1000 -> status 10",
            "open ledger Add -> status 10",
            "grpc_receive_initial_metadata [1, 6, 0]",
            "pairs 4 -> ",
            "grpc_receive_trailing_metadata [1, 6, 4]",
            "pairs 5 -> :status 200 content-type application/grpc grpc-status 14 grpc-message no healthy upstream",
            "grpc_close [1, 6, 14]",
            "status -> 14 no healthy upstream{no_healthy_upstream}"
        ]
    );
    Ok(())
}

/// A stream is told its metadata each message and its end in their order.
#[test]
fn a_stream_is_told_everything_in_order() -> Result {
    let echo = Upstream::grpc(|call| {
        let reply = if call.has_ended { GrpcReply::ok().trailer("x-sum", "2") } else { GrpcReply::open() };
        call.messages.last().map_or(reply.clone(), |message| reply.metadata("x-a", "1").message(message.clone()))
    });
    let process = played(at_request("open ledger Watch; send one; finish two").cluster("ledger", echo))?;
    assert_eq!(
        said(&process),
        [
            "open ledger Watch -> token 6",
            "send one -> ok",
            "finish two -> ok",
            "grpc_receive_initial_metadata [1, 6, 3]",
            "pairs 4 -> :status 200 content-type application/grpc x-a 1",
            "grpc_receive [1, 6, 3]",
            "body 5 -> one",
            "status -> 0 ",
            "grpc_receive [1, 6, 3]",
            "body 5 -> two",
            "status -> 0 ",
            "grpc_receive_trailing_metadata [1, 6, 2]",
            "pairs 5 -> grpc-status 0 x-sum 2",
            "grpc_close [1, 6, 0]",
            "status -> 0 via_upstream",
        ]
    );
    assert_eq!(process.grpc_calls("ledger")[0].messages, [b"one".to_vec(), b"two".to_vec()]);
    Ok(())
}

#[test]
fn a_stream_that_only_ends_has_no_initial_metadata() -> Result {
    let server = Upstream::grpc(|_| GrpcReply::status(14, "away"));
    let process = played(at_request("open ledger Watch").cluster("ledger", server))?;
    assert_eq!(
        said(&process)[1..],
        [
            "grpc_receive_initial_metadata [1, 6, 0]",
            "pairs 4 -> ",
            "grpc_receive_trailing_metadata [1, 6, 4]",
            "pairs 5 -> :status 200 content-type application/grpc grpc-status 14 grpc-message away",
            "grpc_close [1, 6, 14]",
            "status -> 14 away{via_upstream}"
        ]
    );
    Ok(())
}

#[test]
fn a_server_may_take_its_time_and_answers_in_order() -> Result {
    let server = Upstream::grpc(|call| match call.messages.len() {
        0 => GrpcReply::open(),
        1 => GrpcReply::open().message("slow").after(millis(500)),
        _ => GrpcReply::ok().message("quick"),
    });
    let mut process = at_request("open ledger Watch; send one; send two").cluster("ledger", server).start()?;
    process.request(0, Request::new("GET", "/"))?;
    process.advance(millis(400))?;
    assert_eq!(said(&process).len(), 3);
    process.advance(millis(200))?;
    let bodies: Vec<&str> = said(&process).into_iter().filter(|line| line.starts_with("body 5")).collect();
    assert_eq!(bodies, ["body 5 -> slow", "body 5 -> quick"]);
    Ok(())
}

/// What is cancelled is told nothing more and its token is unknown.
#[test]
fn a_cancelled_call_is_told_nothing_more() -> Result {
    let server = || Upstream::grpc(|_| GrpcReply::ok().message("late").after(millis(100)));
    for commands in ["grpc ledger Add x 1000; cancel; cancel", "open ledger Watch; cancel; cancel; send x"] {
        let process = played(at_request(commands).cluster("ledger", server()))?;
        let said = said(&process);
        assert_eq!(said[1..3], ["cancel -> ok", "cancel -> status 1"]);
        assert!(said.iter().all(|line| !line.starts_with("grpc_")), "{said:?}");
    }
    // Closing a call is cancelling it; closing a stream ends this side of it alone.
    let process = played(at_request("grpc ledger Add x 1000; half-close; half-close").cluster("ledger", server()))?;
    assert_eq!(said(&process)[1..], ["half-close -> ok", "half-close -> status 1"]);
    let process = played(at_request("open ledger Watch; half-close").cluster("ledger", server()))?;
    assert!(said(&process).iter().any(|line| line.starts_with("grpc_close")));
    assert!(process.grpc_calls("ledger")[0].has_ended);
    Ok(())
}

#[test]
fn a_token_that_was_never_given_is_a_status_by_its_kind() -> Result {
    let commands = "token 4000; send x; cancel; half-close; token 4001; send x; cancel; half-close; token 4002; \
                    send x; cancel; half-close";
    let process = played(at_request(commands))?;
    let statuses: Vec<&str> =
        said(&process).into_iter().filter_map(|line| line.split_once("status ").map(|(_, status)| status)).collect();
    assert_eq!(statuses, ["2", "2", "2", "2", "1", "1", "1", "1", "1"]);
    Ok(())
}

/// Touching a stream that its server has closed is a fault outside the callback that says so.
#[test]
fn touching_a_closed_stream_is_a_fault() -> Result {
    let server = || Upstream::grpc(|_| GrpcReply::ok());
    for (command, call) in
        [("send x", "proxy_grpc_send"), ("cancel", "proxy_grpc_cancel"), ("half-close", "proxy_grpc_close")]
    {
        let script = format!("request_headers: open ledger Watch; tick 100\ntick: {command}");
        let fault = fault(scripted(&script).cluster("ledger", server()));
        assert_eq!(fault.host_call, Some(call));
        assert_eq!(fault.reason, "stream 6 was closed by its server already: what Envoy does then is undefined");
    }
    let script = "request_headers: open ledger Watch; tick 100\ngrpc_close: send x; half-close\ntick: send x";
    let mut process = scripted(script).cluster("ledger", server()).start()?;
    process.request(0, Request::new("GET", "/"))?;
    process.advance(millis(150))?;
    assert_eq!(said(&process)[2..], ["send x -> ok", "half-close -> ok", "send x -> status 1"]);
    Ok(())
}

#[test]
fn sending_after_the_last_message_is_a_fault() {
    let server = Upstream::grpc(|_| GrpcReply::open());
    let fault = fault(at_request("open ledger Watch; finish x; send y").cluster("ledger", server));
    assert_eq!(fault.reason, "stream 6 was ended by this side already: what Envoy does then is undefined");
}

#[test]
fn rules_for_upstreams_hold_for_grpc_too() -> Result {
    let outcome = |rule: Rule| -> std::result::Result<Vec<String>, Box<dyn Error>> {
        let server = Upstream::grpc(|call| GrpcReply::ok().message(call.messages[0].clone()));
        let mut process = at_request("grpc ledger Add x 1000").cluster("ledger", server).start()?;
        process.add_rule(rule);
        process.request(0, Request::new("GET", "/"))?;
        process.advance(millis(900))?;
        let early = said(&process).len();
        process.advance(seconds(1))?;
        let lines = said(&process).into_iter().map(str::to_owned).skip(1);
        Ok(std::iter::once(early.to_string()).chain(lines).collect())
    };
    let ledger = Point::Upstream("ledger");
    assert_eq!(
        outcome(Rule::new(ledger, Effect::Fail(503)))?[..3],
        ["3", "grpc_close [1, 5, 14]", "status -> 14 via_upstream"]
    );
    assert_eq!(outcome(Rule::new(ledger, Effect::Drop))?[..2], ["1", "grpc_close [1, 5, 14]"]);
    assert_eq!(outcome(Rule::new(ledger, Effect::Delay(millis(950))))?[..2], ["1", "grpc_receive [1, 5, 1]"]);
    Ok(())
}

#[test]
fn with_its_root_a_call_is_cancelled() -> Result {
    let server = Upstream::grpc(|_| GrpcReply::ok().message("late").after(seconds(5)));
    let script =
        "configure: tick 1000\ntick: tick 0; grpc ledger Add x 60000; open ledger Watch\ngrpc_receive: log told";
    let mut process = scripted(script).cluster("ledger", server).start()?;
    process.advance(seconds(2))?;
    process.update_config("")?;
    process.end_drain()?;
    process.advance(seconds(10))?;
    assert!(!said(&process).contains(&"told"));
    Ok(())
}

/// A server says something when the filter has said nothing and is asked by one clock whatever else is said.
#[test]
fn a_server_says_something_of_itself() -> Result {
    let server = Upstream::grpc(|call| {
        let asked = call.asked_at - call.at;
        let reply = match asked.as_millis() {
            0 => GrpcReply::open(),
            1..300 => GrpcReply::open().message(format!("{}", asked.as_millis())),
            _ => GrpcReply::ok(),
        };
        reply.again(millis(100)).after(millis(10))
    });
    let script = "request_headers: open ledger Watch; send one; send two\ngrpc_receive: body 5\ngrpc_close: show";
    let process = played(scripted(script).cluster("ledger", server))?;
    let log = process.log().iter().skip_while(|line| line.message != "send two -> ok").skip(1);
    let began = process.grpc_calls("ledger")[0].at;
    let said: Vec<_> = log.map(|line| (line.message.as_str(), (line.at - began).as_millis())).collect();
    assert_eq!(said, [("body 5 -> 100", 110), ("body 5 -> 200", 210), ("grpc_close [1, 6, 0]", 310)]);
    Ok(())
}

/// A stream that its client has left is asked no more.
#[test]
fn a_server_is_not_asked_about_a_stream_that_is_gone() -> Result {
    let asked = Rc::new(Cell::new(0));
    let count = Rc::clone(&asked);
    let server = Upstream::grpc(move |_| {
        count.set(count.get() + 1);
        GrpcReply::open().again(millis(100))
    });
    let script = "request_headers: open ledger Watch; tick 1050\ntick: cancel; tick 0";
    played(scripted(script).cluster("ledger", server))?;
    assert_eq!(asked.get(), 11);
    Ok(())
}

/// HTTP calls and gRPC streams to one cluster have a script each.
#[test]
fn a_cluster_serves_calls_framed_by_hand_and_streams() -> Result {
    let server = Upstream::always(Reply::status(200).body("by hand"))
        .and_grpc(|call| if call.has_ended { GrpcReply::ok().message("streamed") } else { GrpcReply::open() });
    let script = "request_headers: call ledger / 1000; open ledger Watch; finish stream
        http_call_response: body 4
        grpc_receive: body 5";
    let process = played(scripted(script).cluster("ledger", server))?;
    let said = said(&process);
    assert!(said.contains(&"body 4 -> by hand") && said.contains(&"body 5 -> streamed"), "{said:?}");
    Ok(())
}
