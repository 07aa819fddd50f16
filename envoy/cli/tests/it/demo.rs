//! `gatepost demo`.

use gatepost_kit::etcd;

use crate::command::gatepost;

#[test]
fn the_demo_shows_twenty_verified_deliveries_and_exits_0() {
    let output = gatepost(&["demo"], &[]);
    let (shown, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{shown}{said}");
    assert!(shown.contains("\n20 of 20 deliveries verified by the receiver\n"), "{shown}");
    assert_eq!(shown.lines().filter(|line| line.ends_with(" 1        verified")).count(), 20, "{shown}");
}

/// Without an Envoy that runs the demo says which one it tried and exits 1.
#[test]
fn demo_without_a_working_envoy_names_it_and_exits_1() {
    let output = gatepost(&["demo"], &[("ENVOY", "/nonexistent/envoy")]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("error: $ENVOY is /nonexistent/envoy: it does not start: No such file"), "{said}");
}

/// Two gateways on a real etcd, one of them killed under load: every accepted event arrives.
#[test]
fn fleet_demo_loses_nothing_and_exits_0() {
    if etcd::find().is_err() && !std::env::var("CI").is_ok_and(|value| value == "true") {
        eprintln!("SKIPPED: the demo of a fleet needs etcd; install etcd-server");
        return;
    }
    let output = gatepost(&["demo", "--fleet"], &[]);
    let (shown, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{shown}{said}");
    assert!(shown.ends_with(" accepted events arrived at 2 endpoints, verified by the receiver\n"), "{shown}");
    for gateway in ["gateway-1, killed", "gateway-1-again", "gateway-2"] {
        assert!(shown.lines().any(|line| line.starts_with(&format!("{gateway} "))), "{shown}");
    }
}

/// Without an etcd the demo says at once which one it tried, and how to come by one.
#[test]
fn fleet_demo_without_etcd_says_how_to_get_one() {
    let output = gatepost(&["demo", "--fleet"], &[("ETCD", "/nonexistent/etcd")]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let expected = "error: $ETCD is /nonexistent/etcd: no etcd to run; expected etcd 3.4 or later on the PATH (Debian's and \
                    Ubuntu's package etcd-server: `apt-get install etcd-server`), or in ETCD the path of one";
    assert!(said.starts_with(expected), "{said}");
}
