//! A fleet: gateways that share a journal on one etcd, each of which can be killed and started again.
//!
//! - [`load`]: producers that send to all of them, as behind a load balancer.
//! - [`account`]: what became of what they sent.

pub mod account;
pub mod load;

use std::collections::BTreeSet;
use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};

use crate::envoy::{Envoy, Launch};
use crate::etcd::Etcd;
use crate::example::{ADMIN_AUTHORIZATION, ADMIN_LISTENER, AUTHORIZATION, LISTENER};
use crate::{http, port, wait};

/// Gateways and the etcd that their journal is on; all end when this is dropped, the gateways first.
pub struct Fleet {
    gateways: Vec<Gateway>,
    /// Their etcd.
    pub etcd: Etcd,
}

/// A gateway: the same addresses in all its lives.
pub struct Gateway {
    launch: Launch,
    address: String,
    admin: String,
    envoy: Option<Envoy>,
    http: ureq::Agent,
}

/// What a gateway answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The header `retry-after`; empty when there is none.
    pub retry_after: String,
    /// The body, if it is JSON.
    pub body: Value,
}

impl Answer {
    /// The id of an accepted event; empty when there is none.
    pub fn id(&self) -> &str {
        self.body.get("id").and_then(Value::as_str).unwrap_or_default()
    }
}

impl Fleet {
    /// Starts a gateway for each of these and waits until all answer. They get ports of their own, that of Envoy's admin
    /// interface apart.
    ///
    /// # Errors
    /// When one does not come up; the error holds the end of its log.
    pub fn start(etcd: Etcd, launches: Vec<Launch>) -> Result<Self> {
        let starting: Vec<_> = launches.into_iter().map(|launch| thread::spawn(|| Gateway::start(launch))).collect();
        let started = starting.into_iter().map(|start| start.join().map_err(|_| anyhow!("a start panicked"))?);
        Ok(Self { gateways: started.collect::<Result<Vec<_>>>()?, etcd })
    }

    /// A gateway.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn gateway(&self, number: usize) -> Result<&Gateway> {
        self.gateways.get(number).with_context(|| format!("there is no gateway {number}"))
    }

    /// A gateway, to kill it or to start it again.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn gateway_mut(&mut self, number: usize) -> Result<&mut Gateway> {
        self.gateways.get_mut(number).with_context(|| format!("there is no gateway {number}"))
    }

    /// `host:port` of every gateway, for events.
    pub fn addresses(&self) -> Vec<String> {
        self.gateways.iter().map(|gateway| gateway.address.clone()).collect()
    }
}

impl Gateway {
    /// Starts one, and waits until it answers.
    ///
    /// # Errors
    /// When it does not come up; the error holds the end of its log.
    pub fn start(launch: Launch) -> Result<Self> {
        let (address, admin) = (format!("127.0.0.1:{}", port::free()?), format!("127.0.0.1:{}", port::free()?));
        let mut gateway =
            Self { launch: launch.clone(), address, admin, envoy: None, http: http::client_within(ANSWER) };
        gateway.set_launch(launch)?;
        gateway.restart()?;
        Ok(gateway)
    }

    /// Starts it again, at the addresses it had, and waits until it answers.
    ///
    /// # Errors
    /// When it runs already, or does not come up; the error then holds the end of its log.
    pub fn restart(&mut self) -> Result<()> {
        ensure!(self.envoy.is_none(), "the gateway at {} runs already", self.address);
        self.envoy = Some(Envoy::start(&self.launch)?);
        // Its listeners are open before its first worker has begun.
        wait::until("the filter begins to deliver", READY, || Ok(self.status().ok().map(drop)))
    }

    /// Has it start with another config the next time, at the addresses it has.
    ///
    /// # Errors
    /// When that config lacks a listener.
    pub fn set_launch(&mut self, mut launch: Launch) -> Result<()> {
        for (name, address) in [(LISTENER, &self.address), (ADMIN_LISTENER, &self.admin)] {
            let (_, port) = address.rsplit_once(':').context("an address has a port")?;
            set_port(&mut launch.config, name, port.parse()?)?;
        }
        self.launch = launch;
        Ok(())
    }

    /// Its Envoy.
    ///
    /// # Errors
    /// When it does not run.
    pub fn envoy(&self) -> Result<&Envoy> {
        self.envoy.as_ref().with_context(|| format!("the gateway at {} does not run", self.address))
    }

