use proptest::prelude::*;

use super::*;
use crate::path::{PathPattern, Router};

/// Whether a path is not plain, and some server takes it for `/hooks/pay`.
fn is_read_as_guarded(path: &[u8]) -> bool {
    match spelling(path) {
        Spelling::Plain(path) => without_extension(&path) == Some("/hooks/pay"),
        Spelling::Other(readings) => readings.contains("/hooks/pay"),
        Spelling::Unreadable => true,
    }
}

/// Whether a path is one that the router has, or some server takes it for one.
fn may_be_one_of(router: &Router, path: &[u8]) -> bool {
    match spelling(path) {
        Spelling::Plain(path) => router.find(&path).is_some(),
        Spelling::Other(readings) => readings.iter().any(|path| router.find(path).is_some()),
        Spelling::Unreadable => true,
    }
}

#[test]
fn plain_paths_have_one_reading() {
    for (path, reading) in [
        ("/", "/"),
        ("/hooks/pay", "/hooks/pay"),
        ("/Hooks/PAY/", "/hooks/pay"),
        ("/hooks/pay?x=/../%2e", "/hooks/pay"),
        ("/hooks/a%20b/in", "/hooks/a b/in"),
        ("/hooks/caf%C3%A9", "/hooks/caf\u{fffd}\u{fffd}"),
        ("/hooks/a:b@c,d'(e)*!$&+=~_-.f", "/hooks/a:b@c,d'(e)*!$&+=~_-.f"),
        ("/a/..b", "/a/..b"),
    ] {
        let Spelling::Plain(found) = spelling(path.as_bytes()) else { panic!("{path} is not plain") };
        assert_eq!(found, reading);
    }
}

/// Every row of the module's table, alone and together with others.
#[test]
fn what_servers_take_for_a_guarded_path_is_found() {
    for path in [
        "//x/hooks/pay",
        "///x/hooks/pay",
        "/\\x/hooks/pay",
        "\\\\x\\hooks\\pay",
        "//x:80/hooks/pay",
        "//u:p@x/hooks/pay",
        "//[::1]/hooks/pay",
        "http://x/hooks/pay",
        "https:\\\\x/hooks/pay",
        "http:///x//hooks/pay",
        "/%2Fx/hooks/pay",
        "%2F%2Fx/hooks/pay",
        "//x/%68ooks/pay",
        "//x/hooks%2fpay;a=b#c",
        "/hooks//pay",
        "/hooks/./pay",
        "/hooks/%2e/pay",
        "/hooks/pay//",
        "/hooks%2Fpay",
        "/hooks%5cpay",
        "/hooks\\pay",
        "hooks/pay",
        "/hooks/pay%20",
        "/hooks/%20pay",
        "/hooks/pay ",
        "/hooks/pay%09",
        "/hooks/pay%00",
        "/hooks/pay%00.png",
        "/hooks/pay%0a",
        "/hooks/p%0Aay",
        "/hooks/p\tay",
        "/hooks/pay%C2%A0",
        "/hooks/pay%e2%80%8b",
        "/hooks/pay.",
        "/hooks/pay...",
        "/hooks/pay.json",
        "/hooks/%2570ay",
        "/hooks/%252570ay",
        "/hooks%252Fpay",
        "/hooks/%u0070ay",
        "/hooks%u002fpay",
        "/hooks%c0%afpay",
        "/hooks%e0%80%afpay",
        "/hooks/%c1%b0ay",
        "/hooks%ef%bc%8fpay",
        "/hooks/%ef%bd%90ay",
        "/hooks/\u{ff50}ay",
        "/hooks;x/pay",
        "/;x/hooks/pay",
        "/hooks/pay;jsessionid=1",
        "/hooks/pay%3Bx",
        "/hooks/pay%3Fx=1",
        "/hooks/pay%23x",
        "/hooks/pay#x",
        "/hooks/../hooks/pay",
        "/hooks/%252e%252e/x",
        "/hooks/..;/x",
        "/hooks/.%2e%20/x",
        "/x/..%3f",
    ] {
        assert!(is_read_as_guarded(path.as_bytes()), "{path}: {:?}", spelling(path.as_bytes()));
    }
}

