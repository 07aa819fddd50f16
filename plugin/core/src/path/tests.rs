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
