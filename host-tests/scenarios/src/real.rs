//! A real Envoy as a gateway, with the receiver that verifies by itself.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use gatepost_e2e::{Connection, Event, Pending, Protocol, Setup};
use gatepost_kit::artifact;
use gatepost_kit::example::AUTHORIZATION;
use gatepost_kit::receiver::{Options, Receiver, Record};
use serde_json::{Value, json};

use crate::gateway::http_date;
use crate::{APPLICATION, Answer, Build, ENDPOINTS, Gateway, Reply, Request, Seen, Start, Ticket, VARIABLE, secret};

/// An Envoy with two workers, and a receiver.
pub struct Real {
    gateway: gatepost_e2e::Gateway,
    /// The gateway behind the first one, if there is one.
    inner: Option<gatepost_e2e::Gateway>,
    /// The receiver; `None` while nobody listens.
    receiver: Option<Receiver>,
    port: u16,
    /// The attempts that former receivers saw, by endpoint.
    earlier: HashMap<String, Vec<Seen>>,
    kept: HashMap<usize, Connection>,
    requests: HashMap<Ticket, (Option<usize>, Pending)>,
    tickets: usize,
}

impl Real {
    /// Starts Envoy and the receiver.
    ///
    /// # Errors
    /// When either does not come up.
    pub fn start(start: &Start) -> Result<Self> {
        let receiver = receiver(0)?;
        let (_, port) = receiver.address().rsplit_once(':').context("the receiver has no port")?;
        let port = port.parse()?;
        let inner = match start.is_behind_itself {
            true => Some(gatepost_e2e::Gateway::start_dynamic(&setup(port, start, None)?)?),
            false => None,
        };
        let setup = setup(port, start, inner.as_ref())?;
        // Ten minutes are Envoy's default.
        let setup = if start.drains_at_once { setup.with_arguments(&["--drain-time-s", "1"]) } else { setup };
        Ok(Self {
            gateway: gatepost_e2e::Gateway::start_dynamic(&setup)?,
            inner,
            receiver: Some(receiver),
            port,
            earlier: HashMap::new(),
            kept: HashMap::new(),
            requests: HashMap::new(),
            tickets: 0,
        })
    }

    fn receiver(&self) -> Result<&Receiver> {
        self.receiver.as_ref().context("the receivers have ended")
    }

    fn take(&mut self, ticket: Ticket) -> Result<(Option<usize>, Pending)> {
        self.requests.remove(&ticket).context("no such request waits")
    }
}

fn receiver(port: u16) -> Result<Receiver> {
    let secrets = ENDPOINTS.map(secret);
    let endpoints: Vec<(&str, &str)> = ENDPOINTS.into_iter().zip(secrets.iter().map(String::as_str)).collect();
    Receiver::start(&endpoints, &Options { port, ..Options::default() })
}

fn setup(port: u16, start: &Start, inner: Option<&gatepost_e2e::Gateway>) -> Result<Setup> {
    let receiver = format!("127.0.0.1:{port}");
    let setup = ENDPOINTS.into_iter().fold(Setup::bare(start.config.clone()), |setup, name| {
        // Every endpoint has its cluster, whether this configuration uses it or not.
        setup.with_cluster(name, &receiver)
    });
    let setup = setup.with_application("/hooks", APPLICATION, &receiver);
    let setup = inner.into_iter().fold(setup, |setup, inner| setup.with_cluster("gateway", inner.address()));
    let setup = setup.with_env(VARIABLE.0, VARIABLE.1).administered();
    let setup = if start.fail_closed { setup.with_around(json!({"failure_policy": "FAIL_CLOSED"})) } else { setup };
    Ok(match start.build {
        Build::Released => setup,
        Build::Trapping => setup.with_wasm(artifact::wasm_that_traps()?),
    })
}

impl Gateway for Real {
    fn is_exact(&self) -> bool {
        false
    }

