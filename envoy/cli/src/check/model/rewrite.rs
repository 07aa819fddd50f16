//! What a route of Envoy's makes of a path before it sends the request on, behind all filters.

use super::pattern::Pattern;
use crate::check::document::Node;

/// The rewrite of a route.
pub struct Rewrite<'a> {
    /// The entry of the config that rewrites the path; `None`: the path goes on as it came.
    pub node: Option<&'a Node>,
    kind: Kind<'a>,
}

enum Kind<'a> {
    None,
    /// The text that the route matched at the beginning of the path becomes another text; `None`: the whole path does.
    Prefix(Option<&'a str>, &'a str),
    Pattern(Pattern, String),
    /// A rewrite that is not followed here.
    Unread,
}

impl<'a> Rewrite<'a> {
    /// The rewrite of this route.
    pub fn of(route: &'a Node) -> Self {
        let keys = ["prefix_rewrite", "regex_rewrite", "path_rewrite_policy", "path_rewrite"];
        let found = keys.into_iter().find_map(|key| Some((key, route.at("route")?.get(key)?)));
        let found = found.filter(|(_, node)| node.as_text() != Some(""));
        let Some((key, node)) = found else { return Self { node: None, kind: Kind::None } };
        let kind = match key {
            "prefix_rewrite" => Some(Kind::Prefix(matched(route), node.as_text().unwrap_or_default())),
            "regex_rewrite" => Pattern::of_regex(node.text("pattern/regex"))
                .map(|pattern| Kind::Pattern(pattern, node.text("substitution").to_owned())),
            "path_rewrite_policy" => of_template(route, node),
            // A format of Envoy's, with values of the request behind '%'.
            _ => node.as_text().filter(|text| !text.contains('%')).map(|text| Kind::Prefix(None, text)),
        };
        Self { node: Some(node), kind: kind.unwrap_or(Kind::Unread) }
    }

    /// What becomes of a path that the route takes; `None` if that is not known.
    pub fn apply(&self, path: &str) -> Option<String> {
        match &self.kind {
            Kind::None => Some(path.to_owned()),
            Kind::Prefix(None, by) => Some((*by).to_owned()),
            Kind::Prefix(Some(taken), by) => {
                let (head, rest) = path.split_at_checked(taken.len())?;
                head.eq_ignore_ascii_case(taken).then(|| format!("{by}{rest}"))
            }
            Kind::Pattern(pattern, substitution) => Some(pattern.replace(path, substitution)),
            Kind::Unread => None,
        }
    }

    /// A path that becomes this one, if one is found.
    pub fn source(&self, path: &str) -> Option<String> {
        match &self.kind {
            Kind::None => Some(path.to_owned()),
            Kind::Prefix(Some(taken), by) => path.strip_prefix(by).map(|rest| format!("{taken}{rest}")),
            Kind::Pattern(pattern, substitution) => pattern.source_of(path, substitution),
            Kind::Prefix(None, _) | Kind::Unread => None,
        }
    }

    /// Whether some path may become this one, of which no [`source`](Self::source) is found.
    pub fn may_become(&self, path: &str) -> bool {
        match &self.kind {
            Kind::None | Kind::Prefix(Some(_), _) => false,
            Kind::Prefix(None, by) => *by == path,
            Kind::Pattern(pattern, substitution) => {
                let head = substitution.split('\\').next().unwrap_or_default();
                !pattern.is_anchored() || path.starts_with(head) || head.starts_with(path)
            }
            Kind::Unread => true,
        }
    }
}

/// The text that a route matches at the beginning of a path, if it is one.
fn matched(route: &Node) -> Option<&str> {
    let matching = route.get("match")?;
    ["prefix", "path_separated_prefix", "path"].into_iter().find_map(|key| matching.get(key)?.as_text())
}

fn of_template<'a>(route: &Node, policy: &Node) -> Option<Kind<'a>> {
    let (pattern, names) = Pattern::of_template(route.text("match/path_match_policy/typed_config/path_template"))?;
    let mut substitution = policy.text("typed_config/path_template_rewrite").to_owned();
    for (number, name) in names.iter().enumerate() {
        substitution = substitution.replace(&format!("{{{name}}}"), &format!("\\{}", number + 1));
    }
    let is_understood = !substitution.is_empty() && !substitution.contains('{');
    is_understood.then_some(Kind::Pattern(pattern, substitution))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::document::read;

    fn rewritten(route: &str, path: &str) -> Option<String> {
        Rewrite::of(&read(route).unwrap()).apply(path)
    }

    #[test]
    fn each_way_to_rewrite_a_path_is_followed() {
        let prefix = "{ match: { prefix: /Hooks/ }, route: { prefix_rewrite: /in/ } }";
        assert_eq!(rewritten(prefix, "/hooks/a").as_deref(), Some("/in/a"));
        let regex = r"{ route: { regex_rewrite: { pattern: { regex: '^/(a|b)$' }, substitution: '/$/\1' } } }";
        assert_eq!(rewritten(regex, "/b").as_deref(), Some("/$/b"));
        let template = "{ match: { path_match_policy: { typed_config: { path_template: '/{x}/{y=**}' } } },
            route: { path_rewrite_policy: { typed_config: { path_template_rewrite: '/{y}/{x}' } } } }";
        assert_eq!(rewritten(template, "/a/b/c").as_deref(), Some("/b/c/a"));
        assert_eq!(rewritten("{ route: { path_rewrite: /fixed } }", "/any").as_deref(), Some("/fixed"));
        assert_eq!(rewritten("{ route: { path_rewrite: '/%REQ(x-a)%' } }", "/any"), None);
        assert_eq!(rewritten("{ route: { prefix_rewrite: '' } }", "/any").as_deref(), Some("/any"));
    }
}
