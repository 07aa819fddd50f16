//! Subscriptions: which endpoints want an event type.
//!
//! Every pattern of every endpoint is a path in one trie over bytes, so a look-up costs the prefixes that match the
//! event type, whatever the number of endpoints. `*` and `**` are nodes with a loop for each byte that they take, which
//! makes the trie a small nondeterministic automaton: the look-up carries the set of nodes in which it may be.

use crate::ids::EndpointId;
use crate::index::insert_ascending;

/// A pattern has at most this many bytes, as an event type has.
pub const PATTERN_BYTES_MAX: usize = 128;

/// A pattern over event types: `*` stands for any run of characters without a dot, `**` for any run. Either run may be
/// empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPattern(Vec<PatternToken>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PatternToken {
    Byte(u8),
    Run(Run),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Run {
    Segment,
    Any,
}

impl Run {
    fn takes(self, byte: u8) -> bool {
        self == Self::Any || byte != b'.'
    }
}

impl EventPattern {
    /// Parses a pattern. The error says what is wrong.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("is empty");
        }
        if text.len() > PATTERN_BYTES_MAX {
            return Err("is longer than 128 characters");
        }
        if text.as_bytes().windows(3).any(|three| three == b"***") {
            return Err("has three stars in a row");
        }
        let mut tokens = Vec::new();
        let mut bytes = text.bytes().peekable();
        while let Some(byte) = bytes.next() {
            tokens.push(match byte {
                b'*' if bytes.next_if_eq(&b'*').is_some() => PatternToken::Run(Run::Any),
                b'*' => PatternToken::Run(Run::Segment),
                byte if crate::event_type::is_event_type_byte(byte) => PatternToken::Byte(byte),
                _ => return Err("has a character that no event type has"),
            });
        }
        Ok(Self(tokens))
    }
}

impl EventPattern {
    /// Whether the pattern begins with this text literally, without a `*`.
    pub fn begins_with(&self, text: &str) -> bool {
        self.0.len() >= text.len() && text.bytes().zip(&self.0).all(|(byte, token)| *token == PatternToken::Byte(byte))
    }
}

/// The subscriptions of all endpoints: their patterns in one trie.
#[derive(Debug)]
pub struct Subscriptions {
    /// Node 0 is the root.
    nodes: Vec<PatternNode>,
}

#[derive(Debug, Default)]
struct PatternNode {
    /// Set in the node of a `*` or `**`, which has a loop for each byte that this run takes.
    run: Option<Run>,
    /// The next nodes by byte, sorted.
    next: Vec<(u8, usize)>,
    segment: Option<usize>,
    any: Option<usize>,
    /// Endpoints with a pattern that ends here.
    ends: Vec<EndpointId>,
}

impl Subscriptions {
    /// Builds the trie from each endpoint's patterns, in the order of the config.
    pub fn build<'a>(endpoints: impl IntoIterator<Item = &'a [EventPattern]>) -> Self {
        let mut subscriptions = Self::of(&[]);
        for (id, patterns) in endpoints.into_iter().enumerate() {
            for pattern in patterns {
                subscriptions.insert(EndpointId(id), pattern);
            }
        }
        subscriptions
    }

    /// The subscriptions of one endpoint, under the number 0.
    pub fn of(patterns: &[EventPattern]) -> Self {
        let mut subscriptions = Self { nodes: vec![PatternNode::default()] };
        for pattern in patterns {
            subscriptions.insert(EndpointId(0), pattern);
        }
        subscriptions
    }

    /// The endpoints with a pattern that matches the event type, ascending.
    pub fn matching(&self, event_type: &str) -> Vec<EndpointId> {
        let mut here = Vec::new();
        let mut there = Vec::new();
        self.enter(0, &mut here);
        for byte in event_type.bytes() {
            for at in here.drain(..) {
                let Some(node) = self.nodes.get(at) else {
                    continue;
                };
                if node.run.is_some_and(|run| run.takes(byte)) {
                    self.enter(at, &mut there);
                }
                if let Some(child) = node.child(byte) {
                    self.enter(child, &mut there);
                }
            }
            std::mem::swap(&mut here, &mut there);
        }
        let ends = here.iter().filter_map(|at| self.nodes.get(*at)).flat_map(|node| &node.ends);
        let mut endpoints = Vec::new();
        ends.for_each(|endpoint| insert_ascending(&mut endpoints, *endpoint));
        endpoints
    }

    /// Adds a node to the set, and the runs that begin there, since a run may be empty.
    fn enter(&self, at: usize, set: &mut Vec<usize>) {
        let Some(node) = self.nodes.get(at) else {
            return;
        };
        // Only a run can be reached in two ways, by staying and by beginning; any other node has one way in.
        if node.run.is_some() && set.contains(&at) {
            return;
        }
        set.push(at);
        for run in [node.segment, node.any].into_iter().flatten() {
            self.enter(run, set);
        }
    }

    fn insert(&mut self, endpoint: EndpointId, pattern: &EventPattern) {
        let mut at = 0;
        for token in &pattern.0 {
            let fresh = self.nodes.len();
            let Some(node) = self.nodes.get_mut(at) else {
                return;
            };
            let (next, run) = match token {
                PatternToken::Byte(byte) => (node.child_or(*byte, fresh), None),
                PatternToken::Run(Run::Segment) => (*node.segment.get_or_insert(fresh), Some(Run::Segment)),
                PatternToken::Run(Run::Any) => (*node.any.get_or_insert(fresh), Some(Run::Any)),
            };
            if next == fresh {
                self.nodes.push(PatternNode { run, ..PatternNode::default() });
            }
            at = next;
        }
        if let Some(node) = self.nodes.get_mut(at) {
            node.ends.push(endpoint);
        }
    }
}

