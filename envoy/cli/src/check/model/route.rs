//! A route of an Envoy config: which paths it takes, and which filters run on it.

use crate::check::document::Node;

/// A route, from the whole to the part: its table, its virtual host, itself.
pub struct Route<'a>(pub [&'a Node; 3]);

impl<'a> Route<'a> {
    /// Its entry.
    pub fn node(&self) -> &'a Node {
        let Self([_, _, route]) = self;
        route
    }

    /// What to call it.
    pub fn path(&self) -> String {
        let [_, host, route] = self.0;
        let name = Some(route.text("name")).filter(|name| !name.is_empty());
        let name = name.map_or_else(|| format!("of line {}", route.line()), str::to_owned);
        format!("route {name} of virtual host {}", host.text("name"))
    }

    /// What the nearest level says about a filter.
    fn settings(&self, filter: &str) -> Option<&Node> {
        let levels = self.0.iter().rev();
        let mut settings = levels.filter_map(|level| {
            let entries = level.get("typed_per_filter_config")?.entries();
            entries.iter().find(|(name, _)| name == filter).map(|(_, settings)| settings)
        });
        settings.next()
    }

    /// Whether a filter of the chain runs here.
    pub fn runs(&self, filter: &Node) -> bool {
        match self.settings(filter.text("name")) {
            None => !filter.is_true("disabled"),
            Some(settings) => {
                // RBAC is switched off by rules that are none.
                let is_empty_rbac = settings.text("@type").ends_with(".RBACPerRoute") && settings.get("rbac").is_none();
                !settings.is_true("disabled") && !is_empty_rbac
            }
        }
    }
}

/// A path that a pattern of the filter's takes.
pub fn sample(pattern: &str) -> String {
    let segments = pattern.split('/').map(|segment| {
        let is_any = segment == "**" || segment.starts_with('{');
        if is_any { "sample" } else { segment }
    });
    segments.collect::<Vec<_>>().join("/")
}

/// Whether a route of Envoy's takes a path.
#[derive(Debug, PartialEq, Eq)]
pub enum Fit {
    /// It does not.
    No,
    /// It asks for more than a path, or for a path in words that are not understood here.
    Maybe,
    /// It does.
    Yes,
}

impl Fit {
    /// Of a route's `match`.
    pub fn of(rule: &Node, path: &str) -> Self {
        let is_any_case = rule.is_false("case_sensitive");
        let cased = |text: &str| if is_any_case { text.to_ascii_lowercase() } else { text.to_owned() };
        let path = cased(path);
        let text = |key| rule.get(key).and_then(Node::as_text).map(cased);
        let is_under =
            |prefix: String| path.strip_prefix(&prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let prefix = text("prefix").map(|prefix| path.starts_with(&prefix));
        let separated = || text("path_separated_prefix").map(is_under);
        let exact = || text("path").map(|exact| path == exact);
        let conditions = ["headers", "query_parameters", "runtime_fraction", "dynamic_metadata", "filter_state"];
        match prefix.or_else(separated).or_else(exact) {
            Some(false) => Self::No,
            Some(true) if !conditions.iter().any(|condition| rule.get(condition).is_some()) => Self::Yes,
            _ => Self::Maybe,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::document::read;

    fn fit(rule: &str, path: &str) -> Fit {
        Fit::of(&read(rule).unwrap(), path)
    }

    #[test]
    fn a_route_takes_the_paths_its_match_says() {
        assert_eq!(fit("prefix: /ev", "/events/sample"), Fit::Yes);
        assert_eq!(fit("path_separated_prefix: /events", "/events/sample"), Fit::Yes);
        assert_eq!(fit("path_separated_prefix: /ev", "/events/sample"), Fit::No);
        assert_eq!(fit("path: /events", "/events/sample"), Fit::No);
        assert_eq!(fit("path: /events", "/events"), Fit::Yes);
        assert_eq!(fit("path: /Events", "/events"), Fit::No);
        assert_eq!(fit("{path: /Events, case_sensitive: false}", "/eventS"), Fit::Yes);
    }

    #[test]
    fn route_with_header_or_regex_match_is_a_maybe() {
        assert_eq!(fit("{prefix: /, headers: [{name: x-a, present_match: true}]}", "/events"), Fit::Maybe);
        assert_eq!(fit("safe_regex: {regex: '/events/.*'}", "/events"), Fit::Maybe);
    }

    #[test]
    fn a_sample_of_a_pattern_has_something_for_each_capture() {
        assert_eq!(sample("/tenants/{tenant}/events/**"), "/tenants/sample/events/sample");
    }
}
