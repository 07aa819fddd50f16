//! Gateways that Prometheus looks at, one receiver for all of them, and traffic that goes on meanwhile.

use std::mem;
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use gatepost_e2e::load::Stop;
use gatepost_e2e::{Event, Gateway, Protocol, Setup, endpoint};
use gatepost_kit::artifact;
use gatepost_kit::etcd::{self, Etcd};
use gatepost_kit::receiver::{Options, Receiver};
use gatepost_kit::wait;
use serde_json::{Value, json};

use crate::admin::Operator;
use crate::inbound::message;

pub const DEADLINE: Duration = Duration::from_secs(120);
/// Ten events a second: two windows of seconds hold enough for a verdict.
const PACE: Duration = Duration::from_millis(100);

/// Endpoints that share a gateway, and get the same events; `healthy` is one that nothing happens to.
pub const TROUBLED: [&str; 7] = ["healthy", "half", "objective", "slow", "slower", "flapping", "unauthorized"];
/// Endpoints that have a gateway of their own name.
const ALONE: [&str; 14] = [
    "dead",
    "operated",
    "personal",
    "guarded",
    "full",
    "evicted",
    "traps",
    "ends",
    "restarted",
    "off",
    "inbound",
    "fleet",
    "brimful",
    "stranded",
];

/// What runs.
pub struct Site {
    pub receiver: Receiver,
    pub troubled: Gateway,
    pub dead: Gateway,
    pub operated: Gateway,
    pub personal: Gateway,
    pub guarded: Gateway,
    pub full: Gateway,
    pub evicted: Gateway,
    pub traps: Gateway,
    pub ends: Gateway,
    pub restarted: Gateway,
    pub inbound: Gateway,
    /// Two of one fleet.
    pub fleet: [Gateway; 2],
    /// One whose journal has room for a kilobyte.
    pub brimful: Gateway,
    /// One with an etcd of its own, which will answer no more.
    pub stranded: Gateway,
    stranded_etcd: Etcd,
    _etcd: Etcd,
}

/// Is there an etcd? Says on stderr when there is none.
///
/// # Errors
/// When there is none, where `CI` is set: there it must be.
pub fn has_etcd() -> Result<bool> {
    let Err(missing) = etcd::find() else { return Ok(true) };
    ensure!(!std::env::var("CI").is_ok_and(|value| value == "true"), missing);
    eprintln!("SKIPPED: {missing:#}");
    Ok(false)
}

impl Site {
    /// All of it, healthy.
    pub fn start() -> Result<Self> {
        let names: Vec<(&str, String)> =
            TROUBLED.into_iter().chain(ALONE).map(|name| (name, format!("secret-of-{name}"))).collect();
        let served: Vec<(&str, &str)> = names.iter().map(|(name, secret)| (*name, secret.as_str())).collect();
        let receiver = Receiver::start(&served, &Options { compact: true, ..Options::default() })?;
        let of = |name: &str, more: Value| of(&receiver, name, more);
        let (etcd, stranded_etcd) = (Etcd::start(&etcd::Options::default())?, Etcd::start(&etcd::Options::default())?);
        // Fleets on one etcd differ in their prefix.
        let of_fleet = |name: &str, more: Value| {
            let mut journal =
                json!({"lease": "2s", "etcd": {"cluster": "etcd", "prefix": format!("/gatepost/{name}")}});
            if let (Some(journal), Value::Object(more)) = (journal.as_object_mut(), more) {
                journal.extend(more);
            }
            journal
        };
        let member = || Gateway::start(&of("fleet", json!({})).with_journal(&etcd, of_fleet("fleet", json!({}))));
        let hangs = json!({"timeout": "300s"});
        let guarded = json!({"payload_guard": {}, "rollout": {"percent": 50, "guard": {"personal_data": true}}});
        Ok(Self {
            troubled: Gateway::start(&troubled(&receiver))?,
            dead: Gateway::start(&of("dead", json!({})))?,
            operated: Gateway::start(&operated(&receiver))?,
            personal: Gateway::start(&of("personal", json!({})).with(json!({"payload_guard": {"action": "report"}})))?,
            guarded: Gateway::start(&of("guarded", json!({})).with(guarded))?,
            full: Gateway::start(&of("full", json!({"pending": 20, "timeout": "300s"})))?,
            evicted: Gateway::start(&of("evicted", json!({})).with(json!({"limits": {"dead_letters": 5}})))?,
            traps: Gateway::start(&of("traps", json!({"timeout": "30s"})).with_wasm(artifact::wasm_that_traps()?))?,
            ends: Gateway::start(&of("ends", json!({})))?,
            restarted: Gateway::start(&of("restarted", json!({})))?,
            inbound: Gateway::start(&inbound(&receiver))?,
            fleet: [member()?, member()?],
            brimful: Gateway::start(
                &of("brimful", hangs).with_journal(&etcd, of_fleet("brimful", json!({"bytes": "1KiB"}))),
            )?,
            stranded: Gateway::start(
                &of("stranded", json!({}))
                    .with_journal(&stranded_etcd, of_fleet("stranded", json!({"unavailable": "memory"}))),
            )?,
            stranded_etcd,
            _etcd: etcd,
            receiver,
        })
    }

