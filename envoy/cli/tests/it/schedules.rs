//! The reports on a schedule that ship in `envoy/kubernetes` and `envoy/systemd`: they are run as they stand there.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result};
use gatepost_kit::workspace;
use serde_json::{Value, json};

use crate::site::{DEADLINE, Site};

/// A gateway whose objectives are all met.
fn healthy() -> Result<Site> {
    let site = Site::start(1, json!({}))?;
    // One after the other: all that are under way when the machine pauses are slow, and two of 25 miss the p95.
    for sent in 1..=25 {
        site.send(0, "payment_verified", 1)?;
        site.receiver.wait_for("billing", sent, DEADLINE)?;
    }
    site.wait_for_hours(0, "billing", 25)?;
    Ok(site)
}

/// The port of its admin surface.
fn admin_port(site: &Site) -> Result<String> {
    let surface = site.surfaces()?;
    let (_, rest) = surface.rsplit_once(':').context("a port")?;
    Ok(rest.split('/').next().unwrap_or_default().to_owned())
}

/// The bundles below a directory, each with how its text begins.
fn bundles(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for kind in fs::read_dir(directory)? {
        for bundle in fs::read_dir(kind?.path())? {
            let bundle = bundle?.path();
            assert!(
                fs::read_to_string(bundle.join("evidence.md"))?.contains("100.00 % (25 of 25 deliveries)"),
                "{bundle:?}"
            );
            found.push(bundle);
        }
    }
    found.sort();
    Ok(found)
}

fn ended_well(what: &str, output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {said}{}", String::from_utf8_lossy(&output.stdout));
}

fn text_at<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer} in {value}"))
}

/// Each cron job does its work against a gateway behind a service.
#[test]
fn each_cron_job_works_against_a_gateway_behind_a_service() -> Result<()> {
    let site = healthy()?;
    let directory = tempfile::tempdir()?;
    let bin = directory.path().join("bin");
    fs::create_dir(&bin)?;
    symlink(env!("CARGO_BIN_EXE_gatepost"), bin.join("gatepost"))?;
    // What a cluster's DNS says of a headless Service with one Pod.
    let lines = "#!/bin/sh\n[ \"$2\" = gatepost-admin ] && printf '127.0.0.1 STREAM x\\n127.0.0.1 DGRAM\\n'\n";
    fs::write(bin.join("getent"), lines)?;
    ended_well("chmod", &Command::new("chmod").arg("+x").arg(bin.join("getent")).output()?);

    let text = fs::read_to_string(workspace::root()?.join("envoy/kubernetes/reports.yaml"))?;
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text)?;
    let of_kind = |kind: &str| documents.iter().filter(|one| one["kind"] == kind).cloned().collect::<Vec<_>>();
    let scripts = directory.path().join("scripts");
    fs::create_dir(&scripts)?;
    for (name, script) in of_kind("ConfigMap")[0]["data"].as_object().context("data")? {
        fs::write(scripts.join(name), script.as_str().context("a script")?)?;
    }
    let jobs = of_kind("CronJob");
    let schedules: Vec<&str> = jobs.iter().map(|job| text_at(job, "/spec/schedule")).collect();
    assert_eq!(schedules, ["5 * * * *", "*/15 * * * *", "10 */6 * * *"]);
    let evidence = directory.path().join("evidence");
    fs::create_dir(&evidence)?;
    for job in &jobs {
        let name = text_at(job, "/metadata/name");
        let container = &job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0];
        let words = ["/command/0", "/command/1", "/args/0"].map(|pointer| text_at(container, pointer));
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
        for variable in container["env"].as_array().context("env")? {
            let value = match text_at(variable, "/name") {
                "GATEPOST_PORT" => admin_port(&site)?,
                "GATEPOST_SCRIPTS" => scripts.display().to_string(),
                "GATEPOST_EVIDENCE" => evidence.display().to_string(),
                "GATEPOST_ADMIN_TOKEN" => "demo-admin-demo-admin-demo-admin".to_owned(),
                _ => text_at(variable, "/value").to_owned(),
            };
            command.env(text_at(variable, "/name"), value);
        }
        ended_well(name, &command.output()?);
        // A Service without a Pod is no report of nothing.
        let output = command.env("GATEPOST_SERVICE", "nobody").output()?;
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "no gateway behind nobody\n");
    }
    assert_eq!(bundles(&evidence)?.len(), 3);
    Ok(())
}

/// A unit's lines, continued ones in one, with what systemd would put for its specifiers.
fn unit(name: &str, replacements: &[(&str, &str)]) -> Result<String> {
    let text = fs::read_to_string(workspace::root()?.join("envoy/systemd").join(name))?.replace("\\\n", " ");
    Ok(replacements.iter().fold(text, |text, (from, to)| text.replace(from, to)))
}

#[test]
fn each_service_does_its_work_on_the_machine_of_a_gateway() -> Result<()> {
    let site = healthy()?;
    let directory = tempfile::tempdir()?;
    let path = |name: &str| directory.path().join(name).display().to_string();
    fs::write(path("admin-token"), "demo-admin-demo-admin-demo-admin\n")?;
    fs::write(path("envoy.log"), site.gateways[0].log()?)?;
    fs::write(path("envoy.yaml"), site.config().to_string())?;
    fs::create_dir_all(path("state/gatepost"))?;
    let (log, config, state, credentials) = (path("envoy.log"), path("envoy.yaml"), path("state"), path(""));
    let admin = site.gateways[0].admin_address()?;
    let replacements = [
        ("/usr/local/bin/gatepost", env!("CARGO_BIN_EXE_gatepost")),
        ("/var/log/envoy/envoy.log", &log),
        ("/etc/envoy/envoy.yaml", &config),
        ("127.0.0.1:9901", &admin),
        ("%%", "\u{0}"),
        ("$$", "$"),
        ("%d", &credentials),
        ("%S", &state),
        ("\u{0}", "%"),
    ];
    for name in ["gatepost-hourly.service", "gatepost-scan.service", "gatepost-bundle.service"] {
        let unit = unit(name, &replacements)?;
        for command in unit.lines().filter_map(|line| line.strip_prefix("ExecStart=")) {
            // Of what systemd would do with quotes in these lines a shell does the same; `{}` is find's own.
            let mut shell = Command::new("sh");
            shell.args(["-c", &command.replace("{}", "'{}'")]).env_clear().env("PATH", "/usr/bin:/bin");
            let output = shell.env("GATEPOST_GATEWAYS", site.surfaces()?).output()?;
            ended_well(&format!("{name}: {command}"), &output);
        }
    }
    assert_eq!(bundles(Path::new(&path("state/gatepost")))?.len(), 3);
    Ok(())
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut units = Vec::new();
    for entry in fs::read_dir(workspace::root()?.join("envoy/systemd"))? {
        let name = entry?.file_name().into_string().ok().context("a name")?;
        let text = fs::read_to_string(workspace::root()?.join("envoy/systemd").join(&name))?;
        let path = directory.path().join(&name);
        // It looks whether the binary is there.
        fs::write(&path, text.replace("/usr/local/bin/gatepost", env!("CARGO_BIN_EXE_gatepost")))?;
        units.push(path);
    }
    assert_eq!(units.len(), 6);
    let output = match Command::new("systemd-analyze").arg("verify").args(&units).output() {
        Ok(output) => output,
        Err(error) => {
            eprintln!("not verified: no systemd-analyze here ({error})");
            return Ok(());
        }
    };
    ended_well("systemd-analyze verify", &output);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "it warns of nothing");
    Ok(())
}
