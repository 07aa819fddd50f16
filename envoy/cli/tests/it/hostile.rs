//! What a gateway, a receiver, a payload, a log and files say reaches a terminal as text, in every command; and readers
//! that leave, and files that cannot be read.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::{fs, thread};

use gatepost_core::printable::is_printable;
use serde_json::{Value, json};

use crate::command::gatepost;

/// Clears the screen, colours, turns what follows around, forges a line, links, hides.
const HOSTILE: &str = "a\u{1b}[2J\u{1b}]8;;http://x\u{7}\u{9b}31m\u{202e}\u{2066}\u{200f}\u{61c}\u{2028}\u{85}\u{7f}\r\nok: forged\u{200b}\u{feff}";

/// A gateway, a receiver and an Envoy's admin interface whose every word is hostile.
fn hostile() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(answer(stream))));
    format!("http://{address}/gatepost")
}

fn answer(stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut line, mut first, mut length) = (String::new(), String::new(), 0);
    while stream.read_line(&mut line)? > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or_default();
        }
        if first.is_empty() {
            first.clone_from(&line);
        }
        line.clear();
    }
    stream.read_exact(&mut vec![0; length])?;
    let words: Vec<&str> = first.split(' ').collect();
    let is_looked_at = words.first() == Some(&"GET") || first.contains("redeliver");
    let (status, body) = if is_looked_at { (200, told(words.get(1).unwrap_or(&""))) } else { (409, problem()) };
    let body = body.to_string();
    let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.get_mut().write_all(format!("{head}{body}").as_bytes())
}

fn problem() -> Value {
    json!({"title": HOSTILE, "status": 409, "detail": HOSTILE, "instance": HOSTILE, "id": HOSTILE,
           "deliveries": [{"endpoint": HOSTILE, "status": HOSTILE}], "findings": [{"kind": HOSTILE, "pointer": HOSTILE}]})
}

fn told(path: &str) -> Value {
    let process = json!({"instance": HOSTILE, "started_at": "2026-11-25T10:00:00Z", "version": HOSTILE});
    let event = json!({"id": HOSTILE, "event": HOSTILE, "endpoint": HOSTILE, "status": HOSTILE, "reason": HOSTILE,
        "accepted_at": "2026-11-25T12:00:00Z", "attempts": [
            {"at": "2026-11-25T12:00:00Z", "outcome": HOSTILE, "response_status": 503, "ms": 1},
            {"at": "2026-11-25T12:00:02Z", "outcome": HOSTILE, "response_status": 503, "ms": 1}]});
    let endpoint = json!({"name": HOSTILE, "disabled": true, "disabled_by": HOSTILE, "breaker": {"state": HOSTILE},
        "rollout": {"percent": 5, "state": "rolled_back", "reason": HOSTILE, "detail": HOSTILE}});
    let more = match path {
        path if path.contains("dead-letters") => {
            json!({"dead_letters": [], "total": 2, "redelivered": 1, "skipped": 1})
        }
        path if path.contains("deliveries") => json!({"deliveries": [event]}),
        path if path.contains("hours") => json!({"hours": []}),
        path if path.contains("server_info") => json!({"version": format!("{HOSTILE}/{HOSTILE}/x")}),
        _ => json!({"state": HOSTILE, "reason": HOSTILE, "now": "2026-11-25T12:00:00Z", "role": HOSTILE, "workers": 1,
                    "pending": 3, "dead_letters": 2, "endpoints": [endpoint]}),
    };
    let mut all = process;
    let more = more.as_object().unwrap().clone();
    all.as_object_mut().unwrap().extend(more);
    all
}

/// Sees that nothing in what a command printed acts on a terminal, and that no line of it is somebody else's.
fn is_text(command: &[&str], output: &Output) {
    for bytes in [&output.stdout, &output.stderr] {
        let text = str::from_utf8(bytes).unwrap();
        let bad: Vec<char> = text.chars().filter(|character| *character != '\n' && !is_printable(*character)).collect();
        assert!(bad.is_empty(), "{command:?}: {bad:?} in {text:?}");
        assert!(!text.lines().any(|line| line.trim_start().starts_with("ok: forged")), "{command:?}: {text}");
    }
}