#[test]
fn other_paths_are_not_taken_for_a_guarded_one() {
    for path in [
        "/hooks/payment",
        "/x/hooks/pay",
        "/hooks/pay/x",
        "/hooks%2Fpayment",
        "/a;b/c",
        "//x/y",
        "/hooks/p%C3%A4y",
        "*",
    ] {
        assert!(!is_read_as_guarded(path.as_bytes()), "{path}: {:?}", spelling(path.as_bytes()));
    }
}

/// A capture takes a segment whole, whatever a server splits it at.
#[test]
fn segments_with_separators_in_them_are_kept() {
    for path in ["/hooks/a%2Fb\\in", "/hooks/a%5Cb\\in", "/hooks/a%2fb/in;x", "/hooks/;a/in", "/hooks/%20/in"] {
        let Spelling::Other(readings) = spelling(path.as_bytes()) else { panic!("{path}") };
        let is_taken = |path: &String| matches!(path.split('/').collect::<Vec<_>>()[..], ["", "hooks", _, "in"]);
        assert!(readings.iter().any(is_taken), "{path}: {readings:?}");
    }
}

#[test]
fn paths_beyond_the_bounds_are_not_read() {
    assert_eq!(spelling(format!("/%{}61", "25".repeat(ROUNDS + 1)).as_bytes()), Spelling::Unreadable);
    let long = format!("/{}", "a".repeat(LONGEST));
    assert!(matches!(spelling(long.as_bytes()), Spelling::Plain(_)));
    assert_eq!(spelling(format!("{long};").as_bytes()), Spelling::Unreadable);
}

#[test]
fn a_pattern_is_compared_by_its_plain_form() {
    for (pattern, reading) in
        [("/Hooks//{Tenant}/**", Some("/hooks/{tenant}/**")), ("/a/", Some("/a")), ("/", Some("/"))]
    {
        assert_eq!(of_pattern(pattern).as_deref(), reading, "{pattern}");
    }
    for pattern in ["/a/../b", "/a;b", "/a\\b", "/a%2fb", "/a.", "/%61"] {
        assert_eq!(of_pattern(pattern), None, "{pattern}");
    }
}

proptest! {
    #[test]
    fn any_path_is_read(path: Vec<u8>) {
        spelling(&path);
    }

    /// What is put in front of, between and behind the letters of a guarded path hides it from no reading.
    #[test]
    fn spellings_put_together_hide_no_path(
        start in "(/|//|/\\./|//x/|/%2e/|\\\\)",
        first in "(h|%68|%2568|H)ooks(;x)?",
        between in "(/|//|%2F|\\\\|/\\./|%255c)",
        last in "p(a|%61|%u0061)y",
        end in "(%20|%00|;y|/|%3Fz|\\.|#)",
    ) {
        let path = format!("{start}{first}{between}{last}{end}");
        let pattern = PathPattern::parse("/hooks/pay").unwrap();
        prop_assert!(may_be_one_of(&Router::build([(&pattern, [].as_slice())]), path.as_bytes()), "{path}");
    }

    /// A path that an event route matches as it came is guarded by a rule of the same pattern: a verified path may be an
    /// event route too.
    #[test]
    fn what_an_event_route_matches_is_guarded_too(
        path in "(/(a|b|A|;x|a;x|\\.|%61|a%2Fb|a%5cb|a\\\\b|a%3Fb|%23|\\*|é)?){1,4}(\\?x)?",
        pattern in "(/(a|b|\\{x\\}|\\{y\\})){1,4}(/\\*\\*)?",
    ) {
        let Ok(parsed) = PathPattern::parse(&pattern) else { return Ok(()) };
        let router = Router::build([(&parsed, [].as_slice())]);
        prop_assert!(router.lookup(&path).is_empty() || may_be_one_of(&router, path.as_bytes()), "{} {}", path, pattern);
    }

    #[test]
    fn capture_takes_any_segment_a_server_may_see(
        tenant in "(a|;x|a;x|%2F|a%2Fb|a%5cb|a\\\\b|a%3Fb|%23|%00|%20|é){1,3}",
    ) {
        let pattern = PathPattern::parse("/t/{tenant}/events").unwrap();
        let router = Router::build([(&pattern, [].as_slice())]);
        let path = format!("/T/{tenant}/%65vents/");
        prop_assert!(may_be_one_of(&router, path.as_bytes()), "{}", path);
    }
}
