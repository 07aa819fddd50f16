//! `gatepost secret`, and its fingerprint as others make it.

use std::io::Write;
use std::process::{Command, Output, Stdio};

const SECRET: &str = "a secret's text";

fn secret(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.arg("secret").args(arguments).env("ONE", SECRET).env("NONE", "");
    command.stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_secret_is_alone_on_stdout_and_never_the_same() {
    let (one, other) = (text(&secret(&[]).stdout), text(&secret(&[]).stdout));
    assert_ne!(one, other);
    let digits = one.strip_suffix('\n').unwrap();
    assert!(digits.len() == 64 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{digits}");
    let standard = text(&secret(&["--format", "whsec"]).stdout);
    assert!(standard.starts_with("whsec_") && standard.len() == "whsec_".len() + 44 + 1, "{standard}");
}

/// Of a pair the private key stands alone and the public one is made from it.
#[test]
fn private_key_is_printed_alone_and_yields_the_public_key() {
    let private = text(&secret(&["--format", "whsk"]).stdout);
    assert!(private.starts_with("whsk_") && private.lines().count() == 1 && !private.contains("whpk_"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    let output = command.args(["secret", "public", "--env", "KEY"]).env("KEY", private.trim_end()).output().unwrap();
    let public = text(&output.stdout);
    assert!(public.starts_with("whpk_") && public.len() == "whpk_".len() + 44 + 1, "{public}");
    assert!(!text(&output.stderr).contains("whsk_"), "{}", text(&output.stderr));
}

/// The line of `--help`, run by a shell with other tools.
#[test]
fn the_fingerprint_is_that_of_the_commands_in_its_help() {
    let ours = secret(&["fingerprint", "--env", "ONE"]);
    assert_eq!((ours.status.code(), text(&ours.stderr).as_str()), (Some(0), ""));
    let help = text(&secret(&["fingerprint", "--help"]).stdout);
    let lines: Vec<&str> = help.lines().map(str::trim).filter(|line| line.starts_with("{ printf")).collect();
    assert_eq!(lines.len(), 2, "{help}");
    for line in lines {
        let theirs = Command::new("sh").args(["-c", line]).env("SECRET", SECRET).output().unwrap();
        assert_eq!(text(&theirs.stdout), text(&ours.stdout), "{line}: {}", text(&theirs.stderr));
    }
}

#[test]
fn a_newline_at_the_end_does_not_count_and_is_told() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(format!("{SECRET}\n").as_bytes()).unwrap();
    let line = secret(&["fingerprint", "--file", &file.path().to_string_lossy()]);
    assert_eq!(line.stdout, secret(&["fingerprint", "--env", "ONE"]).stdout);
    assert!(text(&line.stderr).starts_with("note: the newline at the end was not counted"), "{}", text(&line.stderr));
}

/// What is no secret exits 2 and shows nothing of what was given.
#[test]
fn invalid_secret_exits_2_and_is_not_shown() {
    for (arguments, says) in [
        (vec!["fingerprint"], "the secret in stdin is empty"),
        (vec!["fingerprint", "--env", "NONE"], "the secret in $NONE is empty"),
        (vec!["fingerprint", "--env", "NOT_SET_HERE"], "no variable of that name"),
        (vec!["fingerprint", "--env", "hunter-2"], "takes the name of an environment variable"),
        (vec!["fingerprint", "--file", "/nonexistent/file"], "/nonexistent/file: No such file"),
        (vec!["public", "--env", "ONE"], "it does not begin with whsk_: expected a private key"),
        (vec!["public", "--env", "NONE"], "the secret in $NONE is empty"),
    ] {
        let output = secret(&arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(says) && !said.contains("hunter-2"), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty());
    }
}
