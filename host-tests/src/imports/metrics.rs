//! Metrics: shared by all VMs, found by name.

use std::collections::BTreeMap;

use wasmtime::{Caller, Linker, Result, bail};

use super::define;
use crate::abi::Status;
use crate::memory::enter;
use crate::vm::Guest;

/// The metrics of one process.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    ids: BTreeMap<String, u32>,
    metrics: BTreeMap<u32, Metric>,
}

#[derive(Debug)]
enum Metric {
    Counter(u64),
    Gauge(u64),
    Histogram(Vec<u64>),
}

impl Metrics {
    /// The value of a counter or gauge; `None` when no VM has defined it.
    pub(crate) fn value(&self, name: &str) -> Option<u64> {
        match self.metrics.get(self.ids.get(name)?)? {
            Metric::Counter(value) | Metric::Gauge(value) => Some(*value),
            Metric::Histogram(_) => None,
        }
    }

    /// What a histogram was given, in order; `None` when no VM has defined it.
    pub(crate) fn samples(&self, name: &str) -> Option<&[u64]> {
        match self.metrics.get(self.ids.get(name)?)? {
            Metric::Histogram(samples) => Some(samples),
            Metric::Counter(_) | Metric::Gauge(_) => None,
        }
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.ids.keys().map(String::as_str)
    }

    fn define(&mut self, name: String, metric: Metric) -> u32 {
        let next = u32::try_from(self.ids.len()).unwrap_or(u32::MAX);
        let id = *self.ids.entry(name).or_insert(next);
        self.metrics.entry(id).or_insert(metric);
        id
    }

    fn record(&mut self, id: u32, value: u64) -> Status {
        match self.metrics.get_mut(&id) {
            Some(Metric::Counter(total)) => *total = total.wrapping_add(value),
            Some(Metric::Gauge(current)) => *current = value,
            Some(Metric::Histogram(samples)) => samples.push(value),
            None => return Status::NotFound,
        }
        Status::Ok
    }

    /// A counter only grows; a gauge also shrinks, and wraps below 0 as Envoy's does.
    fn increment(&mut self, id: u32, offset: i64) -> Status {
        match self.metrics.get_mut(&id) {
            Some(Metric::Counter(_)) if offset <= 0 => return Status::BadArgument,
            Some(Metric::Counter(value) | Metric::Gauge(value)) => *value = value.wrapping_add_signed(offset),
            Some(Metric::Histogram(_)) => return Status::BadArgument,
            None => return Status::NotFound,
        }
        Status::Ok
    }
}

pub(super) fn link(linker: &mut Linker<Guest>) -> Result<()> {
    define!(linker, "env", [proxy_define_metric, proxy_get_metric, proxy_record_metric, proxy_increment_metric]);
    Ok(())
}

fn proxy_define_metric(caller: Caller<'_, Guest>, kind: u32, name_at: u32, name_size: u32, id_at: u32) -> Result<u32> {
    let mut call = enter!(caller, "proxy_define_metric");
    let name = call.text(name_at, name_size)?;
    let metric = match kind {
        0 => Metric::Counter(0),
        1 => Metric::Gauge(0),
        2 => Metric::Histogram(Vec::new()),
        _ => bail!("no kind of metric has the number {kind}"),
    };
    let id = call.world().metrics.define(name, metric);
    call.put_u32(id_at, id)?;
    Ok(Status::Ok.code())
}

fn proxy_get_metric(caller: Caller<'_, Guest>, id: u32, value_at: u32) -> Result<u32> {
    let mut call = enter!(caller, "proxy_get_metric");
    let value = match call.world().metrics.metrics.get(&id) {
        Some(Metric::Counter(value) | Metric::Gauge(value)) => *value,
        Some(Metric::Histogram(_)) => return Ok(Status::BadArgument.code()),
        None => return Ok(Status::NotFound.code()),
    };
    call.put_u64(value_at, value)?;
    Ok(Status::Ok.code())
}

fn proxy_record_metric(caller: Caller<'_, Guest>, id: u32, value: u64) -> Result<u32> {
    let mut call = enter!(caller, "proxy_record_metric");
    Ok(call.world().metrics.record(id, value).code())
}

fn proxy_increment_metric(caller: Caller<'_, Guest>, id: u32, offset: i64) -> Result<u32> {
    let mut call = enter!(caller, "proxy_increment_metric");
    Ok(call.world().metrics.increment(id, offset).code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_refuses_to_stand_still_or_go_back() {
        let mut metrics = Metrics::default();
        let id = metrics.define("attempts".to_owned(), Metric::Counter(0));
        assert_eq!(metrics.increment(id, 2), Status::Ok);
        assert_eq!(metrics.increment(id, 0), Status::BadArgument);
        assert_eq!(metrics.increment(id, -1), Status::BadArgument);
        assert_eq!(metrics.value("attempts"), Some(2));
    }

    #[test]
    fn a_gauge_wraps_below_zero() {
        let mut metrics = Metrics::default();
        let id = metrics.define("pending".to_owned(), Metric::Gauge(0));
        assert_eq!(metrics.increment(id, -1), Status::Ok);
        assert_eq!(metrics.value("pending"), Some(u64::MAX));
    }

    #[test]
    fn two_vms_that_define_a_name_share_one_metric() {
        let mut metrics = Metrics::default();
        let first = metrics.define("attempts".to_owned(), Metric::Counter(0));
        metrics.increment(first, 1);
        assert_eq!(metrics.define("attempts".to_owned(), Metric::Counter(0)), first);
        assert_eq!(metrics.value("attempts"), Some(1));
    }
}
