//! A route of an Envoy config: which paths it takes, and which filters run on it.

use super::pattern::Pattern;
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

    /// What the nearest level says about a filter; `target` is a level too, if the route has several.
    pub fn settings(&self, filter: &str, target: Option<&'a Node>) -> Option<&'a Node> {
        let levels = target.into_iter().chain(self.0.into_iter().rev());
        let mut settings = levels.filter_map(|level| {
            let entries = level.get("typed_per_filter_config")?.entries();
            entries.iter().find(|(name, _)| name == filter).map(|(_, settings)| settings)
        });
        settings.next()
    }

    /// The value of a key of the route's action, else of its virtual host, else of its table: as mirrors and retries are
    /// looked up.
    pub fn policy(&self, key: &str) -> Option<&'a Node> {
        let [table, host, route] = self.0;
        let levels = [route.get("route"), Some(host), Some(table)];
        levels.into_iter().flatten().find_map(|level| level.get(key))
    }

    /// Whether a filter of the chain runs here, whichever of its clusters the route chooses.
    pub fn runs(&self, filter: &Node) -> bool {
        let targets = targets(self.node());
        if targets.is_empty() {
            self.runs_to(filter, None)
        } else {
            targets.iter().all(|to| self.runs_to(filter, to.entry))
        }
    }

    /// Whether a filter of the chain runs here when the route chooses this cluster.
    pub fn runs_to(&self, filter: &Node, target: Option<&'a Node>) -> bool {
        match self.settings(filter.text("name"), target) {
            None => !filter.is_true("disabled"),
            Some(settings) => {
                // RBAC is switched off by rules that are none.
                let is_empty_rbac = settings.text("@type").ends_with(".RBACPerRoute") && settings.get("rbac").is_none();
                !settings.is_true("disabled") && !is_empty_rbac
            }
        }
    }
}

/// A cluster that a route sends to.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// Its name; of one that the request names or a plugin chooses, what names that.
    pub name: &'a str,
    /// Whether the name is that of a cluster.
    pub is_cluster: bool,
    /// Its entry among weighted clusters.
    pub entry: Option<&'a Node>,
}

/// The clusters a route sends to, where it sends anywhere.
pub fn targets(route: &Node) -> Vec<Target<'_>> {
    let Some(action) = route.get("route") else { return Vec::new() };
    let mut found = Vec::new();
    for (node, entry, cluster) in std::iter::once((action, None, "cluster"))
        .chain(action.list("weighted_clusters/clusters").iter().map(|node| (node, Some(node), "name")))
    {
        for (key, is_cluster) in [(cluster, true), ("cluster_header", false), ("cluster_specifier_plugin", false)] {
            if !node.text(key).is_empty() {
                found.push(Target { name: node.text(key), is_cluster, entry });
            }
        }
    }
    if action.get("inline_cluster_specifier_plugin").is_some() {
        found.push(Target { name: "inline_cluster_specifier_plugin", is_cluster: false, entry: None });
    }
    found
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
        let taken = Self::by_path(rule, path);
        let conditions = [
            "headers",
            "query_parameters",
            "cookies",
            "grpc",
            "tls_context",
            "runtime_fraction",
            "dynamic_metadata",
            "filter_state",
        ];
        match taken {
            Some(false) => Self::No,
            Some(true) if !conditions.iter().any(|condition| rule.get(condition).is_some()) => Self::Yes,
            _ => Self::Maybe,
        }
    }

    /// Whether its path alone would do; `None` where that is said in words that are not understood here.
    pub fn by_path(rule: &Node, path: &str) -> Option<bool> {
        let is_any_case = rule.is_false("case_sensitive");
        let cased = |text: &str| if is_any_case { text.to_ascii_lowercase() } else { text.to_owned() };
        let path = cased(path);
        let text = |key| rule.get(key).and_then(Node::as_text).map(cased);
        let is_under =
            |prefix: String| path.strip_prefix(&prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let prefix = text("prefix").map(|prefix| path.starts_with(&prefix));
        let separated = || text("path_separated_prefix").map(is_under);
        let exact = || text("path").map(|exact| path == exact);
        let regex = || rule.at("safe_regex/regex").and_then(Node::as_text).and_then(Pattern::of_regex);
        let template = || {
            let template = rule.at("path_match_policy/typed_config/path_template")?.as_text()?;
            Pattern::of_template(template).map(|(pattern, _)| pattern)
        };
        let whole = || regex().or_else(template).map(|pattern| pattern.is_whole(&path));
        let tunnel = || rule.get("connect_matcher").map(|_| false);
        prefix.or_else(separated).or_else(exact).or_else(tunnel).or_else(whole)
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
    fn route_with_header_or_unread_match_is_a_maybe() {
        assert_eq!(fit("{prefix: /, headers: [{name: x-a, present_match: true}]}", "/events"), Fit::Maybe);
        assert_eq!(fit("safe_regex: {regex: '(?<=/)events'}", "/events"), Fit::Maybe);
        assert_eq!(fit("path_match_policy: {typed_config: {value: 1}}", "/events"), Fit::Maybe);
    }

    #[test]
    fn regular_expressions_and_templates_take_whole_paths() {
        assert_eq!(fit("safe_regex: {regex: '/events/.*'}", "/events/a"), Fit::Yes);
        assert_eq!(fit("safe_regex: {regex: '/events/.*'}", "/x/events/a"), Fit::No);
        assert_eq!(fit("path_match_policy: {typed_config: {path_template: '/events/{e}'}}", "/events/a"), Fit::Yes);
        assert_eq!(fit("connect_matcher: {}", "/events/a"), Fit::No);
    }

    #[test]
    fn a_sample_of_a_pattern_has_something_for_each_capture() {
        assert_eq!(sample("/tenants/{tenant}/events/**"), "/tenants/sample/events/sample");
    }
}