#[test]
fn a_hostile_gateway_is_told_as_text_by_every_command() {
    let (surface, directory) = (hostile(), tempfile::tempdir().unwrap());
    let (origin, out) = (surface.trim_end_matches("/gatepost"), directory.path().join("out"));
    let file = |name: &str, content: &str| {
        let path = directory.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_string_lossy().into_owned()
    };
    let log = format!(
        "[2026-11-25 12:31:57.123][1][info][wasm] wasm log gatepost gatepost gatepost: event=admin reason={}\n",
        serde_json::to_string(HOSTILE).unwrap()
    );
    let record = json!([{"wall": 1e9, "id": HOSTILE, "problem": null, "body": "", "headers": [["x-webhook-event", HOSTILE], [HOSTILE, "x"]]}]);
    let (log, records) = (file("\u{202e}envoy.log", &log), file("records.json", &record.to_string()));
    let config = file("envoy.json", &json!({"endpoints": [{HOSTILE: 1, "name": HOSTILE, "url": HOSTILE}]}).to_string());
    let request = file(
        "request",
        &format!("POST / HTTP/1.1\r\nX-Webhook-Timestamp: {}\r\n\r\n{HOSTILE}", HOSTILE.replace(['\r', '\n'], "")),
    );
    let out = out.to_string_lossy().into_owned();
    let (url, admin) = (format!("{origin}/hook"), format!("{origin}/x"));
    let commands: Vec<Vec<&str>> = vec![
        vec!["watch", "--once", "--interval", "100ms"],
        vec!["watch", "--once", "--interval", "100ms", "--json"],
        vec!["off", "--yes"],
        vec!["on", "--json"],
        vec!["pause"],
        vec!["rollout", "5"],
        vec!["rollout", "promote", "--json"],
        vec!["redeliver"],
        vec!["redeliver", "--delivery", "x.y"],
        vec!["drain", "--yes", "--timeout", "1s"],
        vec![
            "evidence",
            "--for",
            "168h",
            "--out",
            &out,
            "--logs",
            &log,
            "--records",
            &records,
            "--envoy-admin",
            &admin,
        ],
        vec!["evidence", "--json", "--out", &out, "--assert"],
        vec!["send", "paid", "--gateway", &url],
        vec!["send", "paid", "--gateway", &url, "--json"],
        vec!["preflight", "--url", &url, "--secret-env", "SECRET", "--within", "1s"],
        vec!["preflight", "--url", &url, "--secret-env", "SECRET", "--config", &config, "--json"],
        vec!["smoke", "--gateway", origin, "--admin", &surface, "--listen", "127.0.0.1:0", "--secret-env", "SECRET"],
        vec!["check", &config],
        vec!["check", &config, "--json"],
        vec!["verify", "--request", &request, "--secret-env", "SECRET"],
        vec!["verify", "--request", &request, "--secret-env", "SECRET", "--json", "--expected"],
        vec!["verify", "--curl", &request, "--secret-env", "SECRET"],
    ];
    for command in commands {
        let env = [("GATEPOST_ADMIN_TOKEN", "token"), ("SECRET", "s3cret"), ("GATEPOST_GATEWAYS", surface.as_str())];
        let output = gatepost(&command, &env);
        is_text(&command, &output);
        assert!(!(output.stdout.is_empty() && output.stderr.is_empty()), "{command:?} said nothing");
        if command.contains(&"--json") {
            assert!(serde_json::from_slice::<Value>(&output.stdout).is_ok(), "{command:?}");
        }
    }
    for name in ["evidence.md", "evidence.json", "chart.svg"] {
        let text = fs::read_to_string(format!("{out}/{name}")).unwrap();
        assert!(text.chars().all(|character| character == '\n' || is_printable(character)), "{name}: {text:?}");
    }
}