    /// Kills it with SIGKILL; gives back when, in seconds since the Unix epoch.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&mut self) -> Result<f64> {
        let envoy = self.envoy.take().with_context(|| format!("the gateway at {} does not run", self.address))?;
        let killed = now()?;
        drop(envoy);
        Ok(killed)
    }

    /// Ends it with SIGTERM, and waits until it has ended.
    ///
    /// # Errors
    /// When it does not run, or does not end within a minute.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        let status = self.envoy()?.terminate()?;
        self.envoy = None;
        Ok(status)
    }

    /// `host:port` of the listener for events.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// `host:port` of the listener of the admin surface.
    pub fn admin_address(&self) -> &str {
        &self.admin
    }

    /// Sends an event of this type; a refusal is an answer.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn send(&self, event: &str, body: &Value) -> Result<Answer> {
        self.send_with(event, body, &[])
    }

    /// The same with more headers.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn send_with(&self, event: &str, body: &Value, headers: &[(&str, &str)]) -> Result<Answer> {
        let request = self.http.post(format!("http://{}/events/{event}", self.address));
        let request = request.header("authorization", AUTHORIZATION);
        answer(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send_json(body)?)
    }

    /// Sends an event until it is accepted: a gateway that has just begun has no lease yet, and says so.
    ///
    /// # Errors
    /// When it is not within a minute, or is answered anything but 202 and 503.
    pub fn send_until_accepted(&self, event: &str, body: &Value) -> Result<Answer> {
        wait::until("an event is accepted", READY, || {
            let answer = self.send(event, body)?;
            ensure!([202, 503].contains(&answer.status), "{answer:?}");
            Ok((answer.status == 202).then_some(answer))
        })
    }

    fn admin_url(&self, path: &str) -> String {
        format!("http://{}/gatepost/{path}", self.admin)
    }

    /// What the admin surface answers to a GET below `/gatepost`.
    ///
    /// # Errors
    /// When it does not answer, or not with 200.
    pub fn admin(&self, path: &str) -> Result<Value> {
        done("GET", path, self.http.get(self.admin_url(path)).header("authorization", ADMIN_AUTHORIZATION).call()?)
    }

    /// Changes something by the admin surface: a PUT below `/gatepost`.
    ///
    /// # Errors
    /// When it does not answer, or not with 200.
    pub fn put(&self, path: &str, body: &Value) -> Result<Value> {
        let request = self.http.put(self.admin_url(path)).header("authorization", ADMIN_AUTHORIZATION);
        done("PUT", path, request.send_json(body)?)
    }

    /// Orders something of the admin surface: a POST below `/gatepost`, without a body.
    ///
    /// # Errors
    /// When it does not answer, or not with 200.
    pub fn post(&self, path: &str) -> Result<Value> {
        let request = self.http.post(self.admin_url(path)).header("authorization", ADMIN_AUTHORIZATION);
        done("POST", path, request.send_json(json!({}))?)
    }

    /// Takes something away by the admin surface: a DELETE below `/gatepost`.
    ///
    /// # Errors
    /// When it does not answer, or not with 200.
    pub fn delete(&self, path: &str) -> Result<Value> {
        done(
            "DELETE",
            path,
            self.http.delete(self.admin_url(path)).header("authorization", ADMIN_AUTHORIZATION).call()?,
        )
    }

    /// The deliveries of which it lists dead letters.
    ///
    /// # Errors
    /// When it does not answer, or lists none.
    pub fn dead_letters(&self) -> Result<BTreeSet<String>> {
        let answer = self.admin("dead-letters")?;
        let listed = answer.get("dead_letters").and_then(Value::as_array);
        let listed = listed.with_context(|| format!("no `dead_letters` in {answer}"))?;
        let name = |letter: &Value| Some(letter.get("delivery")?.as_str()?.to_owned());
        listed.iter().map(|letter| name(letter).with_context(|| letter.to_string())).collect()
    }

    /// Its status.
    ///
    /// # Errors
    /// When it does not answer, or not with 200.
    pub fn status(&self) -> Result<Value> {
        self.admin("status")
    }

    /// What it says is pending.
    ///
    /// # Errors
    /// When it does not say.
    pub fn pending(&self) -> Result<u64> {
        let status = self.status()?;
        status.get("pending").and_then(Value::as_u64).with_context(|| format!("no `pending` in {status}"))
    }

    /// Asks it to give up what it has, and waits until it has.
    ///
    /// # Errors
    /// When it does not answer within a minute.
    pub fn drain(&self) -> Result<Answer> {
        let request = http::client_within(DRAIN).post(self.admin_url("drain"));
        answer(request.header("authorization", ADMIN_AUTHORIZATION).send_json(json!({}))?)
    }
}

/// What the admin surface answers to an order that it carries out.
fn done(method: &str, path: &str, response: ureq::http::Response<ureq::Body>) -> Result<Value> {
    let answer = answer(response)?;
    ensure!(answer.status == 200, "{method} {path}: {answer:?}");
    Ok(answer.body)
}

fn answer(mut response: ureq::http::Response<ureq::Body>) -> Result<Answer> {
    let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
    let retry_after = retry_after.unwrap_or_default().to_owned();
    let text = response.body_mut().read_to_string()?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok(Answer { status: response.status().as_u16(), retry_after, body })
}

/// Gives a listener this port.
fn set_port(config: &mut Value, name: &str, port: u16) -> Result<()> {
    let listeners = config.pointer_mut("/static_resources/listeners").and_then(Value::as_array_mut);
    let mut listeners = listeners.into_iter().flatten();
    let listener = listeners.find(|listener| listener.get("name").and_then(Value::as_str) == Some(name));
    let at = listener.and_then(|listener| listener.pointer_mut("/address/socket_address/port_value"));
    *at.with_context(|| format!("the config has no listener {name}"))? = json!(port);
    Ok(())
}

/// Seconds since the Unix epoch.
///
/// # Errors
/// When the clock is before it.
pub fn now() -> Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64())
}

/// Longer than a gateway tries to reach its journal for, 4 s.
const ANSWER: Duration = Duration::from_secs(20);
/// A filter begins within a second; a machine that compiles at the same time may need far longer.
const READY: Duration = Duration::from_secs(60);
/// A drain is answered within 60 s.
const DRAIN: Duration = Duration::from_secs(90);
