//! What is wrong with a gateway, in words. The figures are those of the objectives and of the rollout guard's defaults.

use serde::Serialize;

use crate::gateway::{EndpointView, NO_BREAKER, Status};

/// How wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// Somebody should look at it.
    Warning,
    /// Events do not arrive, or not as they should.
    Failure,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Trouble {
    pub level: Level,
    /// The endpoint; `None`: the gateway.
    pub endpoint: Option<String>,
    pub what: String,
}

impl Trouble {
    pub fn of_gateway(level: Level, what: impl Into<String>) -> Self {
        Self { level, endpoint: None, what: what.into() }
    }
}

/// All that is wrong with a gateway that answers.
pub(super) fn troubles(status: &Status) -> Vec<Trouble> {
    let words = status.reason.as_deref().filter(|reason| !reason.is_empty());
    let reason = words.map(|reason| format!(": {reason}")).unwrap_or_default();
    let mut troubles = Vec::new();
    let mut note = |level, what: String| troubles.push(Trouble::of_gateway(level, what));
    match &*status.state {
        "enabled" => {}
        "paused" => note(Level::Warning, format!("paused{reason}; events are held")),
        state => note(Level::Failure, format!("{state}{reason}; new events are discarded")),
    }
    if status.draining {
        note(Level::Failure, "draining: new events get 503".to_owned());
    }
    if let Some(age) = status.oldest_pending_seconds.filter(|age| *age >= OLDEST_PENDING_SECONDS) {
        note(Level::Warning, format!("the oldest delivery has been pending for {}", age_of(age)));
    }
    if status.dead_letters > 0 {
        note(Level::Warning, format!("{} dead letters; deliver them with `gatepost redeliver`", status.dead_letters));
    }
    troubles.into_iter().chain(status.endpoints.iter().flat_map(of_endpoint)).collect()
}

fn of_endpoint(endpoint: &EndpointView) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    let mut note = |level, what: String| {
        troubles.push(Trouble { level, endpoint: Some(endpoint.name.clone()), what });
    };
    if endpoint.disabled {
        let by = endpoint.disabled_by.as_deref().unwrap_or_default();
        let by = if by == "gone" { "it answered 410" } else { by };
        note(Level::Failure, format!("disabled ({by}); its deliveries wait"));
    }
    match &*endpoint.breaker.state {
        "closed" | NO_BREAKER => {}
        "open" => {
            let left = endpoint.breaker.seconds_left.map(|left| format!("; the next probe in {}", age_of(left)));
            note(Level::Failure, format!("breaker open{}", left.unwrap_or_default()));
        }
        _ => note(Level::Warning, "breaker half-open: a probe decides".to_owned()),
    }
    let rollout = &endpoint.rollout;
    match (&*rollout.state, &rollout.breached) {
        ("rolled_back", _) => {
            let words = [rollout.reason.as_deref(), rollout.detail.as_deref()].into_iter().flatten();
            let why = words.collect::<Vec<_>>().join(": ");
            note(Level::Failure, format!("rolled back ({why}); nothing is sent until it is resumed"));
        }
        ("held", Some(breached)) => note(Level::Warning, format!("not promoted: {breached} is breached")),
        ("waiting", _) => note(Level::Warning, "the rollout waits for `gatepost rollout promote`".to_owned()),
        _ => {}
    }
    let window = &endpoint.window;
    if let Some(success) = window.success_percent.filter(|success| *success < SUCCESS_PERCENT.0) {
        let level = if success < SUCCESS_PERCENT.1 { Level::Failure } else { Level::Warning };
        note(level, format!("{success} % of the deliveries arrive; {} % are the objective", SUCCESS_PERCENT.0));
    }
    if let Some(p95) = window.p95_ms.filter(|p95| *p95 >= P95_MS.0) {
        let level = if p95 > P95_MS.1 { Level::Failure } else { Level::Warning };
        note(level, format!("p95 of the attempts is {p95} ms; below {} ms is the objective", P95_MS.0));
    }
    let opens = endpoint.breaker_opens_24h;
    if opens >= OPENS.0 {
        let level = if opens > OPENS.1 { Level::Failure } else { Level::Warning };
        note(level, format!("the breaker opened {opens} times in 24 h; fewer than {} are the objective", OPENS.0));
    }
    troubles
}

/// Seconds as they are read at a glance.
pub(crate) fn age_of(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// What waits longer than the default schedule and an open breaker take.
const OLDEST_PENDING_SECONDS: u64 = 120;
/// The objective, and where the guard rolls back.
const SUCCESS_PERCENT: (f64, f64) = (95.0, 90.0);
const P95_MS: (u64, u64) = (2000, 5000);
const OPENS: (u64, u64) = (5, 20);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::view::tests::status;

    #[test]
    fn nothing_is_wrong_with_a_healthy_gateway() {
        assert_eq!(troubles(&status()), []);
    }

    #[test]
    fn each_thing_that_is_wrong_is_a_sentence_with_its_weight() {
        let mut status = status();
        (status.state, status.reason) = ("disabled".into(), Some("migration".to_owned()));
        status.dead_letters = 3;
        let billing = &mut status.endpoints[0];
        (billing.breaker.state, billing.breaker.seconds_left) = ("open".into(), Some(41));
        billing.rollout.state = "rolled_back".into();
        billing.rollout.reason = Some("success".into());
        billing.rollout.detail = Some("7 of 20 deliveries".to_owned());
        billing.window.success_percent = Some(93.75);
        billing.window.p95_ms = Some(5001);
        billing.breaker_opens_24h = 5;
        let found: Vec<(Level, String)> = troubles(&status).into_iter().map(|one| (one.level, one.what)).collect();
        let expected = [
            (Level::Failure, "disabled: migration; new events are discarded"),
            (Level::Warning, "3 dead letters; deliver them with `gatepost redeliver`"),
            (Level::Failure, "breaker open; the next probe in 41s"),
            (Level::Failure, "rolled back (success: 7 of 20 deliveries); nothing is sent until it is resumed"),
            (Level::Warning, "93.75 % of the deliveries arrive; 95 % are the objective"),
            (Level::Failure, "p95 of the attempts is 5001 ms; below 2000 ms is the objective"),
            (Level::Warning, "the breaker opened 5 times in 24 h; fewer than 5 are the objective"),
        ];
        assert_eq!(found, expected.map(|(level, what)| (level, what.to_owned())));
    }
}
