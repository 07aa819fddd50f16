//! The simulated Envoy as a gateway.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use gatepost_kit::artifact;
use host_tests::{Application, Builder, Call, Filter, Forwarded, Headers, Process, StartError, StreamId, Upstream};

use crate::steps::signature;
use crate::{APPLICATION, Answer, Build, ENDPOINTS, Gateway, Reply, Request, Seen, Start, Ticket, VARIABLE, secret};

/// The longest time that an answer may take, in simulated time.
const LIMIT: Duration = Duration::from_secs(90);

/// A simulated process with two workers.
pub struct Simulated {
    process: Process,
    build: Build,
    requests: Vec<StreamId>,
    /// The last request on each connection that is kept alive.
    kept: HashMap<usize, StreamId>,
    /// The times when nobody listened: no receiver saw the attempts that were made then.
    shut: Vec<Range<Duration>>,
    /// The requests that the application got.
    application: Rc<RefCell<Vec<Forwarded>>>,
    /// The next answers of the application.
    replies: Rc<RefCell<VecDeque<host_tests::Reply>>>,
}

impl Simulated {
    /// Starts the process.
    ///
    /// # Errors
    /// When the filter does not build, or refuses the configuration.
    pub fn start(start: &Start) -> Result<Self> {
        let (application, replies) = (Rc::default(), Rc::default());
        let mut builder = builder(start, &application, &replies)?;
        if start.is_behind_itself {
            let inner = self::builder(start, &application, &replies)?.start().map_err(|error| anyhow!("{error}"))?;
            builder = builder.cluster("gateway", through(inner));
        }
        Ok(Self {
            process: builder.start().map_err(|error| anyhow!("{error}"))?,
            build: start.build,
            requests: Vec::new(),
            kept: HashMap::new(),
            shut: Vec::new(),
            application,
            replies,
        })
    }

    fn stream(&self, ticket: Ticket) -> Result<StreamId> {
        self.requests.get(ticket.0).copied().context("no such request")
    }

    /// The calls to an endpoint that reached its receiver.
    fn calls(&self, endpoint: &str) -> impl Iterator<Item = &Call> {
        let calls = self.process.calls(endpoint).into_iter();
        calls.filter(|call| !self.shut.iter().any(|shut| shut.contains(&call.at)))
    }
}

/// The builder of a process in front of an application that adds the requests it gets to `application`, and answers
/// them by `replies`.
fn builder(
    start: &Start,
    application: &Rc<RefCell<Vec<Forwarded>>>,
    replies: &Rc<RefCell<VecDeque<host_tests::Reply>>>,
) -> Result<Builder> {
    let builder = Process::builder(&filter(start.build)?).name("gatepost").vm_id("gatepost").workers(2);
    let builder = ENDPOINTS.into_iter().fold(builder, |builder, name| builder.cluster(name, healthy()));
    let builder = if start.fail_closed { builder.fail_closed() } else { builder };
    let (application, replies) = (Rc::clone(application), Rc::clone(replies));
    let application = Application::by(move |request| {
        application.borrow_mut().push(request.clone());
        replies.borrow_mut().pop_front().unwrap_or_else(|| host_tests::Reply::status(200))
    });
    let builder = builder.may_trap().env(VARIABLE.0, VARIABLE.1).application(application);
    Ok(builder.config(start.config.to_string()))
}

/// Another process as an upstream: its clock follows that of the process in front of it.
fn through(mut inner: Process) -> Upstream {
    Upstream::by(move |call| passed_on(&mut inner, call).unwrap_or_else(|_| host_tests::Reply::disconnect()))
}

fn passed_on(inner: &mut Process, call: &Call) -> Result<host_tests::Reply> {
    inner.advance(call.at.saturating_sub(inner.clock().elapsed()))?;
    let request = host_tests::Request::new(call.header(":method"), call.header(":path"));
    let headers = call.headers.iter().filter(|(name, _)| !name.starts_with(':'));
    let request = headers.fold(request, |request, (name, value)| request.header(name, value));
    let stream = inner.request(0, request.body(call.body.as_slice()))?;
    inner.run_until(|inner| !inner.is_open(stream), LIMIT)?;
    let answer = inner.answer(stream).context("no answer")?;
    let took = inner.clock().elapsed().saturating_sub(call.at);
    let reply = host_tests::Reply::status(answer.status()).body(answer.body.as_slice()).after(took);
    let headers = answer.headers.iter().filter(|(name, _)| !name.starts_with(':') && *name != "content-length");
    Ok(headers.fold(reply, |reply, (name, value)| reply.header(name, value)))
}

fn healthy() -> Upstream {
    Upstream::always(host_tests::Reply::status(200))
}

/// A build of the filter, made and compiled once.
fn filter(build: Build) -> Result<Filter> {
    static FILTERS: Mutex<Vec<(Build, Filter)>> = Mutex::new(Vec::new());
    let mut filters = FILTERS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, filter)) = filters.iter().find(|(other, _)| *other == build) {
        return Ok(filter.clone());
    }
    let wasm = match build {
        Build::Released => artifact::wasm("gatepost")?,
        Build::Trapping => artifact::wasm_that_traps()?,
    };
    let filter = Filter::load(&wasm).map_err(|error| anyhow!("{error}"))?;
    filters.push((build, filter.clone()));
    Ok(filter)
}

impl Gateway for Simulated {
    fn is_exact(&self) -> bool {
        true
    }

