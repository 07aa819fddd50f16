//! `gatepost verify`, with files as a user has them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const SECRET: &str = "my-secret";
/// The published vector of the scheme.
const SIGNATURE: &str = "5846e63e92eace31580d4c87e75255c05084bea61855b29df8f20efe5beda21f";

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

fn headers() -> String {
    format!("Host: a\r\nX-Webhook-Signature: {SIGNATURE}\r\nX-Webhook-Timestamp: 1700000000000\r\n")
}

fn verify(arguments: &[&str], stdin: Option<&Path>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.arg("verify").args(arguments).args(["--now", "2023-11-14T22:13:25Z"]).env("VERIFY_SECRET", SECRET);
    match stdin {
        Some(path) => command.stdin(fs::File::open(path).unwrap()),
        None => command.stdin(Stdio::null()),
    };
    let output = command.output().unwrap();
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    assert!(!String::from_utf8_lossy(&text).contains(SECRET), "the secret is shown");
    output
}

fn shown(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[test]
fn a_capture_is_verified_in_each_form_it_can_have() {
    let files = Files::new();
    let body = r#"{"event":"test"}"#;
    let whole = files.file("request", &format!("POST / HTTP/1.1\r\n{}\r\n{body}", headers()));
    let head = files.file("headers", &headers());
    let raw = files.file("body", body);
    let lines: Vec<String> = headers().lines().map(|line| format!("-H '{line}'")).collect();
    let curl = files.file("curl", &format!("curl http://a/ {} --data-raw '{body}'\n", lines.join(" ")));
    let path = |path: &'static str| files.0.path().join(path).display().to_string();
    let secret = ["--secret-env", "VERIFY_SECRET"];
    for (form, stdin) in [
        (vec!["--request", &path("request")], None),
        (vec!["--request", "-"], Some(&whole)),
        (vec!["--headers", &path("headers"), "--body", &path("body")], None),
        (vec!["--headers", "-", "--body", &path("body")], Some(&head)),
        (vec!["--headers", &path("headers"), "--body", "-"], Some(&raw)),
        (vec!["--curl", "-"], Some(&curl)),
    ] {
        let arguments: Vec<&str> = form.into_iter().chain(secret).collect();
        let output = verify(&arguments, stdin.map(PathBuf::as_path));
        let shown = shown(&output);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {shown}");
        assert!(shown.contains("matches secret 1 (env VERIFY_SECRET) of 1\nverified\n"), "{shown}");
    }
}

#[test]
fn a_changed_body_is_named_and_exits_1_and_json_says_the_same() {
    let files = Files::new();
    let request = files.file("request", &format!("{}\r\n{}\n", headers(), r#"{"event":"test"}"#));
    let request = request.display().to_string();
    let arguments = ["--request", &request, "--secret-env", "VERIFY_SECRET"];
    let output = verify(&arguments, None);
    assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
    assert!(shown(&output).contains("not verified\n  body_newline_added\n"), "{}", shown(&output));
    let output = verify(&[&arguments[..], &["--json", "--expected"]].concat(), None);
    assert_eq!(output.status.code(), Some(1));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["verified"], &json["findings"][0]["code"]), (&false.into(), &"body_newline_added".into()));
    assert_eq!(json["expected"][0]["value"].as_str().unwrap().len(), 64);
}

#[test]
fn one_line_end_of_a_secret_file_is_not_a_part_of_it() {
    let files = Files::new();
    let request = files.file("request", &format!("{}\r\n{}", headers(), r#"{"event":"test"}"#));
    let secret = files.file("secret", &format!("{SECRET}\n"));
    let arguments = ["--request", &request.display().to_string(), "--secret-file", &secret.display().to_string()];
    let output = verify(&arguments, None);
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
}

#[test]
fn what_cannot_be_read_exits_2_and_says_what() {
    let files = Files::new();
    let request = files.file("request", &format!("{}\r\n", headers())).display().to_string();
    let cut = files.file("cut", "whpk_AAAA").display().to_string();
    let broken = files.file("broken", "no header\n\nbody").display().to_string();
    for (arguments, says) in [
        (vec!["--request", &request], "--secret-env"),
        (vec!["--secret-env", "VERIFY_SECRET"], "--request"),
        (vec!["--headers", &request, "--secret-env", "VERIFY_SECRET"], "--body"),
        (vec!["--headers", "-", "--body", "-", "--secret-env", "VERIFY_SECRET"], "stdin can be read only once"),
        (vec!["--request", &request, "--secret-env", "NOT_SET_HERE"], "no variable of that name"),
        (vec!["--request", &request, "--secret-env", SECRET], "takes the name of an environment variable"),
        (vec!["--request", &request, "--secret-file", &cut], "it is no key of Ed25519: expected whpk_"),
        (vec!["--request", "/nonexistent/file", "--secret-env", "VERIFY_SECRET"], "/nonexistent/file: No such file"),
        (vec!["--request", &broken, "--secret-env", "VERIFY_SECRET"], "line 1 is not a header"),
        (vec!["--request", &request, "--secret-env", "VERIFY_SECRET", "--past", "soon"], "expected a duration"),
    ] {
        let output = verify(&arguments, None);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", shown(&output));
        assert!(shown(&output).contains(says), "{arguments:?}: {}", shown(&output));
    }
}
