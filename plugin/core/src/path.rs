//! Paths: patterns in a trie, the headers that go with them, and the ways in which a path can be read.
//!
//! A look-up walks the trie along the path, segment by segment, and finds the routes of one pattern by the header
//! values that they ask for: its cost does not grow with the number of routes. At each segment a literal goes before a
//! capture and a capture before `/**`; a request that the more specific pattern cannot serve is left to the less
//! specific one.
//!
//! A look-up takes two steps, so that a request that matches nothing costs a look at its path and nothing else:
//! [`Router::lookup`] with the path, then [`Router::with_headers`] for each pattern that this found.

use percent_encoding::percent_decode_str;

use crate::headers::Headers;
use crate::index::{Index, insert_ascending};

mod pattern;
pub mod readings;

use pattern::Segment;
pub use pattern::{PathPattern, SEGMENTS_MAX};

/// A router: a trie of path patterns, whose routes are numbered in the order of the config.
#[derive(Debug, Default)]
pub struct Router {
    /// Node 0 is the root.
    nodes: Vec<PathNode>,
}

#[derive(Debug, Default)]
struct PathNode {
    literals: Index,
    capture: Option<usize>,
    /// Routes whose pattern ends here.
    exact: Leaf,
    /// Routes whose pattern has `/**` here.
    rest: Leaf,
}

/// The routes of one pattern: a group for each set of header names that routes ask for.
type Leaf = Vec<Group>;

#[derive(Debug)]
struct Group {
    names: Vec<String>,
    /// The place in `routes` of the routes that ask for these header values, by [`Group::key`].
    values: Index,
    /// The routes' ids, ascending: a list for each set of header values.
    routes: Vec<Vec<usize>>,
}

/// A pattern that matches a path.
#[derive(Clone, Debug)]
pub struct Candidate {
    node: usize,
    rest: bool,
    /// The values of the pattern's captures, percent-decoded, in the order of the path.
    pub captures: Vec<String>,
}

impl Router {
    /// Builds the trie from each route's pattern and required headers (names in lower case, sorted), in the order of
    /// the config.
    pub fn build<'a>(routes: impl IntoIterator<Item = (&'a PathPattern, &'a [(String, String)])>) -> Self {
        let mut router = Self { nodes: vec![PathNode::default()] };
        for (id, (pattern, headers)) in routes.into_iter().enumerate() {
            router.insert(id, pattern, headers);
        }
        router
    }

    /// The patterns that match a request's `:path`, the most specific first. The query is left out.
    pub fn lookup(&self, path: &str) -> Vec<Candidate> {
        self.candidates(path.split_once(['?', '#']).map_or(path, |(path, _)| path))
    }

    fn candidates(&self, path: &str) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        if let Some(path) = path.strip_prefix('/') {
            self.walk(0, Some(path), &mut Vec::new(), &mut candidates);
        }
        candidates
    }

    /// The first route that matches a [reading](readings) of a path, where routes ask for no headers: that of the most
    /// specific pattern.
    pub fn find(&self, reading: &str) -> Option<usize> {
        let candidates = self.candidates(reading).into_iter();
        candidates.flat_map(|candidate| self.with_headers(&candidate, &Headers::default())).next()
    }

    /// The candidate's routes whose headers all equal the request's, in the order of the config.
    pub fn with_headers(&self, candidate: &Candidate, headers: &Headers) -> Vec<usize> {
        let Some(node) = self.nodes.get(candidate.node) else {
            return Vec::new();
        };
        let leaf = if candidate.rest { &node.rest } else { &node.exact };
        let mut ids = Vec::new();
        for group in leaf {
            let routes = group.routes_for(headers).unwrap_or_default();
            routes.iter().for_each(|id| insert_ascending(&mut ids, *id));
        }
        ids
    }

    /// Collects the patterns at and below `node` that match `path`: the rest of a path after the segments that led to
    /// `node`, `None` when no segment is left.
    fn walk<'p>(&self, node: usize, path: Option<&'p str>, captured: &mut Vec<&'p str>, found: &mut Vec<Candidate>) {
        let Some(here) = self.nodes.get(node) else {
            return;
        };
        if let Some(path) = path {
            let (segment, tail) = match path.split_once('/') {
                Some((segment, tail)) => (segment, Some(tail)),
                None => (path, None),
            };
            if let Some(child) = here.literals.get(segment.as_bytes()) {
                self.walk(child, tail, captured, found);
            }
            if let Some(child) = here.capture
                && !segment.is_empty()
            {
                captured.push(segment);
                self.walk(child, tail, captured, found);
                captured.pop();
            }
        } else if !here.exact.is_empty() {
            found.push(Candidate::new(node, false, captured));
        }
        if !here.rest.is_empty() {
            found.push(Candidate::new(node, true, captured));
        }
    }

    fn insert(&mut self, id: usize, pattern: &PathPattern, headers: &[(String, String)]) {
        let mut at = 0;
        for segment in &pattern.segments {
            let fresh = self.nodes.len();
            let Some(node) = self.nodes.get_mut(at) else {
                return;
            };
            at = match segment {
                Segment::Literal(text) => node.literals.get_or_insert(text.as_bytes(), fresh),
                Segment::Capture => *node.capture.get_or_insert(fresh),
            };
            if at == fresh {
                self.nodes.push(PathNode::default());
            }
        }
        if let Some(node) = self.nodes.get_mut(at) {
            let leaf = if pattern.rest { &mut node.rest } else { &mut node.exact };
            Group::insert(leaf, id, headers);
        }
    }
}

impl Candidate {
    fn new(node: usize, rest: bool, captured: &[&str]) -> Self {
        Self { node, rest, captures: captured.iter().map(|raw| decoded(raw)).collect() }
    }
}

impl Group {
    fn insert(leaf: &mut Leaf, id: usize, headers: &[(String, String)]) {
        let names: Vec<String> = headers.iter().map(|(name, _)| name.clone()).collect();
        let key = Self::key(headers.iter().map(|(_, value)| Some(value.as_bytes()))).unwrap_or_default();
        if !leaf.iter().any(|group| group.names == names) {
            leaf.push(Self { names: names.clone(), values: Index::default(), routes: Vec::new() });
        }
        if let Some(group) = leaf.iter_mut().find(|group| group.names == names) {
            let at = group.values.get_or_insert(&key, group.routes.len());
            match group.routes.get_mut(at) {
                Some(routes) => routes.push(id),
                None => group.routes.push(vec![id]),
            }
        }
    }

    fn routes_for(&self, headers: &Headers) -> Option<&[usize]> {
        let key = Self::key(self.names.iter().map(|name| headers.get(name)))?;
        self.routes.get(self.values.get(&key)?).map(Vec::as_slice)
    }

    /// The look-up key of header values: the values one after another, each ended by a byte that no header value holds;
    /// `None` when a value is missing.
    fn key(values: impl Iterator<Item = Option<impl AsRef<[u8]>>>) -> Option<Vec<u8>> {
        let mut key = Vec::new();
        for value in values {
            key.extend_from_slice(value?.as_ref());
            key.push(b'\n');
        }
        Some(key)
    }
}

/// Percent-decodes a part of a path or of a query; a part whose decoded bytes are not UTF-8 stays as it came.
pub fn decoded(raw: &str) -> String {
    percent_decode_str(raw).decode_utf8().map_or_else(|_| raw.to_owned(), Into::into)
}

#[cfg(test)]
mod tests;
