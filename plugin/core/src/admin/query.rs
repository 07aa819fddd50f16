//! The query of a request, which stands behind the question mark: its parameters.

use super::{Result, Surface};
use crate::admin::about::About;
use crate::answer::Problem;
use crate::path::decoded;
use crate::time::WallTime;

/// The most entries in a list, unless the query has a `limit`.
const LIMIT: usize = 100;
/// The largest `limit`.
pub(super) const LIMIT_MAX: usize = 1000;

impl Surface<'_, '_> {
    /// Refuses a query with other parameters than these: a filter with a misspelt name would let everything through.
    pub(super) fn only_parameters(&self, known: &[&str]) -> Result<()> {
        let mut names = self.request.query.split('&').filter(|pair| !pair.is_empty()).map(|pair| name_of(pair).0);
        match names.find(|name| !known.contains(name)) {
            None => Ok(()),
            Some(_) if known.is_empty() => Err(bad("query", "none at this path")),
            Some(_) => Err(bad("query", &format!("only {}", known.join(", ")))),
        }
    }

    /// The value of a parameter, percent-decoded.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        let mut pairs = self.request.query.split('&').map(name_of);
        let (_, value) = pairs.find(|(other, _)| *other == name)?;
        Some(decoded(value))
    }

    /// The endpoint that the query names, if it names one.
    pub(super) fn named_endpoint(&self, about: &About) -> Result<Option<String>> {
        let name = self.parameter("endpoint");
        name.map(|name| self.endpoint(about, &name).map(|endpoint| endpoint.name)).transpose()
    }

    /// The most entries that are wanted in a list.
    pub(super) fn limit(&self) -> Result<usize> {
        match self.parameter("limit").map(|text| text.parse()) {
            None => Ok(LIMIT),
            Some(Ok(limit @ 1..=LIMIT_MAX)) => Ok(limit),
            Some(_) => Err(bad("limit", "a number from 1 to 1000")),
        }
    }

    /// The time before which nothing is wanted; without the parameter the Unix epoch, so that everything is.
    pub(super) fn since(&self) -> Result<WallTime> {
        let Some(text) = self.parameter("since") else { return Ok(WallTime::default()) };
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let time = if is_number { text.parse().ok().map(WallTime::from_millis) } else { WallTime::parse(&text) };
        time.ok_or_else(|| bad("since", "a time such as 2026-11-23T14:00:00Z, or Unix time in milliseconds"))
    }
}

fn name_of(pair: &str) -> (&str, &str) {
    pair.split_once('=').unwrap_or((pair, ""))
}

/// The problem of a parameter that is not what it must be.
pub(super) fn bad(name: &str, expected: &str) -> Box<Problem> {
    Box::new(Problem::bad_request(format!("{name}: expected {expected}")))
}
