//! A secret is being changed, and receivers know the one, the other, or both.

use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};
use gatepost_e2e::application::Arrival;
use gatepost_e2e::{Application, Event, Gateway};
use gatepost_kit::wait;
use serde_json::json;

use super::library::Headers;
use super::outbound::{headers, is_read_by_all, setup, signing};
use super::scheme::{SCHEMES, Scheme, SchemeKey, now};

/// Sends an event, and waits for its delivery to each endpoint.
fn deliver(gateway: &Gateway, application: &Application) -> Result<Vec<(Scheme, Arrival)>> {
    let id = gateway.send(&Event::new("payment_verified", "{\"id\":1}"))?.id()?;
    let arrival = |scheme: Scheme| {
        let path = format!("/{}", scheme.name);
        let arrival = wait::until(&format!("{id} comes to {path}"), ARRIVAL, || {
            Ok(application.arrivals(&path).into_iter().find(|arrival| arrival.header("x-webhook-id") == id))
        })?;
        Ok((scheme, arrival))
    };
    SCHEMES.into_iter().map(arrival).collect()
}

/// The same for a receiver that looks into the header of the further signatures instead.
fn under_the_second(scheme: &Scheme, mut headers: Headers) -> Option<Headers> {
    let (first, also) = (scheme.headers.0, scheme.headers.1?);
    let second = headers.remove(also)?;
    headers.insert(first.to_owned(), second);
    Some(headers)
}

/// Receivers that know only `first` verify; those that know only `second` do where one header carries both, and find it
/// in the other header elsewhere.
fn is_signed_with_both(scheme: &Scheme, arrival: &Arrival, old_is_first: bool) -> Result<()> {
    let (first, second) = if old_is_first { (scheme.old, scheme.new) } else { (scheme.new, scheme.old) };
    let headers = headers(arrival)?;
    is_read_by_all(scheme, first, &headers, &arrival.body, true)?;
    is_read_by_all(scheme, scheme.other, &headers, &arrival.body, false)?;
    if scheme.headers.1.is_none() {
        return is_read_by_all(scheme, second, &headers, &arrival.body, true);
    }
    is_read_by_all(scheme, second, &headers, &arrival.body, false)?;
    let headers = under_the_second(scheme, headers);
    let headers = headers.unwrap_or_else(|| panic!("{}: no second signature in {:#?}", scheme.name, arrival.headers));
    is_read_by_all(scheme, second, &headers, &arrival.body, true)
}

fn is_signed_with_one_alone(scheme: &Scheme, arrival: &Arrival, key: SchemeKey, other: SchemeKey) -> Result<()> {
    let headers = headers(arrival)?;
    is_read_by_all(scheme, key, &headers, &arrival.body, true)?;
    is_read_by_all(scheme, other, &headers, &arrival.body, false)?;
    assert!(under_the_second(scheme, headers).is_none(), "{}: {:#?}", scheme.name, arrival.headers);
    Ok(())
}

/// While two secrets are live receivers of the first verify and after the switch those of the second.
#[test]
fn receivers_verify_before_and_after_the_secret_switch() -> Result<()> {
    let application = Application::start()?;
    let (old, new) =
        (|scheme: &Scheme| json!({"value": scheme.old.signs}), |scheme: &Scheme| json!({"value": scheme.new.signs}));
    let before = setup(&application, &SCHEMES.map(|scheme| signing(&scheme, &[old(&scheme), new(&scheme)])));
    let after = setup(&application, &SCHEMES.map(|scheme| signing(&scheme, &[new(&scheme), old(&scheme)])));
    let end = setup(&application, &SCHEMES.map(|scheme| signing(&scheme, &[new(&scheme)])));
    let gateway = Gateway::start_dynamic(&before)?;
    for (scheme, arrival) in deliver(&gateway, &application)? {
        is_signed_with_both(&scheme, &arrival, true)?;
    }
    ensure!(gateway.update(&after)?, "Envoy takes it");
    for (scheme, arrival) in deliver(&gateway, &application)? {
        is_signed_with_both(&scheme, &arrival, false)?;
    }
    ensure!(gateway.update(&end)?, "Envoy takes it");
    for (scheme, arrival) in deliver(&gateway, &application)? {
        is_signed_with_one_alone(&scheme, &arrival, scheme.new, scheme.old)?;
    }
    Ok(())
}

/// No second rollout: one config holds what was, what is, and what will be.
#[test]
fn only_current_secrets_sign_and_the_next_takes_over() -> Result<()> {
    let application = Application::start()?;
    let date = |seconds: u64| jiff::Timestamp::from_second(i64::try_from(seconds).unwrap()).unwrap().to_string();
    let timed = |new_from: u64, old_until: u64| {
        let endpoints = SCHEMES.map(|scheme| {
            let secrets = [
                json!({"value": scheme.other.signs, "not_after": date(now() - 3600)}),
                json!({"value": scheme.old.signs, "not_after": date(old_until)}),
                json!({"value": scheme.new.signs, "not_before": date(new_from)}),
            ];
            signing(&scheme, &secrets)
        });
        setup(&application, &endpoints)
    };
    let gateway = Gateway::start_dynamic(&timed(now() + 1800, now() + 3600))?;
    for (scheme, arrival) in deliver(&gateway, &application)? {
        is_signed_with_one_alone(&scheme, &arrival, scheme.old, scheme.new)?;
    }
    // The time is set once Envoy is up, for it may take long to start.
    let switch = now() + 20;
    ensure!(gateway.update(&timed(now() - 1, switch))?, "Envoy takes it");
    let over = SystemTime::UNIX_EPOCH + Duration::from_secs(switch);
    for (scheme, arrival) in deliver(&gateway, &application)? {
        // What comes before has been signed before.
        if arrival.at < over {
            is_signed_with_both(&scheme, &arrival, true)?;
        }
    }
    wait::until("the old secret's time is over", ARRIVAL, || Ok((SystemTime::now() >= over).then_some(())))?;
    for (scheme, arrival) in deliver(&gateway, &application)? {
        is_signed_with_one_alone(&scheme, &arrival, scheme.new, scheme.old)?;
    }
    Ok(())
}

const ARRIVAL: Duration = Duration::from_secs(30);
