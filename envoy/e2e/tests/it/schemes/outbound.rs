//! What the gateway sends, read by the libraries.

use std::fs;

use anyhow::{Context, Result};
use gatepost_e2e::application::Arrival;
use gatepost_e2e::{Application, Event, Gateway, Setup, endpoint};
use serde_json::{Value, json};

use super::library::Headers;
use super::scheme::{SCHEMES, Scheme, SchemeKey, tampered};

/// One route to these endpoints, all of them at this application, each under its name.
pub fn setup(application: &Application, endpoints: &[Value]) -> Setup {
    let setup = Setup::bare(json!({
        "enabled": true,
        "routes": [{"name": "ingest", "match": {"path": "/events/{event}"}, "event": "{event}"}],
        "endpoints": endpoints,
    }));
    let names = endpoints.iter().filter_map(|entry| entry["name"].as_str());
    names.fold(setup, |setup, name| setup.with_cluster(name, application.address()))
}

/// An endpoint that signs so, with these secrets.
pub fn signing(scheme: &Scheme, secrets: &[Value]) -> Value {
    endpoint(scheme.name, "", json!({"signature": scheme.signature(), "secrets": secrets}))
}

/// What a library is told of a delivery: all of its headers, none of which came twice.
pub fn headers(arrival: &Arrival) -> Result<Headers> {
    let pair = |name: &hyper::header::HeaderName| {
        let values: Vec<_> = arrival.headers.get_all(name).iter().collect();
        let [value] = values.as_slice() else { anyhow::bail!("{name} came as {values:?}") };
        Ok((name.to_string(), value.to_str().with_context(|| name.to_string())?.to_owned()))
    };
    arrival.headers.keys().map(pair).collect()
}

/// Does each library that knows the scheme accept this under this key, or refuse it, as expected?
pub fn is_read_by_all(scheme: &Scheme, key: SchemeKey, headers: &Headers, body: &[u8], accepts: bool) -> Result<()> {
    for library in scheme.libraries()? {
        let refusal = library.refusal(key.verifies, headers, body)?;
        assert_eq!(refusal.is_none(), accepts, "{library}, {}: {refusal:?} for {headers:#?}", key.verifies);
    }
    Ok(())
}

/// Every library accepts every delivery of its scheme and none that was tampered with.
#[test]
fn every_library_accepts_deliveries_and_refuses_tampered() -> Result<()> {
    let application = Application::start()?;
    let endpoints = SCHEMES.map(|scheme| signing(&scheme, &[json!({"value": scheme.old.signs})]));
    let gateway = Gateway::start(&setup(&application, &endpoints))?;
    let samples = fs::read_to_string(gatepost_kit::workspace::root()?.join("envoy/testdata/events.jsonl"))?;
    // No library may read the JSON and write it again.
    let odd = "{ \"event\":\"odd\",\r\n\t\"amount\" :42.0, \"payer\": \"Zo\u{eb} \\u00eb\" }\n";
    let mut sent = Vec::new();
    for body in samples.lines().chain([odd]) {
        let sample: Value = serde_json::from_str(body)?;
        let event = sample["event"].as_str().unwrap().to_owned();
        sent.push((gateway.send(&Event::new(&event, body))?.id()?, event, body));
    }
    assert_eq!(sent.len(), 11);
    for scheme in SCHEMES {
        let arrivals = application.wait_for(&format!("/{}", scheme.name), sent.len())?;
        assert_eq!(arrivals.len(), sent.len(), "{}", scheme.name);
        for (id, event, body) in &sent {
            let arrival = arrivals.iter().find(|arrival| arrival.header("x-webhook-id") == id).context("not there")?;
            assert_eq!(arrival.body, body.as_bytes(), "{}", scheme.name);
            let headers = headers(arrival)?;
            tells_of_the_event(&scheme, &headers, id, event);
            is_read_by_all(&scheme, scheme.old, &headers, &arrival.body, true)?;
            is_read_by_all(&scheme, scheme.old, &headers, &tampered(&arrival.body), false)?;
            is_read_by_all(&scheme, scheme.other, &headers, &arrival.body, false)?;
        }
    }
    Ok(())
}

/// In the scheme's own headers and in the gateway's, of which it lacks those that sign.
fn tells_of_the_event(scheme: &Scheme, headers: &Headers, id: &str, event: &str) {
    let header = |name: &str| headers.get(name).map(String::as_str);
    let of_all = [("x-webhook-id", id), ("x-webhook-event", event), ("x-webhook-attempt", "1")];
    let of_scheme: &[_] = match scheme.config {
        "standard" => &[("webhook-id", id)],
        "github" => &[("x-github-delivery", id), ("x-github-event", event)],
        _ => &[],
    };
    for (name, expected) in of_all.iter().chain(of_scheme) {
        assert_eq!(header(name), Some(*expected), "{}: {name} in {headers:#?}", scheme.name);
    }
    let signatures = ["x-webhook-signature", "x-webhook-timestamp", "x-webhook-signature-also"];
    for name in signatures.into_iter().chain(scheme.headers.1) {
        assert_eq!(header(name), None, "{}: {name} in {headers:#?}", scheme.name);
    }
}

/// An endpoint that signs in two schemes is read by receivers of either.
#[test]
fn endpoint_signing_in_two_schemes_is_read_by_either() -> Result<()> {
    let [standard, asymmetric, github, stripe, slack] = SCHEMES;
    let application = Application::start()?;
    let value = |key: SchemeKey| json!({"value": key.signs});
    let own = |scheme: Scheme| json!({"scheme": scheme.config, "secrets": [value(scheme.old)]});
    // One secret for both: to `standard` it is base64, to `github` it is text.
    let both = json!({"signature": [standard.signature(), github.signature()], "secrets": [value(standard.old)]});
    let each = json!({"signature": [own(stripe), own(slack)], "secrets": [value(stripe.other)]});
    let kinds = json!({"signature": standard.signature(), "secrets": [value(standard.old), value(asymmetric.old)]});
    let endpoints = [endpoint("both", "", both), endpoint("each", "", each), endpoint("kinds", "", kinds)];
    let gateway = Gateway::start(&setup(&application, &endpoints))?;
    gateway.send(&Event::new("payment_verified", "{\"id\":1}"))?;
    for (path, first, second) in [
        ("/both", (standard, standard.old), (github, standard.old)),
        ("/each", (stripe, stripe.old), (slack, slack.old)),
        ("/kinds", (standard, standard.old), (asymmetric, asymmetric.old)),
    ] {
        let arrival = application.wait_for(path, 1)?.remove(0);
        let headers = headers(&arrival)?;
        for (scheme, key) in [first, second] {
            is_read_by_all(&scheme, key, &headers, &arrival.body, true)?;
            is_read_by_all(&scheme, scheme.other, &headers, &arrival.body, false)?;
        }
    }
    Ok(())
}