/// The receiver shows what strangers send.
#[test]
fn a_hostile_sender_is_told_as_text_by_the_receiver() {
    for more in [&[][..], &["--json"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
        command.args(["receiver", "--listen", "127.0.0.1:0", "--secret-env", "SECRET"]).args(more);
        command.env("SECRET", "s3cret").stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let (mut line, mut said) = (String::new(), BufReader::new(process.stderr.take().unwrap()));
        said.read_line(&mut line).unwrap();
        let address = line.strip_prefix("listening on http://").unwrap().split(' ').next().unwrap().to_owned();
        let head = "POST /%1b%5b2J HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nx-webhook-event: \u{9b}31m\u{202e}x\r\nx-webhook-id: \u{85}\u{2066}y\r\n\r\n{}";
        TcpStream::connect(address).unwrap().write_all(head.as_bytes()).unwrap();
        let (mut line, mut told) = (String::new(), BufReader::new(process.stdout.take().unwrap()));
        told.read_line(&mut line).unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
        assert!(line.trim_end_matches('\n').chars().all(is_printable), "{line:?}");
    }
}

/// A reader that leaves, such as `head`, is no failure: a command does what it was asked to, and its code says so.
#[test]
fn a_closed_pipe_changes_no_exit_code() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gatepost.json");
    // More to say than a pipe holds.
    let keys: serde_json::Map<String, Value> =
        (0..3000).map(|number| (format!("unknown_key_{number}"), json!(1))).collect();
    fs::write(&file, json!({"enabled": true, "routes": [keys]}).to_string()).unwrap();
    let file = file.to_string_lossy();
    let surface = hostile();
    for (arguments, code) in [
        (vec!["check", &file], 1),
        (vec!["check", &file, "--json"], 1),
        (vec!["secret"], 0),
        (vec!["watch", "--once", "--interval", "100ms", "--gateway", &surface], 0),
        (vec!["watch", "--json", "--interval", "100ms", "--gateway", &surface], 0),
        (vec!["redeliver", "--gateway", "http://127.0.0.1:1/gatepost"], 1),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
        command.args(&arguments).env("GATEPOST_ADMIN_TOKEN", "token").stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        drop(process.stdout.take());
        let output = process.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(!said.contains("panicked") && !said.contains("Broken pipe"), "{arguments:?}: {said}");
    }
    // Nobody reads what is said besides either.
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    let mut process = command.args(["check", &file]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    drop(process.stderr.take());
    assert_eq!(process.wait().unwrap().code(), Some(1));
}

/// One rule for all commands: 2, and the name of what cannot be read.
#[test]
fn what_cannot_be_read_ends_with_2_in_every_command() {
    let none = "/nonexistent/file";
    let mut request = tempfile::NamedTempFile::new().unwrap();
    request.write_all(b"POST / HTTP/1.1\r\nX: y\r\n\r\n{}").unwrap();
    let request = request.path().to_string_lossy();
    let url = "http://127.0.0.1:1/hook";
    for arguments in [
        vec!["check", none],
        vec!["secret", "fingerprint", "--file", none],
        vec!["secret", "public", "--file", none],
        vec!["verify", "--request", none, "--secret-env", "SECRET"],
        vec!["verify", "--curl", none, "--secret-env", "SECRET"],
        vec!["verify", "--headers", none, "--body", none, "--secret-env", "SECRET"],
        vec!["verify", "--request", &request, "--secret-file", none],
        vec!["receiver", "--secret-file", none],
        vec!["receiver", "--scheme", "github", "--secret-file", none],
        vec!["send", "paid", "--data", "@/nonexistent/file"],
        vec!["send", "--url", url, "--scheme", "github", "--secret-file", none],
        vec!["preflight", "--url", url, "--secret-file", none],
        vec!["preflight", "--url", url, "--secret-env", "SECRET", "--body", none],
        vec!["preflight", "--url", url, "--secret-env", "SECRET", "--ca", none],
        vec!["evidence", "--out", "/tmp", "--config", none],
        vec!["evidence", "--out", "/tmp", "--logs", none],
        vec!["evidence", "--out", "/tmp", "--records", none],
        vec!["watch", "--once", "--token-file", none],
        vec!["off", "--token-file", none],
    ] {
        let output = gatepost(&arguments, &[("SECRET", "s3cret")]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(none) && said.contains("No such file"), "{arguments:?}: {said}");
    }
}

/// White space at an end is refused with where it is, never what; one line end of a file is not part of it.
#[test]
fn white_space_at_the_ends_of_a_secret_is_refused_everywhere() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = directory.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_string_lossy().into_owned()
    };
    let (padded, ended) = (file("padded", "s3cret \n"), file("ended", "s3cret\r\n"));
    let request = file("request", "POST / HTTP/1.1\r\nX: y\r\n\r\n{}");
    let url = "http://127.0.0.1:1/hook";
    let with = |words: &[&str], option: &str, value: &str| -> Vec<String> {
        words.iter().copied().chain([option, value]).map(str::to_owned).collect()
    };
    let commands = [
        (vec!["verify", "--request", &request], "--secret-env", Some("--secret-file")),
        (vec!["preflight", "--url", url], "--secret-env", Some("--secret-file")),
        (vec!["send", "--url", url, "--scheme", "github"], "--secret-env", Some("--secret-file")),
        (vec!["receiver", "--listen", "203.0.113.1:1"], "--secret-env", Some("--secret-file")),
        (vec!["receiver", "--listen", "203.0.113.1:1", "--scheme", "github"], "--secret-env", Some("--secret-file")),
        (vec!["secret", "fingerprint"], "--env", Some("--file")),
        (vec!["send", "paid", "--gateway", url], "--token-env", None),
        (vec!["watch", "--once", "--gateway", "http://127.0.0.1:1/gatepost"], "--token-env", Some("--token-file")),
        (vec!["smoke", "--gateway", "http://127.0.0.1:1"], "--secret-env", None),
        (vec!["evidence", "--out", "/tmp"], "--secret-env", None),
    ];
    for (words, of_variable, of_file) in commands {
        for value in ["s3cret\n", "s3cret\r\n", " s3cret", "s3cret\t", "s3cret\u{a0}"] {
            let arguments = with(&words, of_variable, "GIVEN");
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let output = gatepost(&arguments, &[("GIVEN", value), ("GATEPOST_ADMIN_TOKEN", "t")]);
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{arguments:?} {value:?}: {said}");
            assert!(said.contains("$GIVEN begins or ends with white space"), "{arguments:?} {value:?}: {said}");
            assert!(!said.contains("s3cret"), "{said}");
        }
        let Some(of_file) = of_file else { continue };
        let said = |path: &str| {
            let arguments = with(&words, of_file, path);
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            String::from_utf8_lossy(&gatepost(&arguments, &[]).stderr).into_owned()
        };
        assert!(said(&padded).contains("padded begins or ends with white space"), "{words:?}: {}", said(&padded));
        assert!(!said(&ended).contains("white space"), "{words:?}: {}", said(&ended));
    }
}
