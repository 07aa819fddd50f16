//! All that is collected, as it stands in `evidence.json`.

use jiff::Timestamp;
use serde::Serialize;

use super::config::Config;
use super::hours::{Coverage, Series};
use super::log::Moment;
use super::objectives::Objective;
use super::personal::PersonalData;
use super::records::Headers;
use super::retries::Example;
use crate::gateway::{EndpointView, Status};

/// The evidence.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Bundle {
    pub made_at: Timestamp,
    /// The beginning of the time that was asked for; tables begin with the hour it lies in.
    pub from: Timestamp,
    pub until: Timestamp,
    /// The version of the command.
    pub gatepost_cli: &'static str,
    pub gateways: Vec<GatewayFacts>,
    pub envoys: Vec<EnvoyFacts>,
    pub objectives: Vec<Objective>,
    pub hours: Vec<Series>,
    /// `None`: no records were given.
    pub headers: Option<Headers>,
    pub retries: Retries,
    pub timeline: Timeline,
    pub personal_data: PersonalData,
    /// `None`: none was given.
    pub config: Option<Config>,
}

/// A gateway that was asked.
#[derive(Clone, Debug, Serialize)]
pub(super) struct GatewayFacts {
    pub gateway: String,
    /// Why it could not be asked.
    pub problem: Option<String>,
    pub instance: Option<String>,
    pub started_at: Option<Timestamp>,
    /// The filter's version.
    pub version: Option<String>,
    pub state: Option<String>,
    /// How its endpoints stand.
    pub endpoints: Vec<EndpointView>,
}

impl GatewayFacts {
    /// One that answered.
    pub fn of(gateway: &str, status: &Status) -> Self {
        Self {
            gateway: gateway.to_owned(),
            problem: None,
            instance: Some(status.process.instance.clone()),
            started_at: Some(status.process.started_at.into()),
            version: Some(status.version.clone()),
            state: Some(status.state.to_string()),
            endpoints: status.endpoints.clone(),
        }
    }

    /// One of which something could not be asked.
    pub fn unknown(gateway: &str, problem: String) -> Self {
        let (instance, started_at, version, state) = (None, None, None, None);
        let (gateway, problem, endpoints) = (gateway.to_owned(), Some(problem), Vec::new());
        Self { gateway, problem, instance, started_at, version, state, endpoints }
    }
}

/// An Envoy whose admin interface was asked.
#[derive(Clone, Debug, Serialize)]
pub(super) struct EnvoyFacts {
    pub admin: String,
    pub version: Option<String>,
    /// Why it could not be asked.
    pub problem: Option<String>,
}

/// Examples of deliveries that were tried more than once.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Retries {
    /// Of so many deliveries that the gateways remember of this time.
    pub looked_at: u64,
    pub examples: Vec<Example>,
}

/// What happened when.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Timeline {
    /// Where it is from.
    pub source: &'static str,
    /// Oldest first.
    pub moments: Vec<Moment>,
}

impl Timeline {
    /// The best there is: the logs, else what receivers were told, else the hours in which a breaker opened.
    pub fn of(logs: Option<Vec<Moment>>, told: Vec<Moment>, hours: &[Series]) -> Self {
        let (source, mut moments) = match logs {
            Some(moments) => ("the filter's lines in Envoy's log", moments),
            None if !told.is_empty() => ("operational events in the receiver's records", told),
            None => ("hourly counters; for moments give --logs", hours.iter().flat_map(opens).collect()),
        };
        moments.sort_by_key(|moment| moment.at);
        Self { source, moments }
    }
}

fn opens(series: &Series) -> impl Iterator<Item = Moment> {
    series.rows.iter().filter_map(|row| {
        let opens = row.figures.as_ref().filter(|figures| figures.breaker_opens > 0)?.breaker_opens;
        Some(Moment {
            at: row.hour,
            endpoint: Some(series.endpoint.clone()),
            event: "breaker_opened".to_owned(),
            detail: format!("{opens} times within this hour"),
            source: series.gateway.clone(),
        })
    })
}

impl Bundle {
    /// The gateways that have lost hours, and which, oldest first.
    pub fn lost_hours(&self) -> Vec<(&str, Vec<Timestamp>)> {
        let mut all = Vec::<(&str, Vec<Timestamp>)>::new();
        for series in &self.hours {
            // What an endpoint of a gateway lacks all of them lack.
            if all.iter().all(|(gateway, _)| *gateway != series.gateway) {
                let lost = series.rows.iter().filter(|row| row.coverage == Coverage::Lost);
                all.push((&series.gateway, lost.map(|row| row.hour).collect()));
            }
        }
        all.retain(|(_, hours)| !hours.is_empty());
        all
    }

    /// Gateways and Envoys that did not answer.
    pub fn problems(&self) -> Vec<String> {
        let gateways = self.gateways.iter().map(|facts| (&facts.gateway, &facts.problem));
        let envoys = self.envoys.iter().map(|facts| (&facts.admin, &facts.problem));
        let all = gateways.chain(envoys);
        all.filter_map(|(who, problem)| Some(format!("{who}: {}", problem.as_ref()?))).collect()
    }
}
