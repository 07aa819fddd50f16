//! What the libraries sign, verified by the gateway in front of an application.

use anyhow::Result;
use gatepost_e2e::application::Arrival;
use gatepost_e2e::{Answer, Application, Event, Gateway, Setup};
use serde_json::{Value, json};

use super::library::{Headers, Library};
use super::scheme::{SCHEMES, Scheme, SchemeKey, now, tampered};

/// A rule of this name, for the path of the same name.
fn rule(name: &str, scheme: &Scheme, keys: &[SchemeKey]) -> Value {
    json!({
        "name": name,
        "match": {"path": format!("/inbound/{name}")},
        "secrets": keys.iter().map(|key| json!({"value": key.verifies})).collect::<Vec<_>>(),
        "signature": scheme.signature(),
    })
}

fn start(application: &Application, rules: &[Value]) -> Result<Gateway> {
    let setup = Setup::bare(json!({"inbound": rules}));
    Gateway::start(&setup.with_application("/inbound", "application", application.address()))
}

/// What has come to the application, whatever the rule.
fn arrivals(application: &Application) -> Vec<Arrival> {
    application.arrivals("/application")
}

/// Where Stripe and Slack look for an id; everybody else finds it in a header.
fn body(id: &str) -> Vec<u8> {
    format!("{{ \"object\":\"event\", \"type\":\"event_callback\", \"id\":\"{id}\",\r\n\"event_id\": \"{id}\", \"payer\":\"Zo\u{eb}\"}}").into_bytes()
}

fn send(gateway: &Gateway, name: &str, headers: &Headers, body: &[u8]) -> Result<Answer> {
    let mut request =
        Event::request("POST", &format!("/inbound/{name}")).with_header("content-type", "application/json");
    // What a client claims of itself reaches nobody.
    request = request.with_header("x-gatepost-verified", "forged");
    for (header, value) in headers {
        request = request.with_header(header, value);
    }
    request.body = body.to_vec();
    gateway.send(&request)
}

/// Counts the messages of a library, so that each has an id of its own.
struct LibrarySender<'a> {
    library: &'a Library,
    sent: u32,
}

impl LibrarySender<'_> {
    fn next(&mut self, key: SchemeKey) -> Result<(Headers, Vec<u8>)> {
        self.sent += 1;
        let id = format!("{:?}-{}", self.library.language, self.sent);
        let body = body(&id);
        Ok((self.library.sign(key.signs, &id, now(), &body)?, body))
    }
}

/// What a library signs with either live secret arrives marked and anything else gets 401.
#[test]
fn either_live_secret_is_accepted_and_others_get_401() -> Result<()> {
    let application = Application::start()?;
    let rules = SCHEMES.map(|scheme| rule(scheme.name, &scheme, &[scheme.old, scheme.new]));
    let gateway = start(&application, &rules)?;
    for scheme in SCHEMES {
        let before = arrivals(&application).len();
        let mut good = Vec::new();
        for library in &scheme.libraries()? {
            let mut sender = LibrarySender { library, sent: 0 };
            for key in [scheme.old, scheme.new] {
                let (headers, body) = sender.next(key)?;
                // The tampered one comes first: that it was refused keeps nobody from sending the right one.
                let answer = send(&gateway, scheme.name, &headers, &tampered(&body))?;
                assert_eq!(answer.status, 401, "{library}: {}", answer.text());
                assert_eq!(answer.header("content-type"), "application/problem+json", "{library}");
                let answer = send(&gateway, scheme.name, &headers, &body)?;
                assert_eq!(answer.status, 200, "{library}: {}", answer.text());
                good.push(body);
            }
            let (headers, body) = sender.next(scheme.other)?;
            let answer = send(&gateway, scheme.name, &headers, &body)?;
            assert_eq!(answer.status, 401, "{library}, with a secret nobody knows: {}", answer.text());
        }
        let arrivals = arrivals(&application).split_off(before);
        let bodies: Vec<_> = arrivals.iter().map(|arrival| arrival.body.clone()).collect();
        assert_eq!(bodies, good, "{}", scheme.name);
        for arrival in &arrivals {
            assert_eq!(arrival.header("x-gatepost-verified"), scheme.name, "{:#?}", arrival.headers);
        }
    }
    assert_eq!(gateway.traps()?, 0);
    Ok(())
}

/// A message that a library sends again is acknowledged and arrives once.
#[test]
fn repeated_library_message_is_acknowledged_and_seen_once() -> Result<()> {
    let application = Application::start()?;
    let gateway = start(&application, &SCHEMES.map(|scheme| rule(scheme.name, &scheme, &[scheme.old, scheme.new])))?;
    for scheme in SCHEMES {
        let before = arrivals(&application).len();
        let libraries = scheme.libraries()?;
        for library in &libraries {
            let (headers, body) = LibrarySender { library, sent: 0 }.next(scheme.new)?;
            for _ in 0..3 {
                let answer = send(&gateway, scheme.name, &headers, &body)?;
                assert_eq!(answer.status, 200, "{library}: {}", answer.text());
            }
        }
        assert_eq!(arrivals(&application).len() - before, libraries.len(), "{}", scheme.name);
    }
    Ok(())
}

/// One rule may hold a shared secret and a public key for a sender that moves from one to the other.
#[test]
fn rule_with_shared_secret_and_public_key_accepts_both() -> Result<()> {
    let [standard, asymmetric, ..] = SCHEMES;
    let application = Application::start()?;
    let gateway = start(&application, &[rule("moving", &standard, &[standard.old, asymmetric.old])])?;
    for scheme in [standard, asymmetric] {
        for library in &scheme.libraries()? {
            let mut sender = LibrarySender { library, sent: 0 };
            let (headers, body) = sender.next(scheme.old)?;
            assert_eq!(send(&gateway, "moving", &headers, &body)?.status, 200, "{library}");
            let (headers, body) = sender.next(scheme.new)?;
            assert_eq!(send(&gateway, "moving", &headers, &body)?.status, 401, "{library}");
        }
    }
    Ok(())
}

/// Slack posts commands and what people click as forms.
#[test]
fn slack_form_without_an_id_is_deduplicated() -> Result<()> {
    let slack = SCHEMES[4];
    let application = Application::start()?;
    let gateway = start(&application, &[rule("slack", &slack, &[slack.old])])?;
    for (number, library) in slack.libraries()?.iter().enumerate() {
        let form = b"team_id=T1DC2JH3J&command=%2Fpay&text=&response_url=https%3A%2F%2Fhooks.slack.com%2F1";
        let signed = |at: u64| library.sign(slack.old.signs, "", at, form);
        let first = now();
        // The same command in another second is another one.
        for (at, arrived) in [(first, 1), (first, 1), (first - 1, 2)] {
            let answer = send(&gateway, "slack", &signed(at)?, form)?;
            assert_eq!(answer.status, 200, "{library}: {}", answer.text());
            assert_eq!(arrivals(&application).len(), 2 * number + arrived, "{library}");
        }
    }
    Ok(())
}
