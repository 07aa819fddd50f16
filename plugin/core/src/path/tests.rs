use proptest::prelude::*;

use super::*;

#[test]
fn a_pattern_that_is_none_is_refused() {
    let deep = "/a".repeat(SEGMENTS_MAX + 1);
    for pattern in
        ["", "a", "/a?b", "/a#b", "/a b", "/**/a", "/a**", "/a/*", "/a{b}", "/{}", "/{a}/{a}", "/{a b}", "/{a", &deep]
    {
        assert!(PathPattern::parse(pattern).is_err(), "{pattern}");
    }
}

/// Every spelling of a path is read as that path and a dot dot is not read.
#[test]
fn path_spellings_are_read_alike_and_dot_dot_is_refused() {
    for path in ["/a/b", "//A/./b/", "/%61/b?x=/../", "\\a/b;c=1/", "/a%2Fb#/..", "a;/%2e/b", "/a/b%5c", "/a/b%3Fx"] {
        assert!(readings(path.as_bytes()).unwrap().iter().any(|reading| reading == "/a/b"), "{path}");
    }
    for path in ["", "/", "//", "/./", "?a"] {
        assert_eq!(readings(path.as_bytes()).unwrap().first().map(String::as_str), Some("/"), "{path}");
    }
    for path in ["/a/..", "/a/%2e%2E/b", "/..;x/b", "/a\\..\\b", "/a/.%2e", "/a%2f..%2fb"] {
        assert_eq!(readings(path.as_bytes()), None, "{path}");
    }
    assert_eq!(readings(b"/a/..b/c...").unwrap(), ["/a/..b/c..."]);
    // A path is bytes: of those that are not ASCII only the number counts.
    assert_eq!(readings(b"/a\xff%C3%A9").unwrap().first(), readings("/a%ffé".as_bytes()).unwrap().first());
}

proptest! {
    /// A path that matches an event route's pattern as it came is also guarded by an inbound rule with that pattern: a
    /// verified path may be an event route too.
    #[test]
    fn what_the_raw_path_matches_is_guarded_too(
        path in "(/(a|b|A|;x|a;x|\\.|%61|a%2Fb|a%5cb|a\\\\b|a%3Fb|%23|\\*|é)?){1,4}(\\?x)?",
        pattern in "(/(a|b|\\{x\\}|\\{y\\})){1,4}(/\\*\\*)?",
    ) {
        let Ok(parsed) = PathPattern::parse(&pattern) else { return Ok(()) };
        let router = Router::build([(&parsed, [].as_slice())]);
        let is_event = !router.lookup(&path).is_empty();
        prop_assert!(!is_event || router.find(&readings(path.as_bytes()).unwrap()).is_some(), "{} {}", path, pattern);
    }

    /// A capture takes whatever an application may take for a segment.
    #[test]
    fn capture_takes_any_segment_an_application_may_see(
        tenant in "(a|;x|a;x|%2F|a%2Fb|a%5cb|a\\\\b|a%3Fb|%23|%00|é){1,3}",
    ) {
        let pattern = PathPattern::parse("/t/{tenant}/events").unwrap();
        let router = Router::build([(&pattern, [].as_slice())]);
        let path = format!("/T/{tenant}/%65vents/");
        prop_assert!(router.find(&readings(path.as_bytes()).unwrap()).is_some(), "{}", path);
    }
}
