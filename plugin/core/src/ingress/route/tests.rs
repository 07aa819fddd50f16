use proptest::prelude::*;

use super::*;

/// A route by its pattern, methods and headers.
type Rule<'a> = (&'a str, &'a [&'a str], &'a [(&'a str, &'a str)]);

struct Table(Routes);

impl Table {
    fn new(rules: &[Rule<'_>]) -> Self {
        let pairs = |headers: &[(&str, &str)]| -> Vec<(String, String)> {
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let route = |(path, methods, headers): &Rule<'_>| {
            let route = Route {
                name: (*path).to_owned(),
                methods: methods.iter().map(|method| (*method).to_owned()).collect(),
                headers: pairs(headers),
                event: Template::parse("event", &[]).unwrap(),
                event_type: EventTypeMap::default(),
                payload: Payload::Raw,
                ack: Ack::Accepted,
                durability: crate::journal::Durability::Memory,
                endpoints: None,
                idempotency_scope: None,
            };
            (route, PathPattern::parse(path).unwrap())
        };
        Self(Routes::new(rules.iter().map(route).collect()))
    }

    fn paths(paths: &[&str]) -> Self {
        let rules: Vec<Rule<'_>> = paths.iter().map(|path| (*path, &["POST"][..], &[][..])).collect();
        Self::new(&rules)
    }

    fn select(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Selection {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        self.0.select(path, method, &Headers::new(&headers))
    }

    /// The pattern that a POST to this path matches, with its captures.
    fn post(&self, path: &str) -> Option<(&str, Vec<String>)> {
        match self.select("POST", path, &[]) {
            Selection::Event { route, captures } => Some((&self.0[route.0].name, captures)),
            _ => None,
        }
    }
}

fn hit<'a>(pattern: &'a str, captures: &[&str]) -> Option<(&'a str, Vec<String>)> {
    Some((pattern, captures.iter().map(|capture| (*capture).to_owned()).collect()))
}

/// A literal goes before a capture and a capture before any rest.
#[test]
fn literal_beats_capture_and_capture_beats_rest() {
    let table = Table::paths(&["/**", "/a/{x}", "/a/b", "/a/{x}/c", "/a/b/**", "/{y}/b/d"]);
    assert_eq!(table.post("/a/b"), hit("/a/b", &[]));
    assert_eq!(table.post("/a/z"), hit("/a/{x}", &["z"]));
    assert_eq!(table.post("/a/b/c"), hit("/a/b/**", &[]));
    assert_eq!(table.post("/a/z/c"), hit("/a/{x}/c", &["z"]));
    assert_eq!(table.post("/z/b/d"), hit("/{y}/b/d", &["z"]));
    assert_eq!(table.post("/elsewhere/at/all"), hit("/**", &[]));
}

#[test]
fn a_dead_end_on_the_specific_branch_falls_back() {
    let table = Table::paths(&["/a/b/c", "/{x}/b/d", "/a/**"]);
    assert_eq!(table.post("/a/b/c"), hit("/a/b/c", &[]));
    assert_eq!(table.post("/a/b/d"), hit("/a/**", &[]));
    assert_eq!(table.post("/a/b/e"), hit("/a/**", &[]));
    assert_eq!(table.post("/z/b/d"), hit("/{x}/b/d", &["z"]));
    assert_eq!(table.post("/z/b/e"), None);
}

#[test]
fn what_follows_two_stars_may_be_nothing() {
    let table = Table::paths(&["/hooks/**", "/", "/exact/"]);
    for path in ["/hooks", "/hooks/", "/hooks/a", "/hooks/a/b?c=/d"] {
        assert_eq!(table.post(path), hit("/hooks/**", &[]), "{path}");
    }
    assert_eq!(table.post("/"), hit("/", &[]));
    assert_eq!(table.post("/exact/"), hit("/exact/", &[]));
    for path in ["/hooksy", "/exact", "/other", "", "*", "hooks"] {
        assert_eq!(table.post(path), None, "{path}");
        assert!(table.0.router.lookup(path).is_empty(), "{path}");
    }
}

/// A capture is one segment that is not empty, percent-decoded.
#[test]
fn capture_is_one_nonempty_decoded_segment() {
    let table = Table::paths(&["/events/{event}", "/{kind}/{id}/end"]);
    assert_eq!(table.post("/events/match%3Agoal?x=1"), hit("/events/{event}", &["match:goal"]));
    assert_eq!(table.post("/events/%ff%"), hit("/events/{event}", &["%ff%"]));
    assert_eq!(table.post("/k/7/end"), hit("/{kind}/{id}/end", &["k", "7"]));
    assert_eq!(table.post("/events/"), None);
    assert_eq!(table.post("/events/a/b"), None);
}

/// Of the routes on one path the first whose headers and method fit is taken.
#[test]
fn first_route_with_fitting_headers_and_method_is_taken() {
    let table = Table::new(&[
        ("/e", &["POST"], &[("x-tenant", "acme"), ("x-kind", "a")]),
        ("/e", &["POST"], &[("x-tenant", "acme")]),
        ("/e", &["PUT"], &[]),
        ("/e", &["POST"], &[("x-tenant", "other")]),
    ]);
    let event = |route| Selection::Event { route: RouteId(route), captures: Vec::new() };
    assert_eq!(table.select("POST", "/e", &[("x-kind", "a"), ("x-tenant", "acme")]), event(0));
    assert_eq!(table.select("POST", "/e", &[("x-tenant", "acme")]), event(1));
    assert_eq!(table.select("PUT", "/e", &[("x-tenant", "acme")]), event(2));
    assert_eq!(table.select("POST", "/e", &[("x-tenant", "other")]), event(3));
    let twice = [("x-tenant", "other"), ("x-tenant", "other")];
    let allow = vec!["PUT".to_owned()];
    assert_eq!(table.select("POST", "/e", &twice), Selection::MethodNotAllowed { allow });
}

/// A wrong method is told the methods of the routes whose headers fit.
#[test]
fn wrong_method_is_told_methods_of_fitting_routes() {
    let table = Table::new(&[
        ("/e/{x}", &["POST", "PUT"], &[]),
        ("/e/**", &["PATCH", "PUT"], &[]),
        ("/e/**", &["DELETE"], &[("x-tenant", "acme")]),
    ]);
    let allow = |methods: &[&str]| Selection::MethodNotAllowed {
        allow: methods.iter().map(|method| (*method).to_owned()).collect(),
    };
    assert_eq!(table.select("GET", "/e/a", &[]), allow(&["POST", "PUT", "PATCH"]));
    assert_eq!(table.select("GET", "/e/a", &[("x-tenant", "acme")]), allow(&["POST", "PUT", "PATCH", "DELETE"]));
    assert_eq!(table.select("post", "/e", &[]), allow(&["PATCH", "PUT"]));
}

/// A request without the headers of any route is no event, whatever its method.
#[test]
fn request_without_any_routes_headers_is_no_event() {
    let table = Table::new(&[("/e", &["POST"], &[("x-tenant", "acme")])]);
    assert!(!table.0.router.lookup("/e").is_empty());
    assert_eq!(table.select("POST", "/e", &[]), Selection::NoRoute);
    assert_eq!(table.select("GET", "/e", &[("x-tenant", "other")]), Selection::NoRoute);
}

/// A request that the specific pattern cannot serve is left to the less specific one.
#[test]
fn specific_pattern_that_cannot_serve_falls_back() {
    let table = Table::new(&[("/e/a", &["PUT"], &[]), ("/e/{x}", &["POST"], &[])]);
    assert_eq!(
        table.select("POST", "/e/a", &[]),
        Selection::Event { route: RouteId(1), captures: vec!["a".to_owned()] }
    );
}

/// Whether the pattern matches, segment by segment.
fn naive(pattern: &str, path: &str) -> bool {
    let (pattern, rest) = pattern.strip_suffix("/**").map_or((pattern, false), |pattern| (pattern, true));
    let wanted: Vec<&str> = pattern.split('/').collect();
    let found: Vec<&str> = path.split('/').collect();
    (found.len() == wanted.len() || rest && found.len() > wanted.len())
        && wanted
            .iter()
            .zip(&found)
            .all(|(wanted, found)| wanted == found || wanted.starts_with('{') && !found.is_empty())
}

/// The rank of a pattern, where more specific patterns sort first: by segment, a literal, a capture, an end, any rest.
fn rank(pattern: &str) -> Vec<u8> {
    let segments = pattern.split('/').skip(1).map(|segment| match segment.as_bytes() {
        b"**" => 3,
        [b'{', ..] => 1,
        _ => 0,
    });
    segments.chain([2]).collect()
}

proptest! {
    #[test]
    fn the_trie_finds_the_most_specific_pattern_that_matches(
        patterns in prop::collection::btree_set("(/([ab]|\\{[x]\\})){1}(/([ab]|\\{[y]\\})){0,1}(/[ab]){0,1}(/\\*\\*)?", 0..12),
        path in "(/[abc]?){1,4}",
    ) {
        let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
        let expected = patterns.iter().filter(|pattern| naive(pattern, &path)).min_by_key(|pattern| rank(pattern));
        let table = Table::paths(&patterns);
        prop_assert_eq!(table.post(&path).map(|(pattern, _)| pattern), expected.copied());
    }
}
