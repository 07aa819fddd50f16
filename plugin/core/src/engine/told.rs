//! The values of gauges that were last reported to the metrics.

use crate::telemetry::notice::Gauge;

/// The values of gauges that were last reported to the metrics: of one endpoint, or of the process; a handful each.
#[derive(Debug, Default)]
pub(super) struct Told(Vec<(Gauge, u64)>);

impl Told {
    /// Remembers the value of a gauge; says whether it differs from the one last reported.
    pub fn is_news(&mut self, gauge: Gauge, value: u64) -> bool {
        match self.0.iter_mut().find(|(other, _)| *other == gauge) {
            Some((_, before)) => std::mem::replace(before, value) != value,
            None => {
                self.0.push((gauge, value));
                true
            }
        }
    }
}
