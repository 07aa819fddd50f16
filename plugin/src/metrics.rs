//! The handles of metrics: each series is defined once, at the latest when it first changes.

use gatepost_core::config::Config;
use gatepost_core::telemetry::metrics::{Change, Series, Subject, changes, series, subjects};
use gatepost_core::telemetry::notice::Notice;

use crate::host;

/// The number of subjects whose series are defined in one tick, which takes the host half a millisecond.
const DEFINED_AT_ONCE: usize = 10;

/// The metrics of a worker: the host's handles of the series that are defined.
#[derive(Default)]
pub struct Metrics {
    /// The families of routes, of endpoints and of inbound rules, each by number, and those of the process and of the
    /// journal.
    families: [Vec<Family>; 5],
    /// The number of subjects whose series are defined, in the order of [`subjects`].
    defined: usize,
    /// The series of all subjects are defined: a tick need not look for more.
    are_all_defined: bool,
}

/// The series of one subject, two dozen at most: a metric, the value of the series' label, and the handle; `None`: the
/// host would not define the series.
type Family = Vec<(&'static str, &'static str, Option<u32>)>;

impl Metrics {
    /// Defines the series of some subjects that have none yet.
    pub fn define_some(&mut self, config: &Config) {
        if self.are_all_defined {
            return;
        }
        let before = self.defined;
        for subject in subjects(config).skip(before).take(DEFINED_AT_ONCE) {
            for series in series(&subject) {
                self.handle(config, &subject, series);
            }
            self.defined += 1;
        }
        self.are_all_defined = self.defined == before;
    }

    /// Makes the changes to series that follow from a notice.
    pub fn notice(&mut self, config: &Config, notice: &Notice) {
        changes(notice, &mut |subject, series, change| {
            let Some(handle) = self.handle(config, subject, series) else { return };
            match change {
                Change::Add(by) => host::count(handle, by),
                Change::Record(value) => host::record(handle, value),
            }
        });
    }

    /// The handle of a series, defined at its first use.
    fn handle(&mut self, config: &Config, subject: &Subject, series: Series) -> Option<u32> {
        let (families, number) = match subject {
            Subject::Route(id) => (0, id.0),
            Subject::Endpoint(id) => (1, id.0),
            Subject::Rule(id) => (2, id.0),
            Subject::Process => (3, 0),
            Subject::Journal => (4, 0),
            // Notices about a named endpoint are rare enough to define the series each time.
            Subject::Named(_) => return host::define_metric(series.kind, &series.stat(config, subject)),
        };
        let families = self.families.get_mut(families)?;
        if families.len() <= number {
            families.resize_with(number + 1, Family::new);
        }
        let family = families.get_mut(number)?;
        let known = family.iter().find(|(metric, value, _)| *metric == series.metric && *value == series.label.1);
        if let Some((_, _, handle)) = known {
            return *handle;
        }
        let handle = host::define_metric(series.kind, &series.stat(config, subject));
        family.push((series.metric, series.label.1, handle));
        handle
    }
}