impl PatternNode {
    fn child(&self, byte: u8) -> Option<usize> {
        let found = self.next.binary_search_by_key(&byte, |(byte, _)| *byte).ok()?;
        self.next.get(found).map(|(_, child)| *child)
    }

    fn child_or(&mut self, byte: u8, fresh: usize) -> usize {
        self.child(byte).unwrap_or_else(|| {
            let at = self.next.partition_point(|(other, _)| *other < byte);
            self.next.insert(at, (byte, fresh));
            fresh
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matching(endpoints: &[&[&str]], event_type: &str) -> Vec<usize> {
        let parsed: Vec<Vec<EventPattern>> = endpoints
            .iter()
            .map(|patterns| patterns.iter().map(|text| EventPattern::parse(text).unwrap()).collect())
            .collect();
        let found = Subscriptions::build(parsed.iter().map(Vec::as_slice)).matching(event_type);
        found.into_iter().map(|id| id.0).collect()
    }

    /// The rule of patterns itself, by trying every length of each run.
    fn naive(pattern: &str, text: &str) -> bool {
        if let Some(rest) = pattern.strip_prefix("**") {
            return (0..=text.len()).any(|taken| naive(rest, &text[taken..]));
        }
        if let Some(rest) = pattern.strip_prefix('*') {
            let run = text.find('.').unwrap_or(text.len());
            return (0..=run).any(|taken| naive(rest, &text[taken..]));
        }
        match (pattern.split_at_checked(1), text.split_at_checked(1)) {
            (Some((wanted, pattern)), Some((found, text))) => wanted == found && naive(pattern, text),
            (None, None) => true,
            _ => false,
        }
    }

    #[test]
    fn one_star_stays_within_a_segment_and_two_cross_dots() {
        let endpoints: &[&[&str]] = &[&["payment_*"], &["match.**"], &["match.*"], &["**"], &["*.end"], &["match"]];
        assert_eq!(matching(endpoints, "payment_verified"), [0, 3]);
        assert_eq!(matching(endpoints, "payment_a.b"), [3]);
        assert_eq!(matching(endpoints, "match.goal"), [1, 2, 3]);
        assert_eq!(matching(endpoints, "match.goal.own"), [1, 3]);
        assert_eq!(matching(endpoints, "match.end"), [1, 2, 3, 4]);
        assert_eq!(matching(endpoints, "match"), [3, 5]);
    }

    #[test]
    fn an_endpoint_with_two_patterns_that_match_is_named_once() {
        assert_eq!(matching(&[&["a*", "*b", "ab"], &["ab", "ab"]], "ab"), [0, 1]);
    }

    #[test]
    fn no_endpoint_wants_what_no_pattern_matches() {
        assert_eq!(matching(&[&["a"], &["b.**"]], "c"), [0usize; 0]);
        assert_eq!(matching(&[], "c"), [0usize; 0]);
    }

    #[test]
    fn a_pattern_that_is_none_is_refused() {
        for text in ["", "***", "a b", "é", "a{b}", &"a".repeat(129)] {
            assert!(EventPattern::parse(text).is_err(), "{text:?}");
        }
        assert!(EventPattern::parse(&"a".repeat(128)).is_ok());
    }

    #[test]
    fn a_pattern_made_of_runs_takes_no_longer_than_its_length() {
        // A backtracking matcher would need 2^40 steps here.
        let pattern = "a*".repeat(40) + "b";
        assert_eq!(matching(&[&[&pattern]], &"a".repeat(128)), [0usize; 0]);
    }

    proptest! {
        #[test]
        fn the_automaton_agrees_with_the_rule(
            endpoints in prop::collection::vec(prop::collection::vec("([ab.]|\\*|\\*\\*[ab.]){1,6}", 1..4), 0..12),
            event_type in "[ab.]{0,8}",
        ) {
            let endpoints: Vec<Vec<&str>> = endpoints
                .iter()
                .map(|patterns| patterns.iter().map(String::as_str).filter(|text| !text.contains("***")).collect())
                .collect();
            let borrowed: Vec<&[&str]> = endpoints.iter().map(Vec::as_slice).collect();
            let expected: Vec<usize> = (0..endpoints.len())
                .filter(|id| endpoints[*id].iter().any(|pattern| naive(pattern, &event_type)))
                .collect();
            prop_assert_eq!(matching(&borrowed, &event_type), expected);
        }
    }
}
