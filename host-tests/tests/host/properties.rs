//! Properties, foreign functions and the other small calls. What is expected was seen on Envoy 1.40.

use std::error::Error;

use host_tests::{Application, Process, Reply, Request, Status};

use crate::support::{millis, said, scripted, seconds};

type Result = std::result::Result<(), Box<dyn Error>>;

/// What the filter found at these paths while it was shown a request's headers.
fn found(request: Request, kind: &str, paths: &[&str]) -> std::result::Result<Vec<String>, Box<dyn Error>> {
    let commands: Vec<String> = paths.iter().map(|path| format!("{kind} {path}")).collect();
    let mut process = scripted(&format!("request_headers: {}", commands.join("; "))).start()?;
    process.request(0, request)?;
    let value = |line: &str| line.split_once(" -> ").map(|(_, value)| value.to_owned()).unwrap_or_default();
    Ok(said(&process).into_iter().map(value).collect())
}

#[test]
fn a_request_is_described_by_its_headers() -> Result {
    let request = Request::post("/orders?id=7").header("user-agent", "ua").header("x-request-id", "1").body("four");
    let paths = [
        "request.path",
        "request.url_path",
        "request.query",
        "request.host",
        "request.scheme",
        "request.method",
        "request.useragent",
        "request.id",
        "request.protocol",
        "request.headers.user-agent",
        "request.referer",
        "request.nonsense",
        "request.path.more",
    ];
    let expected = [
        "/orders?id=7",
        "/orders",
        "id=7",
        "gateway.example",
        "http",
        "POST",
        "ua",
        "1",
        "HTTP/1.1",
        "ua",
        "status 1",
        "status 1",
        "status 1",
    ];
    assert_eq!(found(request.clone(), "property", &paths)?, expected);
    let numbers = found(request, "number", &["request.size", "request.time", "connection.id", "connection.mtls"])?;
    assert_eq!(numbers[0], "4");
    assert!(numbers[1].starts_with("1767225600"), "{numbers:?}");
    assert_eq!(numbers[2..], ["0", "0"]);
    Ok(())
}

#[test]
fn the_connection_the_route_and_the_plugin_are_described_too() -> Result {
    let paths = [
        "source.address",
        "destination.address",
        "connection.requested_server_name",
        "xds.cluster_name",
        "plugin_name",
        "plugin_root_id",
        "plugin_vm_id",
    ];
    let request = || Request::new("GET", "/").client("10.1.2.3:55".parse().expect("an address"));
    let expected = ["10.1.2.3:55", "127.0.0.1:10000", "", "application", "filter", "", "filter"];
    assert_eq!(found(request(), "property", &paths)?, expected);
    assert_eq!(
        found(request(), "number", &["source.port", "destination.port", "xds.listener_direction"])?,
        ["55", "10000", "0"]
    );
    let missing = ["nonsense", "connection.tls_version", "upstream.address", "node", "cluster_name"];
    assert_eq!(found(request(), "property", &missing)?, ["status 1"; 5]);
    // A map as a whole has no bytes.
    assert_eq!(found(request(), "property", &["request", "connection", "filter_state", ""])?, ["status 3"; 4]);
    Ok(())
}

/// What is about the request's headers is there while they are shown and when it is logged.
#[test]
fn request_properties_last_as_long_as_its_headers() -> Result {
    let script = "response_headers: property request.path; property request.protocol; number response.code
        log: property request.path; number response.code; number response.size; number request.duration";
    let slow = Application::always(Reply::status(201).body("four").after(millis(250)));
    let mut process = scripted(script).application(slow).start()?;
    process.request(0, Request::new("GET", "/"))?;
    process.advance(seconds(1))?;
    assert_eq!(
        said(&process),
        [
            "property request.path -> status 1",
            "property request.protocol -> HTTP/1.1",
            "number response.code -> 201",
            "property request.path -> /",
            "number response.code -> 201",
            "number response.size -> 4",
            "number request.duration -> 250000000"
        ]
    );
    Ok(())
}

/// What a filter sets is its stream's and does not hide what Envoy has.
#[test]
fn a_set_property_belongs_to_its_stream() -> Result {
    let script = "request_headers: set tenant acme; property tenant; property filter_state/wasm.tenant; \
                  property tenant.more; set a.b c; property a.b; set request.path x; property request.path; \
                  set plugin_name x; property plugin_name
        response_headers: property tenant
        configure: set tenant acme";
    let mut process = scripted(script).start()?;
    let stream = process.request(0, Request::new("GET", "/"))?;
    assert_eq!(
        said(&process),
        [
            "set tenant acme -> status 1",
            "set tenant acme -> ok",
            "property tenant -> acme",
            "property filter_state/wasm.tenant -> acme",
            "property tenant.more -> status 1",
            "set a.b c -> ok",
            "property a.b -> status 1",
            "set request.path x -> ok",
            "property request.path -> /",
            "set plugin_name x -> ok",
            "property plugin_name -> filter",
            "property tenant -> acme",
        ]
    );
    assert_eq!(process.filter_state(stream, "tenant"), Some(b"acme".as_slice()));
    assert_eq!(process.filter_state(stream, "a\0b"), Some(b"c".as_slice()));
    let other = process.request(0, Request::new("GET", "/"))?;
    assert!(process.filter_state(other, "tenant").is_some() && process.filter_state(other, "region").is_none());
    Ok(())
}

#[test]
fn a_foreign_function_is_one_the_test_has_put_there() -> Result {
    let mut calls = 0;
    let script = "request_headers: foreign count abc; foreign count x; foreign fail x; foreign nowhere x";
    let mut process = scripted(script)
        .foreign_function("count", move |argument| {
            calls += 1;
            Ok(format!("{calls}: {} bytes", argument.len()).into_bytes())
        })
        .foreign_function("fail", |_| Err(Status::SerializationFailure))
        .start()?;
    process.request(0, Request::new("GET", "/"))?;
    assert_eq!(
        said(&process),
        [
            "foreign count abc -> 1: 3 bytes",
            "foreign count x -> 2: 1 bytes",
            "foreign fail x -> status 3",
            "foreign nowhere x -> status 1"
        ]
    );
    Ok(())
}

#[test]
fn a_root_that_was_not_asked_whether_it_is_done_cannot_say_so() -> Result {
    let process: Process = scripted("configure: done").start()?;
    assert_eq!(said(&process), ["done -> status 1"]);
    Ok(())
}
