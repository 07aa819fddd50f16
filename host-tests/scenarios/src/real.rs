//! A real Envoy as a gateway, with the receiver that verifies by itself.

use std::thread;
use std::time::Duration;

use anyhow::Result;
use gatepost_cli::receiver::{Options, Receiver};
use gatepost_cli::wait;
use gatepost_e2e::{Event, Setup};
use serde_json::{Value, json};

use crate::{Answer, ENDPOINTS, Gateway, Reply, Seen, merge, secret};

const LIMIT: Duration = Duration::from_secs(30);

/// An Envoy with two workers, and a receiver.
pub struct Real {
    gateway: gatepost_e2e::Gateway,
    receiver: Receiver,
    updates: u64,
}

impl Real {
    /// Starts both.
    ///
    /// # Errors
    /// When one does not come up.
    pub fn start(config: &Value) -> Result<Self> {
        let secrets = ENDPOINTS.map(secret);
        let endpoints: Vec<(&str, &str)> = ENDPOINTS.into_iter().zip(secrets.iter().map(String::as_str)).collect();
        let receiver = Receiver::start(&endpoints, &Options::default())?;
        let gateway = gatepost_e2e::Gateway::start_dynamic(&setup(&receiver, config))?;
        Ok(Self { gateway, receiver, updates: 0 })
    }
}

fn setup(receiver: &Receiver, config: &Value) -> Setup {
    // Every endpoint has its cluster, whether this configuration uses it or not.
    let clusters = ENDPOINTS.map(|name| json!({"name": name}));
    Setup::new(receiver, &clusters).with(config.clone())
}

impl Gateway for Real {
    fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer> {
        let mut event = Event::new("", body);
        path.clone_into(&mut event.path);
        let event = headers.iter().fold(event, |event, (name, value)| event.with_header(name, value));
        let answer = self.gateway.send(&event)?;
        Ok(Answer {
            status: answer.status,
            json: serde_json::from_slice(&answer.body).unwrap_or_default(),
            replayed: answer.header("idempotent-replayed") == "true",
        })
    }

    fn script(&mut self, endpoint: &str, replies: &[Reply]) -> Result<()> {
        let replies: Vec<Value> = replies
            .iter()
            .map(|reply| match reply {
                Reply::Status(status) => json!({"status": status}),
                Reply::RetryAfter(status, seconds) => {
                    json!({"status": status, "headers": {"retry-after": seconds.to_string()}})
                }
                Reply::Hang => json!({"act": "hang"}),
                Reply::Drop => json!({"act": "drop"}),
            })
            .collect();
        self.receiver.script(endpoint, &json!({"replies": replies}))
    }

    fn wait_for(&mut self, endpoint: &str, attempts: usize) -> Result<Vec<Seen>> {
        let records = self.receiver.wait_for(endpoint, attempts, LIMIT)?;
        let seen = records.iter().map(|record| Seen {
            at: Duration::from_secs_f64(record.monotonic),
            id: record.id.clone(),
            attempt: record.header("x-webhook-attempt").to_owned(),
            event: record.header("x-webhook-event").to_owned(),
            agent: record.header("user-agent").to_owned(),
            body: record.body(),
            verified: record.problem.is_none(),
        });
        Ok(seen.collect())
    }

    /// Here it is the real time, and the scenario says that nothing is to happen in it.
    fn pass(&mut self, time: Duration) -> Result<()> {
        thread::sleep(time);
        Ok(())
    }

    fn update(&mut self, config: &Value) -> Result<()> {
        self.updates += 1;
        let mut config = config.clone();
        // Whatever is left out is left out of the new one too.
        merge(&mut config, json!({}));
        self.gateway.update(&setup(&self.receiver, &config))?;
        wait::until("the new configuration serves", LIMIT, || {
            let modified = self.gateway.envoy.stat("listener_manager.listener_modified")?;
            let warming = self.gateway.envoy.stat("listener_manager.total_listeners_warming")?;
            Ok((modified >= self.updates && warming == 0).then_some(()))
        })?;
        // Its first tick.
        self.pass(Duration::from_secs(1))
    }
}
