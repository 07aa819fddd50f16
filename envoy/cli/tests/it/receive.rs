//! `gatepost receiver`, as a process of its own.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use gatepost_core::secret::Secret;
use gatepost_core::signature::timestamped::sign;
use gatepost_core::time::WallTime;
use serde_json::{Value, json};

use crate::command::gatepost;

/// Base64 too, as scheme standard has it.
const SECRET: &str = "aSecretOfTheUsual32LettersAsText";

struct Running {
    process: Child,
    url: String,
    lines: Lines<BufReader<ChildStdout>>,
    /// Kept open: what is said there must not fail.
    _said: BufReader<std::process::ChildStderr>,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
        command.args(["receiver", "--listen", "127.0.0.1:0", "--secret-env", "SECRET"]).args(arguments);
        command.env("SECRET", SECRET).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut said = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        let address = line.strip_prefix("listening on ").and_then(|rest| rest.split_once(' ')).unwrap().0;
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, url: address.to_owned(), lines, _said: said }
    }

    /// Posts a signed event; gives back the status.
    fn post(&self, id: &str, age_ms: u64, secret: &str) -> u16 {
        let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64 - age_ms;
        let secret = Secret::new(secret.as_bytes().to_vec()).unwrap();
        let signature = sign(&secret, WallTime::from_millis(millis), b"{}");
        let request =
            gatepost_kit::http::client().post(format!("{}/hook", self.url)).header("x-webhook-signature", signature);
        let request = request.header("x-webhook-timestamp", millis.to_string()).header("x-webhook-id", id);
        let request = request.header("x-webhook-event", "payment_verified").header("x-webhook-attempt", "1");
        request.send("{}").unwrap().status().as_u16()
    }

    fn line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }

    fn json(&mut self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Each webhook is a line that says whether it verified or why not.
#[test]
fn each_webhook_is_a_line_with_its_verdict() {
    let mut receiver = Running::start(&["--path", "/hook"]);
    for (id, age_ms, secret, status, said) in [
        ("one", 0, SECRET, 200, "attempt 1  200  verified"),
        ("one", 0, SECRET, 200, "attempt 1  200  verified; duplicate: this id was taken before"),
        ("two", 600_000, SECRET, 401, "401  refused: too old: signed 60"),
        ("three", 0, "another", 401, "401  refused: x-webhook-signature: does not match; the secret, the body"),
    ] {
        assert_eq!(receiver.post(id, age_ms, secret), status);
        let line = receiver.line();
        assert!(line.contains(said) && line.contains(id) && line.contains("payment_verified"), "{line}");
        assert!(!line.contains('\u{1b}'), "no colour in a pipe: {line:?}");
    }
    let status = gatepost_kit::http::client().post(format!("{}/other", receiver.url)).send("{}").unwrap().status();
    assert_eq!(status, 404);
    assert!(receiver.line().ends_with("404  refused: no webhooks at /other, only at /hook"));
}

#[test]
fn failures_come_on_demand_also_while_it_runs() {
    let mut receiver = Running::start(&["--json", "--fail", "1", "--status", "500"]);
    assert_eq!([receiver.post("one", 0, SECRET), receiver.post("one", 0, SECRET)], [500, 200]);
    let (first, second) = (receiver.json(), receiver.json());
    assert_eq!((&first["verdict"], &first["status"]), (&json!("verified"), &json!(500)), "{first}");
    assert_eq!((&second["verdict"], &second["status"]), (&json!("verified"), &json!(200)), "{second}");

    let mode = format!("{}/-/mode", receiver.url);
    let http = gatepost_kit::http::client();
    let changed = http.put(&mode).send(r#"{"fail": 2, "retry_after": 5}"#).unwrap();
    assert_eq!(changed.status(), 200);
    assert_eq!(receiver.post("two", 0, SECRET), 503);
    let left: Value = http.get(&mode).call().unwrap().body_mut().read_json().unwrap();
    assert_eq!(left, json!({"fail": 1, "retry_after": 5}));

    let mut refused = http.put(&mode).send(r#"{"stauts": 503}"#).unwrap();
    assert_eq!(refused.status(), 400);
    assert!(refused.body_mut().read_to_string().unwrap().contains("unknown field `stauts`"));

    let records: Vec<Value> =
        http.get(format!("{}/-/records?since=2", receiver.url)).call().unwrap().body_mut().read_json().unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0], receiver.json());
}

#[test]
fn each_scheme_is_verified_and_the_same_message_is_a_duplicate() {
    for scheme in ["timestamped", "standard", "github", "stripe", "slack"] {
        let mut receiver = Running::start(&["--json", "--scheme", scheme]);
        let url = format!("{}/hook", receiver.url);
        let arguments = ["send", "--url", &url, "--scheme", scheme, "--secret-env", "SECRET", "--data", BODY];
        let same = ["--id", "0b7e2f3c-5d1a-4c8e-9f60-3a2b1c0d9e8f", "--count", "2"];
        gatepost(&[&arguments[..], &same].concat(), &[("SECRET", SECRET)]);
        let (first, second) = (receiver.json(), receiver.json());
        let verdicts = (&first["verdict"], &second["verdict"]);
        assert_eq!(verdicts, (&json!("verified"), &json!("duplicate")), "{scheme}: {first} {second}");
        assert_eq!((&first["event"], &first["id"]), (&json!("gatepost.ping"), &json!(same[1])), "{scheme}: {first}");
        gatepost(&arguments, &[("SECRET", "YW5vdGhlcg==")]);
        assert_eq!(receiver.json()["status"], 401, "{scheme}");
    }
}

/// With an id where Stripe and where Slack have one.
const BODY: &str = r#"{"object": "event", "type": "event_callback", "id": "1", "event_id": "1"}"#;

#[test]
fn without_a_secret_it_does_not_start() {
    let output = gatepost(&["receiver"], &[]);
    assert_eq!(output.status.code(), Some(2), "a mistake in the command line");
    let output = gatepost(&["receiver", "--secret-env", "NO_SUCH_SECRET"], &[]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said, "error: --secret-env: the environment has no variable of that name\n");
}
