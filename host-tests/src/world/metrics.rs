//! Metrics: shared by all VMs, found by name.

use std::collections::{BTreeMap, BTreeSet};

use crate::abi::Status;

/// The metrics of one process. A counter, a gauge and a histogram of one name are three metrics.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    ids: BTreeMap<(MetricKind, String), u32>,
    metrics: BTreeMap<u32, Metric>,
}

/// What a metric is; the two lowest bits of its id say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MetricKind {
    Counter,
    Gauge,
    Histogram,
}

#[derive(Debug)]
enum Metric {
    Counter(u64),
    Gauge(u64),
    Histogram(Vec<u64>),
}

impl MetricKind {
    pub(crate) fn from_code(code: u32) -> Option<Self> {
        [Self::Counter, Self::Gauge, Self::Histogram].into_iter().find(|kind| *kind as u32 == code)
    }

    fn nothing(self) -> Metric {
        match self {
            Self::Counter => Metric::Counter(0),
            Self::Gauge => Metric::Gauge(0),
            Self::Histogram => Metric::Histogram(Vec::new()),
        }
    }
}

/// What a wrong id is answered where only numbers will do.
fn unknown_number(id: u32) -> Status {
    if id & 3 < MetricKind::Histogram as u32 { Status::NotFound } else { Status::BadArgument }
}

impl Metrics {
    fn find(&self, kind: MetricKind, name: &str) -> Option<&Metric> {
        self.metrics.get(self.ids.get(&(kind, name.to_owned()))?)
    }

    /// The value of a counter or gauge; `None` when no VM has defined it.
    pub(crate) fn value(&self, name: &str) -> Option<u64> {
        match self.find(MetricKind::Counter, name).or_else(|| self.find(MetricKind::Gauge, name))? {
            Metric::Counter(value) | Metric::Gauge(value) => Some(*value),
            Metric::Histogram(_) => None,
        }
    }

    /// What a histogram was given, in order; `None` when no VM has defined it.
    pub(crate) fn samples(&self, name: &str) -> Option<&[u64]> {
        match self.find(MetricKind::Histogram, name)? {
            Metric::Histogram(samples) => Some(samples),
            Metric::Counter(_) | Metric::Gauge(_) => None,
        }
    }

    /// The names of all metrics, sorted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.ids.keys().map(|(_, name)| name.as_str()).collect::<BTreeSet<_>>().into_iter()
    }

    /// The value of a counter or gauge by its id.
    pub(crate) fn get(&self, id: u32) -> Result<u64, Status> {
        match self.metrics.get(&id) {
            Some(Metric::Counter(value) | Metric::Gauge(value)) => Ok(*value),
            Some(Metric::Histogram(_)) | None => Err(unknown_number(id)),
        }
    }

    /// The id of a metric, which is new when nobody has defined it yet.
    pub(crate) fn define(&mut self, name: String, kind: MetricKind) -> u32 {
        let next = u32::try_from(self.ids.len() + 1).unwrap_or(u32::MAX).saturating_mul(4) | kind as u32;
        let id = *self.ids.entry((kind, name)).or_insert(next);
        self.metrics.entry(id).or_insert_with(|| kind.nothing());
        id
    }

    /// Sets a gauge, adds to a counter, or gives a histogram a sample.
    pub(crate) fn record(&mut self, id: u32, value: u64) -> Status {
        match self.metrics.get_mut(&id) {
            Some(Metric::Counter(total)) => *total = total.wrapping_add(value),
            Some(Metric::Gauge(current)) => *current = value,
            Some(Metric::Histogram(samples)) => samples.push(value),
            None => return Status::NotFound,
        }
        Status::Ok
    }

    /// A counter only grows; a gauge also shrinks, and wraps below 0 as Envoy's does.
    pub(crate) fn increment(&mut self, id: u32, offset: i64) -> Status {
        match self.metrics.get_mut(&id) {
            Some(Metric::Counter(_)) if offset <= 0 => return Status::BadArgument,
            Some(Metric::Counter(value) | Metric::Gauge(value)) => *value = value.wrapping_add_signed(offset),
            Some(Metric::Histogram(_)) | None => return unknown_number(id),
        }
        Status::Ok
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_refuses_to_stand_still_or_go_back() {
        let mut metrics = Metrics::default();
        let id = metrics.define("attempts".to_owned(), MetricKind::Counter);
        assert_eq!(metrics.increment(id, 2), Status::Ok);
        assert_eq!(metrics.increment(id, 0), Status::BadArgument);
        assert_eq!(metrics.increment(id, -1), Status::BadArgument);
        assert_eq!(metrics.value("attempts"), Some(2));
    }

    #[test]
    fn a_gauge_wraps_below_zero() {
        let mut metrics = Metrics::default();
        let id = metrics.define("pending".to_owned(), MetricKind::Gauge);
        assert_eq!(metrics.increment(id, -1), Status::Ok);
        assert_eq!(metrics.value("pending"), Some(u64::MAX));
    }

    #[test]
    fn two_vms_that_define_a_name_share_one_metric() {
        let mut metrics = Metrics::default();
        let first = metrics.define("attempts".to_owned(), MetricKind::Counter);
        metrics.increment(first, 1);
        assert_eq!(metrics.define("attempts".to_owned(), MetricKind::Counter), first);
        assert_eq!(metrics.value("attempts"), Some(1));
    }

    #[test]
    fn metrics_of_one_name_and_different_kinds_are_different_ones() {
        let mut metrics = Metrics::default();
        let [counter, histogram] =
            [MetricKind::Counter, MetricKind::Histogram].map(|kind| metrics.define("a".to_owned(), kind));
        assert_eq!(metrics.record(histogram, 7), Status::Ok);
        assert_eq!(metrics.increment(histogram, 1), Status::BadArgument);
        assert_eq!(metrics.increment(counter + 400, 1), Status::NotFound);
        assert_eq!((metrics.value("a"), metrics.samples("a")), (Some(0), Some([7].as_slice())));
        assert_eq!(metrics.names().collect::<Vec<_>>(), ["a"]);
    }
}
