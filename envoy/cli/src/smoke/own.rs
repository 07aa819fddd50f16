//! A gateway for smoke alone: the example in a real Envoy, with the lines that `gatepost smoke --help` shows.

use std::time::Duration;

use anyhow::{Context, Result};
use gatepost_core::secret::Secret;
use gatepost_kit::envoy::{Envoy, Launch};
use gatepost_kit::example::{ADMIN_AUTHORIZATION, ADMIN_LISTENER, Example, LISTENER, USER};
use gatepost_kit::wait;
use serde_json::{Value, json};

use super::target::{Target, basic};
use crate::receive::Receiver;

/// A gateway and its receiver; both end when this is dropped.
pub struct Own {
    /// The gateway.
    pub target: Target,
    /// The receiver of its endpoint.
    pub receiver: Receiver,
    /// Held for its end.
    _envoy: Envoy,
}

/// Starts it.
///
/// # Errors
/// When the filter does not build, or there is no Envoy, or it does not start.
pub fn start() -> Result<Own> {
    let secret = Secret::new(SECRET.as_bytes().to_vec()).context("no secret")?;
    let receiver = Receiver::quiet(([127, 0, 0, 1], 0).into(), secret)?;
    let launch = launch(plugin(), &receiver.address().to_string())?;
    let envoy = Envoy::start(&launch)?;
    let events = format!("http://{}", envoy.listener(LISTENER)?);
    let admin = format!("http://{}/gatepost", envoy.listener(ADMIN_LISTENER)?);
    let token = ADMIN_AUTHORIZATION.trim_start_matches("Bearer ");
    let headers = vec![("authorization".to_owned(), basic(USER))];
    let target = Target::new(&events, "/smoke/{event}", headers, &admin, token, "the example", "smoke");
    // Its listeners are open before its first worker has begun.
    wait::until("the filter begins to deliver", BEGUN, || Ok(target.status().ok().map(drop)))?;
    Ok(Own { target, receiver, _envoy: envoy })
}

/// What starts the example with this filter config, its path /smoke, and its cluster `smoke` at this address.
///
/// # Errors
/// When the filter does not build.
pub fn launch(plugin: Value, address: &str) -> Result<Launch> {
    let mut example = Example::load().context("smoke without --gateway needs a checkout and builds the filter")?;
    example.use_free_ports()?;
    example.add_cluster("smoke")?;
    example.set_cluster("smoke", address)?;
    *example.plugin()? = plugin;
    let_events_reach_the_filter(&mut example)?;
    Ok(Launch { config: example.config().clone(), workers: WORKERS, env: vec![], arguments: vec![] })
}

/// The lines of `gatepost smoke --help`.
pub fn plugin() -> Value {
    json!({
        "enabled": true,
        "routes": [
            {"name": "smoke", "match": {"path": "/smoke/{event}"}, "event": "smoke.{event}", "endpoints": ["smoke"]},
        ],
        "endpoints": [{
            "name": "smoke",
            "cluster": "smoke",
            "url": "http://127.0.0.1:9009/smoke",
            "secrets": [{"value": SECRET}],
            "events": ["smoke.**"],
            "breaker": {"failures": 3, "window": "30s", "open": "5s"},
            "retry": {"delays": ["0s", "2s", "4s"]},
        }],
    })
}

/// The example lets /events reach the filter; the same for /smoke.
fn let_events_reach_the_filter(example: &mut Example) -> Result<()> {
    const ROUTES: &str = concat!(
        "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config",
        "/route_config/virtual_hosts/0/routes"
    );
    let routes = example.config_mut().pointer_mut(ROUTES).and_then(Value::as_array_mut);
    let routes = routes.context("the example has no routes")?;
    let mut copy = routes.first().context("the example has no route")?.clone();
    *copy.pointer_mut("/match").context("the example's route matches nothing")? =
        json!({"path_separated_prefix": "/smoke"});
    routes.insert(0, copy);
    Ok(())
}

/// What it signs with. No secret: it signs between two processes on this machine, for half a minute.
pub const SECRET: &str = "smoke-signs-with-this-on-loopback-only";
/// The smallest number with which workers can disagree.
const WORKERS: u32 = 2;
/// A worker begins with its first tick.
const BEGUN: Duration = Duration::from_secs(30);
