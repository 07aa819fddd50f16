//! What the metrics were last told.

use crate::telemetry::notice::Gauge;

/// The values of some gauges as the metrics know them: of an endpoint, or of the process; a handful each.
#[derive(Debug, Default)]
pub(super) struct Told(Vec<(Gauge, u64)>);

impl Told {
    /// Remembers a value; says whether it is news.
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