    /// What each is called, and where its metrics are.
    pub fn targets(&self) -> Result<Vec<(&'static str, String)>> {
        let gateways = [
            ("troubled", &self.troubled),
            ("dead", &self.dead),
            ("operated", &self.operated),
            ("personal", &self.personal),
            ("guarded", &self.guarded),
            ("full", &self.full),
            ("evicted", &self.evicted),
            ("traps", &self.traps),
            ("ends", &self.ends),
            ("restarted", &self.restarted),
            ("inbound", &self.inbound),
            ("fleet_a", &self.fleet[0]),
            ("fleet_b", &self.fleet[1]),
            ("brimful", &self.brimful),
            ("stranded", &self.stranded),
        ];
        gateways.into_iter().map(|(name, gateway)| Ok((name, gateway.envoy.admin_address()?))).collect()
    }

    /// Lets each endpoint of the troubled gateway have its own trouble.
    pub fn trouble(&self) -> Result<()> {
        // More than there is traffic for; then all is well.
        let every = |count: usize, reply: Value| -> Value {
            (0..5000).map(|number| if number % count == 0 { reply.clone() } else { json!({}) }).collect()
        };
        self.receiver.script("half", &json!({"replies": every(2, json!({"status": 500}))}))?;
        self.receiver.script("objective", &json!({"replies": every(14, json!({"status": 400}))}))?;
        self.receiver.script("slow", &json!({"then": {"delay": 2.5}}))?;
        self.receiver.script("slower", &json!({"then": {"delay": 6}}))?;
        self.receiver.script("flapping", &json!({"replies": every(10, json!({"status": 503}))}))?;
        self.receiver.script("unauthorized", &json!({"then": {"status": 401}}))
    }

    /// The receivers of gateways with one endpoint: nobody there, an answer that never comes, a refusal.
    pub fn break_receivers(&self) -> Result<()> {
        self.receiver.script("dead", &json!({"then": {"act": "reset"}}))?;
        self.receiver.script("full", &json!({"then": {"act": "hang"}}))?;
        self.receiver.script("evicted", &json!({"then": {"status": 400}}))?;
        for _ in 0..15 {
            self.evicted.send(&Event::new("paid", "{}"))?;
        }
        Ok(())
    }

    /// What operators do, and somebody who guesses a token.
    pub fn operate(&self) -> Result<()> {
        let operator = Operator::of(&self.operated)?;
        let guess =
            ureq::http::Request::get(format!("{}/status", operator.url)).header("authorization", "Bearer guess");
        ensure!(gatepost_kit::http::client().run(guess.body(())?)?.status() == 401, "a guess is no token");
        operator.done("PATCH", "endpoints/switched_off", &json!({"disabled": true}))?;
        operator.done("POST", "rollout/rollback?endpoint=taken_back", &Value::Null).map(drop)
    }

    /// An address in an event: one gateway reports it, the other one's guard acts on it.
    pub fn leak(&self) -> Result<()> {
        let body = json!({"contact": "maria.rossi@example.com"}).to_string();
        for gateway in [&self.personal, &self.guarded] {
            gateway.send(&Event::new("paid", body.clone()))?;
        }
        Ok(())
    }

    /// A worker's VM traps while deliveries of its own are under way.
    pub fn trap(&self) -> Result<()> {
        const UNDER_WAY: usize = 10;
        self.receiver.script("traps", &json!({"replies": vec![json!({"delay": 8}); UNDER_WAY]}))?;
        let mut workers = [self.traps.connect_to(0, Protocol::Http1)?, self.traps.connect_to(1, Protocol::Http1)?];
        for number in 0..UNDER_WAY {
            let worker = workers.get_mut(number % 2).context("two workers")?;
            worker.send(&Event::new("paid", "{}"))?;
        }
        wait::until("they are under way", DEADLINE, || {
            Ok((self.receiver.counters("traps")?.requests >= UNDER_WAY as u64).then_some(()))
        })?;
        let [worker, _] = &mut workers;
        worker.send(&Event::new("paid", "{}").with_header("x-gatepost-trap", "now"))?;
        // It is rebuilt when somebody asks for it.
        wait::until("its VM is rebuilt", DEADLINE, || {
            self.traps.connect_to(0, Protocol::Http1)?.send(&Event::new("paid", "{}"))?;
            Ok((self.traps.rebuilt()? >= 1).then_some(()))
        })
    }

