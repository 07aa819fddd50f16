//! Clients that begin requests and never end them, with headers that cost them nothing: a flood.
//!
//! A header that HTTP/2 has sent once it sends again as one byte (HPACK, RFC 7541), so that a request of 54 KB of
//! headers is some 30 bytes on the wire.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use gatepost_kit::envoy::{Envoy, Launch};
use gatepost_kit::example::{AUTHORIZATION, Example, LISTENER};
use gatepost_kit::process::Memory;
use gatepost_kit::receiver::{Options, Receiver};
use gatepost_kit::wait;
use http_body_util::StreamBody;
use hyper::Request;
use hyper::body::{Bytes, Frame};
use hyper::client::conn::http2;
use hyper::header::HeaderValue;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

use crate::isolation::one_load_at_a_time;
use crate::spellings::inbound;

/// A header that fits HPACK's table, in bytes.
const VALUE: usize = 3000;
/// A flood as large as the examples let in: 1,200 requests at a time, each with 15 KB of headers.
const WITHIN_LIMITS: Size = Size { connections: 120, requests: 20, headers: 5 };
/// A flood of requests with as many headers as Envoy takes by default, 60 KiB.
const LARGEST: Size = Size { connections: 20, requests: 200, headers: 18 };
/// The requests of one kind that a worker waits for at most.
const HELD: u64 = 1024;
/// The memory that a flood may cost a gateway with the example's limits.
const MEMORY_MIB: u64 = 300;
const DEADLINE: Duration = Duration::from_secs(60);

/// The size of a flood: so many connections, each with so many requests of so many headers.
#[derive(Clone, Copy)]
struct Size {
    connections: usize,
    requests: usize,
    headers: usize,
}

impl Size {
    fn all(self) -> u64 {
        (self.connections * self.requests) as u64
    }
}

/// The flood's connections; they end when this is dropped.
struct Flood {
    _runtime: Runtime,
}

impl Flood {
    /// Begins all requests that the gateway lets in, to this path.
    fn begin(address: &str, path: &'static str, size: Size) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let address: Arc<str> = address.into();
        for _ in 0..size.connections {
            let address = Arc::clone(&address);
            let filler = HeaderValue::try_from("x".repeat(VALUE))?;
            let mut sender = runtime.block_on(async {
                let io = TokioIo::new(TcpStream::connect(&*address).await?);
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
                tokio::spawn(connection);
                anyhow::Ok(sender)
            })?;
            runtime.spawn(async move {
                for _ in 0..size.requests {
                    sender.ready().await?;
                    let answer = sender.send_request(endless(&address, path, &filler, size.headers)?);
                    tokio::spawn(answer);
                }
                // The connection is kept.
                pending::<anyhow::Result<()>>().await
            });
        }
        Ok(Self { _runtime: runtime })
    }
}

type Endless = StreamBody<futures_util::stream::Pending<Result<Frame<Bytes>, Infallible>>>;

/// A request whose body never ends.
fn endless(address: &str, path: &str, filler: &HeaderValue, headers: usize) -> Result<Request<Endless>> {
    let mut request = Request::post(format!("http://{address}{path}")).header("authorization", AUTHORIZATION);
    for _ in 0..headers {
        request = request.header("x-filler", filler.clone());
    }
    Ok(request.body(StreamBody::new(futures_util::stream::pending()))?)
}

/// The memory that Envoy holds, in MiB.
fn resident(envoy: &Envoy) -> Result<u64> {
    Ok(Memory::of(envoy.pid())?.resident / 1024)
}

/// Floods a gateway twice, until a worker holds all that it will and has seen `all` requests; returns by how many MiB
/// its memory has grown at most.
fn flood_twice(envoy: &Envoy, path: &'static str, size: Size, all: u64) -> Result<u64> {
    let (address, before) = (envoy.listener(LISTENER)?, resident(envoy)?);
    let mut most = 0;
    for _ in 0..2 {
        let seen = envoy.stat("http.public.downstream_rq_total")?;
        let flood = Flood::begin(&address, path, size)?;
        wait::until("the worker holds all that it will", DEADLINE, || {
            let held = envoy.stat("http.public.downstream_rq_active")?;
            let new = envoy.stat("http.public.downstream_rq_total")? - seen;
            Ok((held == HELD && new >= all).then_some(()))
        })?;
        most = most.max(resident(envoy)?.saturating_sub(before));
        drop(flood);
        wait::until("the flood's connections are closed", DEADLINE, || {
            Ok((envoy.stat("http.public.downstream_cx_active")? == 0).then_some(()))
        })?;
    }
    ensure!(envoy.traps()? == 0, "the filter trapped");
    println!("{most} MiB more at most");
    Ok(most)
}

/// The events that were on their way are delivered as if nothing had happened, and new ones are taken.
#[test]
fn flood_of_the_example_harms_no_delivery() -> Result<()> {
    let _alone = one_load_at_a_time();
    let mut example = Example::load()?;
    let secrets = [("billing", "BILLING_WEBHOOK_SECRET"), ("audit", "AUDIT_WEBHOOK_SECRET")]
        .map(|(name, variable)| example.variable(variable).map(|secret| (name, secret)));
    let secrets: Vec<_> = secrets.into_iter().collect::<Result<_>>()?;
    let secrets: Vec<_> = secrets.iter().map(|(name, secret)| (*name, secret.as_str())).collect();
    let receiver = Receiver::start(&secrets, &Options::default())?;
    example.use_free_ports()?;
    for (name, _) in &secrets {
        example.set_cluster(name, receiver.address())?;
    }
    let launch = Launch { config: example.config().clone(), workers: 1, env: Vec::new(), arguments: Vec::new() };
    let envoy = Envoy::start(&launch)?;
    // The first attempt fails; the second one is due while the flood is on.
    receiver.script("billing", &json!({"replies": [{"status": 503}]}))?;
    assert_eq!(send(&envoy)?, 202);
    assert!(flood_twice(&envoy, "/events/payment_verified", WITHIN_LIMITS, HELD)? < MEMORY_MIB);
    receiver.wait_for("billing", 2, DEADLINE)?;
    wait::until("a new event is taken", DEADLINE, || Ok((send(&envoy)? == 202).then_some(())))?;
    receiver.wait_for("billing", 3, DEADLINE)?;
    assert_eq!(receiver.counters("billing")?.delivered, 2);
    Ok(())
}

/// Sends an event to the example; returns the status of the answer.
fn send(envoy: &Envoy) -> Result<u16> {
    let url = format!("http://{}/events/payment_verified", envoy.listener(LISTENER)?);
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    Ok(agent.post(url).header("authorization", AUTHORIZATION).send("{}")?.status().as_u16())
}

#[test]
fn flood_of_the_inbound_example_is_bounded() -> Result<()> {
    let _alone = one_load_at_a_time();
    let envoy = Envoy::start(&inbound(false)?)?;
    assert!(flood_twice(&envoy, "/webhooks/partner", WITHIN_LIMITS, HELD)? < MEMORY_MIB);
    Ok(())
}

/// Without any limit of Envoy's the filter waits for its number of requests, refuses the others, and does not trap.
#[test]
fn flood_of_a_bare_gateway_does_not_trap() -> Result<()> {
    let _alone = one_load_at_a_time();
    let envoy = Envoy::start(&inbound(true)?)?;
    flood_twice(&envoy, "/webhooks/partner", LARGEST, LARGEST.all())?;
    let refused = envoy.stat("wasmcustom.route=.=partner;.;result=.=overloaded;.;gatepost_inbound_total")?;
    assert_eq!(refused, 2 * LARGEST.all() - 2 * HELD);
    Ok(())
}