    fn begin(&mut self, request: &Request) -> Result<Ticket> {
        let simulated = host_tests::Request::new(&request.method, &request.path);
        let headers = request.headers.iter();
        let simulated = headers.fold(simulated, |simulated, (name, value)| simulated.header(name, value));
        let simulated = match request.chunk {
            None => simulated.body(request.body.as_slice()),
            Some(bytes) => simulated.chunks(request.body.chunks(bytes)),
        };
        let simulated = if request.is_http2 { simulated.http2() } else { simulated };
        let simulated = match &request.trailer {
            None => simulated,
            Some((name, value)) => simulated.trailers([(name, value)]),
        };
        let worker = request.over.unwrap_or(self.requests.len()) % 2;
        let earlier = request.over.and_then(|connection| self.kept.get(&connection));
        let stream = match earlier {
            Some(earlier) => self.process.request_again(*earlier, simulated)?,
            None => self.process.request(worker, simulated)?,
        };
        request.over.and_then(|connection| self.kept.insert(connection, stream));
        self.requests.push(stream);
        Ok(Ticket(self.requests.len() - 1))
    }

    fn finish(&mut self, ticket: Ticket) -> Result<Answer> {
        let stream = self.stream(ticket)?;
        let _ = self.process.run_until(|process| !process.is_open(stream), LIMIT)?;
        let answer = self.process.answer(stream);
        let answer = answer.with_context(|| format!("no answer\n{}", self.process.trace()))?;
        Ok(Answer {
            status: answer.status(),
            headers: pairs(&answer.headers),
            json: serde_json::from_slice(&answer.body).unwrap_or_default(),
        })
    }

    fn is_answered(&mut self, ticket: Ticket) -> Result<bool> {
        Ok(!self.process.is_open(self.stream(ticket)?))
    }

    fn leave(&mut self, ticket: Ticket) -> Result<()> {
        let stream = self.stream(ticket)?;
        ensure!(self.process.is_open(stream), "the request is answered");
        Ok(self.process.disconnect(stream)?)
    }

    fn script(&mut self, endpoint: &str, replies: &[Reply]) -> Result<()> {
        let replies = replies.iter().map(|reply| match *reply {
            Reply::Status(status) => host_tests::Reply::status(status),
            Reply::RetryAfter(status, seconds) => retry_after(status, &seconds.to_string()),
            Reply::RetryAt(status, seconds) => retry_after(status, &crate::gateway::http_date(seconds)),
            Reply::Slow(time) => host_tests::Reply::status(200).after(time),
            Reply::Hang => host_tests::Reply::hang(),
            Reply::Reset => host_tests::Reply::disconnect(),
            Reply::Drop => host_tests::Reply::reset(),
            Reply::NoHttp => host_tests::Reply::protocol_error(),
        });
        if endpoint == APPLICATION {
            *self.replies.borrow_mut() = replies.collect();
        } else {
            self.process.set_upstream(endpoint, Upstream::replies(replies.collect::<Vec<_>>()));
        }
        Ok(())
    }

    fn arrived(&mut self, endpoint: &str) -> Result<usize> {
        Ok(self.calls(endpoint).count() + if endpoint == APPLICATION { self.application.borrow().len() } else { 0 })
    }

    fn seen(&mut self, endpoint: &str) -> Result<Vec<Seen>> {
        if endpoint == APPLICATION {
            let base = self.now().saturating_sub(self.process.clock().elapsed());
            let got = self.application.borrow();
            return Ok(got.iter().map(|got| of(&got.headers, &got.body, endpoint, (got.at, base + got.at))).collect());
        }
        Ok(self.calls(endpoint).map(|call| seen(call, endpoint)).collect())
    }

    fn shut(&mut self) -> Result<()> {
        for name in ENDPOINTS {
            self.process.set_upstream(name, Upstream::always(host_tests::Reply::connect_failure()));
        }
        self.shut.push(self.process.clock().elapsed()..Duration::MAX);
        Ok(())
    }

    fn reopen(&mut self) -> Result<()> {
        ENDPOINTS.into_iter().for_each(|name| self.process.set_upstream(name, healthy()));
        let now = self.process.clock().elapsed();
        self.shut.last_mut().context("nothing is shut")?.end = now;
        Ok(())
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.process.clock().wall_nanos())
    }

    fn pass(&mut self, time: Duration) -> Result<()> {
        Ok(self.process.advance(time)?)
    }

    fn update(&mut self, to: &Start) -> Result<bool> {
        let config = to.config.to_string();
        let updated = if to.build == self.build {
            self.process.update_config(config)
        } else {
            self.process.update_filter(&filter(to.build)?, config)
        };
        match updated {
            Ok(()) => {
                self.build = to.build;
                Ok(true)
            }
            Err(StartError::Refused { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn drain(&mut self) -> Result<()> {
        Ok(self.process.end_drain()?)
    }
}

fn retry_after(status: u16, value: &str) -> host_tests::Reply {
    host_tests::Reply::status(status).header("retry-after", value)
}

fn pairs(headers: &Headers) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| (name.to_owned(), String::from_utf8_lossy(value).into_owned())).collect()
}

fn seen(call: &Call, endpoint: &str) -> Seen {
    of(&call.headers, &call.body, endpoint, (call.at, Duration::from_millis(call.wall_millis)))
}

/// A request as its receiver sees it, with the verdict on its signatures.
fn of(headers: &Headers, body: &[u8], endpoint: &str, (at, wall): (Duration, Duration)) -> Seen {
    let header = |name: &str| headers.get(name).unwrap_or_default().to_owned();
    let signature = signature(&secret(endpoint), &header("x-webhook-timestamp"), body);
    let (first, also) = (header("x-webhook-signature"), header("x-webhook-signature-also"));
    let verified = also.split(',').chain([first.as_str()]).any(|other| other == signature);
    Seen { at, wall, headers: pairs(headers), body: body.to_vec(), verified }
}
