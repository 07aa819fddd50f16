//! Patterns of paths in an Envoy config: regular expressions (RE2), and the templates of `uri_template`.

use regex::Regex;

/// A pattern that stands for whole paths, or for parts of them.
pub struct Pattern {
    source: String,
    regex: Regex,
}

impl Pattern {
    /// A regular expression as Envoy has it; `None` if it is not understood here.
    pub fn of_regex(source: &str) -> Option<Self> {
        Some(Self { source: source.to_owned(), regex: Regex::new(source).ok()? })
    }

    /// A template such as `/hooks/{tenant}/**` for whole paths, and the names in it.
    pub fn of_template(template: &str) -> Option<(Self, Vec<&str>)> {
        let (mut source, mut names, mut rest) = ("^".to_owned(), Vec::new(), template);
        while let Some(letter) = rest.chars().next() {
            rest = rest.get(letter.len_utf8()..)?;
            match letter {
                '{' => {
                    let (inside, behind) = rest.split_once('}')?;
                    let (name, value) = inside.split_once('=').unwrap_or((inside, "*"));
                    names.push(name);
                    source.push_str(&format!("({})", wildcards(value)));
                    rest = behind;
                }
                '*' if rest.starts_with('*') => {
                    source.push_str(".*");
                    rest = rest.get(1..)?;
                }
                '*' => source.push_str("[^/]+"),
                _ => source.push_str(&regex::escape(&letter.to_string())),
            }
        }
        source.push('$');
        Some((Self::of_regex(&source)?, names))
    }

    /// Whether it stands for a whole path.
    pub fn is_whole(&self, path: &str) -> bool {
        self.regex.find_iter(path).any(|found| found.as_str() == path)
            || Regex::new(&format!("^(?:{})$", self.source)).is_ok_and(|whole| whole.is_match(path))
    }

    /// The path with each match replaced; the substitution has `\1` for what the first group took.
    pub fn replace(&self, path: &str, substitution: &str) -> String {
        self.regex.replace_all(path, in_our_words(substitution)).into_owned()
    }

    /// Whether what it matches begins where the path does.
    pub fn is_anchored(&self) -> bool {
        self.source.starts_with('^')
    }

    /// A path that the substitution makes this one of, if one is found.
    pub fn source_of(&self, path: &str, substitution: &str) -> Option<String> {
        let mut form = String::from("^");
        let mut groups: Vec<u32> = Vec::new();
        let mut letters = substitution.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '\\' => match letters.next()?.to_digit(10) {
                    Some(group) if !groups.contains(&group) => {
                        groups.push(group);
                        form.push_str(&format!("(?P<g{group}>.*)"));
                    }
                    Some(_) => form.push_str(".*"),
                    None => form.push_str(r"\\"),
                },
                letter => form.push_str(&regex::escape(&letter.to_string())),
            }
        }
        let form = Regex::new(&format!("{form}(?P<rest>.*)$")).ok()?;
        let taken = form.captures(path)?;
        let of_group = |group: u32| taken.name(&format!("g{group}")).map(|found| found.as_str());
        let source = format!("{}{}", self.sample(&of_group)?, taken.name("rest")?.as_str());
        (self.replace(&source, substitution) == path).then_some(source)
    }

    /// What it matches, with these texts for its groups; `None` if it is more than literals, groups and simple wildcards.
    fn sample<'a>(&self, of_group: &dyn Fn(u32) -> Option<&'a str>) -> Option<String> {
        let source = self.source.strip_prefix('^').unwrap_or(&self.source);
        let mut rest = source.strip_suffix('$').unwrap_or(source);
        let (mut made, mut group) = (String::new(), 0);
        while let Some(letter) = rest.chars().next() {
            let wildcard = [".*", ".+", "[^/]+", "[^/]*"].into_iter().find(|wildcard| rest.starts_with(wildcard));
            if let Some(wildcard) = wildcard {
                made.push_str("sample");
                rest = rest.strip_prefix(wildcard)?;
            } else if let Some(inside) = rest.strip_prefix('(').filter(|inside| !inside.starts_with('?')) {
                let (_, behind) = inside.split_once(')').filter(|(inside, _)| !inside.contains('('))?;
                group += 1;
                made.push_str(of_group(group).unwrap_or("sample"));
                rest = behind;
            } else if let Some(escaped) = rest.strip_prefix('\\') {
                let letter = escaped.chars().next().filter(char::is_ascii_punctuation)?;
                made.push(letter);
                rest = escaped.strip_prefix(letter)?;
            } else if "[]{}()|*+?^$".contains(letter) {
                return None;
            } else {
                made.push(letter);
                rest = rest.strip_prefix(letter)?;
            }
        }
        Some(made)
    }
}

/// The wildcards in the value of a template's name.
fn wildcards(value: &str) -> String {
    regex::escape(value).replace(r"\*\*", ".*").replace(r"\*", "[^/]+")
}

/// RE2 writes `\1`, and this library `${1}`.
fn in_our_words(substitution: &str) -> String {
    let mut words = String::new();
    let mut letters = substitution.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '$' => words.push_str("$$"),
            '\\' => match letters.next() {
                Some(digit) if digit.is_ascii_digit() => words.push_str(&format!("${{{digit}}}")),
                other => words.extend(other),
            },
            letter => words.push(letter),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(pattern: &str, substitution: &str, path: &str) -> Option<String> {
        Pattern::of_regex(pattern).unwrap().source_of(path, substitution)
    }

    /// The source of a rewritten path is one that the rewrite really makes it of.
    #[test]
    fn the_source_of_a_rewritten_path_is_found() {
        let found = |pattern, substitution| source(pattern, substitution, "/webhooks/partner");
        assert_eq!(found(r"^/hooks/(.*)$", r"/webhooks/\1").as_deref(), Some("/hooks/partner"));
        assert_eq!(found(r"^/v[0-9]+/(.*)$", r"/webhooks/\1"), None);
        assert_eq!(found(r"/hooks", r"/webhooks").as_deref(), Some("/hooks/partner"));
        assert_eq!(found(r"^/([^/]+)/([^/]+)$", r"/\2/\1").as_deref(), Some("/partner/webhooks"));
        assert_eq!(found(r"^/in\.php$", r"/webhooks/partner").as_deref(), Some("/in.php"));
        assert_eq!(found(r"^/hooks/(.*)$", r"/internal/\1"), None);
    }

    #[test]
    fn a_template_is_a_pattern_of_whole_paths() {
        let (pattern, names) = Pattern::of_template("/hooks/{tenant}/{rest=**}").unwrap();
        assert_eq!(names, ["tenant", "rest"]);
        assert!(pattern.is_whole("/hooks/a/b/c") && !pattern.is_whole("/hooks/a") && !pattern.is_whole("/x/hooks/a/b"));
        assert_eq!(pattern.replace("/hooks/a/b/c", r"/\1/in/\2"), "/a/in/b/c");
    }

    #[test]
    fn a_regular_expression_takes_whole_paths() {
        let pattern = Pattern::of_regex("/a|/ab").unwrap();
        assert!(pattern.is_whole("/ab") && !pattern.is_whole("/abc"));
    }
}
