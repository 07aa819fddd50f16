//! `gatepost demo`.

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