    /// A gateway of a fleet ends, the journal of another one fills up, and that of a third answers no more.
    pub fn unsettle(&mut self) -> Result<()> {
        self.receiver.script("brimful", &json!({"then": {"act": "hang"}}))?;
        self.brimful.send(&Event::new("paid", json!({"filler": "x".repeat(2000)}).to_string()))?;
        self.fleet[1].envoy.terminate()?;
        self.stranded_etcd.pause(0)?;
        // Each is a write of its own, of which nobody can tell.
        let stranded = &self.stranded;
        thread::scope(|scope| {
            let sent: Vec<_> = (0..16).map(|_| scope.spawn(|| stranded.send(&Event::new("paid", "{}")))).collect();
            sent.into_iter().try_for_each(|sent| {
                let answer = sent.join().map_err(|_| anyhow!("a producer panicked"))??;
                ensure!(answer.text().contains("\"durability\":\"memory\""), "{}", answer.text());
                Ok(())
            })
        })
    }

    /// Another process in the place of the one that is restarted, which is given back.
    pub fn restart(&mut self) -> Result<Gateway> {
        let new = Gateway::start(&of(&self.receiver, "restarted", json!({})))?;
        Ok(mem::replace(&mut self.restarted, new))
    }

    /// One whose filter is off.
    pub fn switched_off(&self) -> Result<Gateway> {
        Gateway::start(&of(&self.receiver, "off", json!({})).with(json!({"enabled": false})))
    }

    /// Ten webhooks a second that come in unsigned, and as many good ones where there is room to remember one, until `stop`.
    pub fn webhooks(&self, stop: &Stop) -> Result<()> {
        let mut connection = self.inbound.connect(Protocol::Http1)?;
        let mut number = 0;
        while !stop.is_said() {
            number += 1;
            connection.send(&Event::request("POST", "/webhooks/forged"))?;
            connection.send(&message("/webhooks/crowded", &format!("message {number}"), "{}", SECRET_INBOUND)?)?;
            thread::park_timeout(PACE);
        }
        Ok(())
    }

    /// Ten events a second at these gateways, whatever they are answered, until `stop`.
    pub fn traffic<'scope, 'env>(
        scope: &'scope Scope<'scope, 'env>,
        gateways: &[&'env Gateway],
        stop: &'env Stop,
    ) -> Vec<ScopedJoinHandle<'scope, Result<()>>> {
        let send = |gateway: &'env Gateway| {
            scope.spawn(move || {
                let mut connection = gateway.connect(Protocol::Http1)?;
                while !stop.is_said() {
                    connection.send(&Event::new("paid", "{\"amount\":42}"))?;
                    thread::park_timeout(PACE);
                }
                Ok(())
            })
        };
        gateways.iter().map(|gateway| send(gateway)).collect()
    }
}

/// A gateway with one endpoint, of the same name.
fn of(receiver: &Receiver, name: &str, more: Value) -> Setup {
    quick(Setup::new(receiver, &[endpoint(name, &format!("secret-of-{name}"), more)]))
}

fn troubled(receiver: &Receiver) -> Setup {
    let hasty = json!({"retry": {"delays": ["0s"]}, "breaker": {"failures": 100}, "timeout": "30s"});
    let patient =
        json!({"retry": {"delays": vec!["0s"; 10]}, "breaker": {"failures": 1, "open": "0.5s", "window": "1s"}});
    let entry = |name: &str| {
        let policy = if name == "flapping" { &patient } else { &hasty };
        endpoint(name, &format!("secret-of-{name}"), policy.clone())
    };
    let setup = Setup::new(receiver, &TROUBLED.map(entry));
    quick(setup.with(json!({"limits": {"dead_letters": 10_000}})))
}

fn operated(receiver: &Receiver) -> Setup {
    let entry = |name: &str| endpoint(name, "secret-of-operated", json!({}));
    quick(Setup::new(receiver, &[entry("switched_off"), entry("taken_back")]))
}

const SECRET_INBOUND: &str = "secret-of-inbound";

/// One that verifies by two rules, the second of which remembers one message.
fn inbound(receiver: &Receiver) -> Setup {
    let rule = |name: &str, replay: Value| {
        let (path, secrets) = (format!("/webhooks/{name}"), [json!({"value": SECRET_INBOUND})]);
        json!({"name": name, "match": {"path": path}, "secrets": secrets, "replay": replay})
    };
    let rules = [rule("forged", json!({})), rule("crowded", json!({"capacity": 1, "when_full": "allow"}))];
    let setup = Setup::bare(json!({"inbound": rules}));
    quick(setup.with_application("/webhooks", "inbound", receiver.address()))
}

/// Envoy brings histograms and its uptime up to date every 5 s, which is a window here.
fn quick(setup: Setup) -> Setup {
    setup.with_bootstrap(json!({"stats_flush_interval": "1s"}))
}
