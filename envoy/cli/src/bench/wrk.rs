//! The load, from `wrk`.

use std::io::Write;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// Is there a `wrk`?
///
/// # Errors
/// When there is none, with what to do about it.
pub fn check() -> Result<()> {
    // It knows no --version; without arguments it prints its help.
    Command::new("wrk").output().map(drop).context("wrk, which makes the load, is missing: apt install wrk")
}

/// Posts these bodies over and over, and gives back how many requests were answered 2xx: all of them.
///
/// # Errors
/// When any is answered otherwise, or a connection breaks.
pub fn run(url: &str, seconds: u32, connections: u32, bodies: &str) -> Result<u64> {
    let mut script = tempfile::NamedTempFile::with_suffix(".lua")?;
    script.write_all([SCRIPT, bodies].concat().as_bytes())?;
    let output = Command::new("wrk")
        .args(["--threads", "1", "--connections", &connections.to_string()])
        .args(["--duration", &format!("{seconds}s"), "--script"])
        .arg(script.path())
        .arg(url)
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "wrk: {text}{}", String::from_utf8_lossy(&output.stderr));
    let summary = text.lines().find_map(|line| line.strip_prefix("SUMMARY ")).context("wrk printed no summary")?;
    match summary.split(' ').map(str::parse::<u64>).collect::<Result<Vec<_>, _>>()?.as_slice() {
        [requests, 0, 0] => Ok(*requests),
        _ => bail!(
            "wrk saw errors; requests, statuses from 400, broken connections: {summary}. \
             With many --connections events come in faster than they go out, and a full queue answers 503"
        ),
    }
}

const SCRIPT: &str = r#"
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"

function body(size)
  return '{"filler":"' .. string.rep("x", size - 13) .. '"}'
end

function done(summary)
  local broken = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format("SUMMARY %d %d %d\n", summary.requests, summary.errors.status, broken))
end
"#;

/// Always the same body.
pub const ONE_KIB: &str = "wrk.body = body(1024)";

/// Each body for itself, from 64 B to 16 KiB, small ones more often.
pub const MIXED: &str = r"
function request()
  return wrk.format(nil, nil, nil, body(math.floor(64 * 2 ^ (8 * math.random() ^ 2))))
end
";
