//! Paths that a server behind the gateway may take for a guarded one, on the inbound example and on a bare Envoy.

use anyhow::{Context, Result};
use gatepost_e2e::client::send_raw;
use gatepost_kit::envoy::{Envoy, Launch};
use gatepost_kit::example::{Example, LISTENER};
use serde_json::{Value, json};

/// Request targets that reach the path `/webhooks/partner` at some server: those that resolve them as a URL, decode them
/// once more, or are lenient with slashes, blanks and ends.
const SPELLINGS: [&str; 22] = [
    "//x/webhooks/partner",
    "///x/webhooks/partner",
    "//x:80/webhooks/partner",
    "/\\x/webhooks/partner",
    "http://h//x/webhooks/partner",
    "//webhooks/partner",
    "/webhooks//partner",
    "/webhooks/./partner",
    "/x/../webhooks/partner",
    "/webhooks/%2e/partner",
    "/webhooks%2Fpartner",
    "/webhooks\\partner",
    "/webhooks%5Cpartner",
    "/%77ebhooks/partner",
    "/%2577ebhooks/partner",
    "/webhooks/partner%20",
    "/webhooks/partner%00",
    "/webhooks/partner/",
    "/webhooks/partner;a=b",
    "/webhooks/partner.json",
    "/WEBHOOKS/partner",
    "/webhooks/partner%23x",
];

/// The inbound example on free ports, with the filter built from this source and one worker. `is_bare`: without what the
/// listener there limits and normalizes, and with an application that gets every path.
pub fn inbound(is_bare: bool) -> Result<Launch> {
    let mut example = Example::load_file("envoy/inbound.yaml")?;
    example.use_free_ports()?;
    let mut config = example.config().clone();
    if is_bare {
        let kept = ["@type", "stat_prefix", "route_config", "http_filters"];
        let manager = config.pointer_mut(MANAGER).and_then(Value::as_object_mut).context("no manager")?;
        manager.retain(|key, _| kept.contains(&key.as_str()));
        let routes = manager.get_mut("route_config").and_then(|table| table.pointer_mut("/virtual_hosts/0/routes"));
        *routes.context("no routes")? = json!([{"match": {"prefix": "/"}, "route": {"cluster": "application"}}]);
        let top = config.as_object_mut().context("no config")?;
        top.retain(|key, _| ["admin", "static_resources"].contains(&key.as_str()));
    }
    Ok(Launch { config, workers: 1, env: Vec::new(), arguments: Vec::new() })
}

/// The HTTP connection manager of the first listener.
const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";

/// The status of the answer to a POST of this request target.
fn status(address: &str, target: &str) -> Result<u16> {
    let request =
        format!("POST {target} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}");
    let answer = send_raw(address, request.as_bytes())?;
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).with_context(|| answer.clone())
}

/// No application listens: a 503 is a request that was let on to it.
#[test]
fn no_spelling_gets_past_a_bare_gateway() -> Result<()> {
    let envoy = Envoy::start(&inbound(true)?)?;
    let address = envoy.listener(LISTENER)?;
    assert_eq!(status(&address, "/webhooks/partner")?, 401);
    assert_eq!(status(&address, "/other")?, 503);
    for spelling in SPELLINGS {
        let status = status(&address, spelling)?;
        assert!([400, 401].contains(&status), "{spelling}: {status}");
    }
    Ok(())
}

/// Envoy redirects and refuses some by itself.
#[test]
fn no_spelling_gets_past_the_inbound_example() -> Result<()> {
    let envoy = Envoy::start(&inbound(false)?)?;
    let address = envoy.listener(LISTENER)?;
    assert_eq!(status(&address, "/webhooks/partner")?, 401);
    for spelling in SPELLINGS {
        let status = status(&address, spelling)?;
        assert!([307, 400, 401, 404].contains(&status), "{spelling}: {status}");
    }
    Ok(())
}
