//! Replays: the same inbound message again.

use std::time::Duration;

use serde_json::json;

use super::inbound::{got, receiving, said, signed, told};
use crate::steps::{pass, send, until, update, wait_for};
use crate::{APPLICATION, Reply, Request, Scenario};

/// The same message under another id, which scheme `timestamped` does not sign.
fn renamed(message: &Request) -> Request {
    let mut message = message.clone();
    message.headers.iter_mut().filter(|(name, _)| name == "x-webhook-id").for_each(|(_, id)| "evt-2".clone_into(id));
    message
}

pub fn all() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "inbound: the same message again is acknowledged, whichever worker gets it, and seen once",
            start: || receiving(json!({})),
            play: |gateway| {
                let message = signed(gateway, "evt-1")?;
                let mut observed = Vec::new();
                for worker in [0, 1, 0] {
                    observed.push(told(gateway, &message.clone().over(worker))?);
                }
                // A sender that tries again signs afresh; an attacker who replays the message may give it another id.
                pass(gateway, 10)?;
                let afresh = signed(gateway, "evt-1")?;
                observed.push(told(gateway, &afresh)?);
                observed.push(told(gateway, &renamed(&message))?);
                observed.extend(got(gateway)?);
                Ok(observed)
            },
            expected: &[
                "200",
                "200 duplicate",
                "200 duplicate",
                "200 duplicate",
                "200 duplicate",
                r#"the application got evt-1, untouched, verified by "partner""#,
            ],
        },
        Scenario {
            name: "inbound: or it is rejected, and another config knows it as well",
            start: || receiving(json!({"replay": {"duplicate": "reject"}})),
            play: |gateway| {
                let message = signed(gateway, "evt-1")?;
                let mut observed = vec![told(gateway, &message)?, told(gateway, &message)?];
                observed.push(update(gateway, &receiving(json!({"replay": {"ttl": "20m"}})))?);
                observed.push(told(gateway, &message)?);
                observed.extend(got(gateway)?);
                Ok(observed)
            },
            expected: &[
                "200",
                "409 this message was seen before",
                "taken: true",
                "200 duplicate",
                r#"the application got evt-1, untouched, verified by "partner""#,
            ],
        },
        Scenario {
            name: "inbound: while the application has a message it is a conflict on either worker",
            start: || receiving(json!({})),
            play: |gateway| {
                gateway.script(APPLICATION, &[Reply::Slow(Duration::from_secs(6))])?;
                let message = signed(gateway, "evt-1")?;
                let first = gateway.begin(&message.clone().over(0))?;
                wait_for(gateway, APPLICATION, 1)?;
                let mut observed = Vec::new();
                for worker in [0, 1] {
                    // The connection of the first request is in use.
                    let meanwhile = send(gateway, &message.clone().over(worker + 2))?;
                    observed.push(format!("{}, retry-after {}", said(&meanwhile), meanwhile.header("retry-after")));
                }
                observed.push(said(&gateway.finish(first)?));
                observed.push(told(gateway, &message)?);
                observed.extend(got(gateway)?);
                Ok(observed)
            },
            expected: &[
                "409 this message is being processed, retry-after 1",
                "409 this message is being processed, retry-after 1",
                "200",
                "200 duplicate",
                r#"the application got evt-1, untouched, verified by "partner""#,
            ],
        },
        Scenario {
            name: "inbound: a message that the application did not take it sees again",
            start: || receiving(json!({})),
            play: |gateway| {
                gateway.script(APPLICATION, &[Reply::Status(500), Reply::Status(404), Reply::Reset])?;
                let message = signed(gateway, "evt-1")?;
                let mut observed = Vec::new();
                for worker in [0, 1, 0, 1, 0] {
                    let answer = send(gateway, &message.clone().over(worker))?;
                    observed.push(said(&answer));
                }
                observed.push(format!("the application got {}", gateway.arrived(APPLICATION)?));
                Ok(observed)
            },
            expected: &["500", "404", "503", "200", "200 duplicate", "the application got 4"],
        },
        Scenario {
            name: "inbound: a message whose client left comes again",
            start: || receiving(json!({})),
            play: |gateway| {
                gateway.script(APPLICATION, &[Reply::Hang])?;
                let message = signed(gateway, "evt-1")?;
                let left = gateway.begin(&message)?;
                wait_for(gateway, APPLICATION, 1)?;
                gateway.leave(left)?;
                let again = until(gateway, "the claim is given back", |gateway| {
                    let answer = send(gateway, &message)?;
                    Ok((answer.status != 409).then(|| said(&answer)))
                })?;
                let after = told(gateway, &message)?;
                Ok(vec![again, after, format!("the application got {}", gateway.arrived(APPLICATION)?)])
            },
            expected: &["200", "200 duplicate", "the application got 2"],
        },
    ]
}