    fn begin(&mut self, request: &Request) -> Result<Ticket> {
        let mut event = Event::request(&request.method, &request.path);
        event.headers.clone_from(&request.headers);
        event.body.clone_from(&request.body);
        event.chunk = request.chunk;
        event.trailers.extend(request.trailer.clone());
        if request.path.starts_with("/events") {
            event = event.with_header("authorization", AUTHORIZATION);
        }
        let protocol = if request.is_http2 { Protocol::Http2 } else { Protocol::Http1 };
        let kept = request.over.and_then(|connection| self.kept.remove(&connection));
        let connection = match (kept.filter(|kept| !kept.is_closed()), request.over) {
            (Some(kept), _) => kept,
            (None, Some(connection)) => self.gateway.connect_to(connection % 2, protocol)?,
            (None, None) => self.gateway.connect(protocol)?,
        };
        self.tickets += 1;
        self.requests.insert(Ticket(self.tickets), (request.over, connection.begin(event)));
        Ok(Ticket(self.tickets))
    }

    fn finish(&mut self, ticket: Ticket) -> Result<Answer> {
        let (over, pending) = self.take(ticket)?;
        let (answer, connection) = pending.finish()?;
        over.and_then(|over| self.kept.insert(over, connection));
        let headers = answer.headers.iter();
        Ok(Answer {
            status: answer.status,
            headers: headers
                .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
                .collect(),
            json: serde_json::from_slice(&answer.body).unwrap_or_default(),
        })
    }

    fn is_answered(&mut self, ticket: Ticket) -> Result<bool> {
        let (_, pending) = self.requests.get(&ticket).context("no such request waits")?;
        Ok(pending.is_finished())
    }

    fn leave(&mut self, ticket: Ticket) -> Result<()> {
        let (_, pending) = self.take(ticket)?;
        pending.leave();
        Ok(())
    }

    fn script(&mut self, endpoint: &str, replies: &[Reply]) -> Result<()> {
        let replies: Vec<Value> = replies
            .iter()
            .map(|reply| match *reply {
                Reply::Status(status) => json!({"status": status}),
                Reply::RetryAfter(status, seconds) => retry_after(status, &seconds.to_string()),
                Reply::RetryAt(status, seconds) => retry_after(status, &http_date(seconds)),
                Reply::Slow(time) => json!({"delay": time.as_secs_f64()}),
                Reply::Hang => json!({"act": "hang"}),
                Reply::Reset => json!({"act": "reset"}),
                Reply::Drop => json!({"act": "drop"}),
                Reply::NoHttp => json!({"act": "babble"}),
            })
            .collect();
        self.receiver()?.script(endpoint, &json!({"replies": replies}))
    }

    fn arrived(&mut self, endpoint: &str) -> Result<usize> {
        let earlier = self.earlier.get(endpoint).map_or(0, Vec::len);
        let Some(receiver) = &self.receiver else { return Ok(earlier) };
        Ok(earlier + usize::try_from(receiver.counters(endpoint)?.requests)?)
    }

    fn seen(&mut self, endpoint: &str) -> Result<Vec<Seen>> {
        let mut all = self.earlier.get(endpoint).cloned().unwrap_or_default();
        if let Some(receiver) = &self.receiver {
            all.extend(receiver.records(endpoint, 0)?.into_iter().map(seen));
        }
        Ok(all)
    }

    fn shut(&mut self) -> Result<()> {
        for name in ENDPOINTS {
            let seen = self.seen(name)?;
            self.earlier.insert(name.to_owned(), seen);
        }
        self.receiver = None;
        Ok(())
    }

    fn reopen(&mut self) -> Result<()> {
        self.receiver = Some(receiver(self.port)?);
        Ok(())
    }

    fn now(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    /// Sleeps: on a real gateway time is real. The scenario says that nothing is to happen meanwhile.
    fn pass(&mut self, time: Duration) -> Result<()> {
        thread::sleep(time);
        Ok(())
    }

    fn update(&mut self, to: &Start) -> Result<bool> {
        self.gateway.update(&setup(self.port, to, self.inner.as_ref())?)
    }

    fn drain(&mut self) -> Result<()> {
        self.gateway.wait_until_drained()
    }
}

fn retry_after(status: u16, value: &str) -> Value {
    json!({"status": status, "headers": {"retry-after": value}})
}

fn seen(record: Record) -> Seen {
    Seen {
        // The time that was signed: an attempt that arrives late would make the next one seem early.
        at: Duration::from_secs_f64(record.signed),
        wall: Duration::from_secs_f64(record.wall),
        body: record.body(),
        verified: record.problem.is_none(),
        headers: record.headers,
    }
}
