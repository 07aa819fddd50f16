//! The steps of a run, and its end.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use host_tests::{Answer, Effect, Fault, Filter, Point, Process, Request, Rule, StartError, StreamId, Thread};
use serde_json::Value;

use crate::Summary;
use crate::checks::{Broken, Checks, Sent, broken};
use crate::plan::Plan;
use crate::receivers::Receivers;

/// How long everything may take to come to its end once all is healed: leases, open breakers, the longest `Retry-After`
/// and a whole schedule, several times over.
const HEALING: Duration = Duration::from_secs(600);

/// A run under way.
pub struct Run {
    rng: Rng,
    plan: Plan,
    process: Process,
    receivers: Rc<RefCell<Receivers>>,
    checks: Checks,
    /// Requests whose answer was not looked at yet.
    open: Vec<Open>,
    /// Connections that may be used again.
    connections: Vec<StreamId>,
    /// What was accepted: its id, and the endpoints that were promised it.
    accepted: BTreeMap<String, Vec<String>>,
    keys: BTreeMap<String, (Vec<u8>, Option<String>)>,
    current: usize,
    events: u32,
}

struct Open {
    stream: StreamId,
    body: Vec<u8>,
    key: Option<String>,
}

impl Run {
    pub fn start(filter: &Filter, seed: u64) -> Result<Self, Broken> {
        let mut rng = Rng::with_seed(seed);
        let plan = Plan::new(&mut rng);
        let receivers = Receivers::new(rng.fork());
        let mut builder = Process::builder(filter).name("gatepost").vm_id("gatepost").workers(plan.workers);
        for cluster in plan.endpoints.iter().map(|endpoint| endpoint.name.as_str()).chain(["sink"]) {
            builder = builder.cluster(cluster, Receivers::upstream(&receivers, cluster));
        }
        let first = plan.configs.first().map(|config| config.text.clone()).unwrap_or_default();
        let builder = builder.watch("gatepost/breaker/").watch("gatepost/generation").seed(seed).config(first);
        let process = builder.start().or_else(|error| broken("the filter starts", error.to_string()))?;
        let checks = Checks::new(&plan, &receivers);
        Ok(Self {
            rng,
            plan,
            process,
            receivers,
            checks,
            open: Vec::new(),
            connections: Vec::new(),
            accepted: BTreeMap::new(),
            keys: BTreeMap::new(),
            current: 0,
            events: 0,
        })
    }

    pub fn trace(&self) -> String {
        self.process.trace().to_string()
    }

    /// All steps, then the end.
    pub fn play(&mut self) -> Result<Summary, Broken> {
        for _ in 0..self.plan.steps {
            self.step()?;
            self.look()?;
        }
        self.heal()?;
        self.judge()
    }

    fn step(&mut self) -> Result<(), Broken> {
        let faults = self.plan.faults;
        let mut dice = self.rng.u32(0..1000);
        let mut falls = |share: u32| {
            let falls = dice < share;
            dice = dice.saturating_sub(share);
            falls
        };
        if falls(faults.kill) {
            let thread = self.thread();
            self.process.kill_vm(thread);
            self.checks.disruptions += 1;
        } else if falls(faults.trap) {
            let after = self.rng.u64(0..60);
            let rule = Rule::new(Point::AnyHostCall, Effect::Trap).on(self.thread()).after(after).times(1);
            self.disrupt(rule);
        } else if falls(faults.stall) {
            let (thread, wait) = (self.thread(), Duration::from_millis(self.rng.u64(100..25_000)));
            self.process.stall(thread, wait);
            self.checks.disruptions += 1;
        } else if falls(faults.lost_end) {
            let late = Effect::Delay(Duration::from_millis(self.rng.u64(1..12_000)));
            let effect = if self.rng.bool() { Effect::Drop } else { late };
            self.disrupt(Rule::new(Point::CallEnd, effect).times(1));
        } else if falls(faults.store) {
            let status = if self.rng.bool() { 8 } else { 10 };
            let times = self.rng.u64(1..4);
            let rule = Rule::new(Point::HostCall("proxy_set_shared_data"), Effect::Fail(status));
            let after = self.rng.u64(0..30);
            (0..times).for_each(|_| self.disrupt(rule.clone().after(after).times(1)));
        } else if falls(faults.config) {
            self.change_config()?;
        } else if falls(faults.clock) {
            let millis = self.rng.i64(-5_000_000..5_000_000);
            self.process.step_wall_clock(millis);
        } else if falls(faults.receiver) {
            let names = self.plan.endpoints.len();
            let cluster = self.plan.endpoints.get(self.rng.usize(0..names)).map(|endpoint| endpoint.name.clone());
            self.receivers.borrow_mut().change(cluster.as_deref().filter(|_| self.rng.u8(0..8) > 0).unwrap_or("sink"));
        } else {
            for _ in 0..self.rng.u32(0..4) {
                self.send()?;
            }
        }
        self.pass()
    }

    fn disrupt(&mut self, rule: Rule) {
        self.process.add_rule(rule);
        self.checks.disruptions += 1;
    }

    /// Lets some time go by: mostly little, at times a lot.
    fn pass(&mut self) -> Result<(), Broken> {
        let longest = if self.rng.u8(0..10) == 0 { 8_000 } else { 400 };
        let wait = Duration::from_millis(self.rng.u64(0..longest));
        self.process.advance(wait).or_else(|fault| defect(&fault))
    }

    fn thread(&mut self) -> Thread {
        let number = self.rng.usize(0..=self.plan.workers);
        if number == self.plan.workers { Thread::Main } else { Thread::Worker(number) }
    }

    fn change_config(&mut self) -> Result<(), Broken> {
        self.checks.disruptions += 1;
        if self.rng.bool() {
            return self.process.end_drain().or_else(|fault| defect(&fault));
        }
        let next = self.rng.usize(0..self.plan.configs.len());
        self.load(next)
    }

    fn load(&mut self, number: usize) -> Result<(), Broken> {
        let Some(config) = self.plan.configs.get(number) else { return Ok(()) };
        self.current = number;
        match self.process.update_config(config.text.clone()) {
            Ok(()) => Ok(()),
            // A trap in the canary: Envoy keeps what it has, and is told again.
            Err(StartError::Fault(fault)) if fault.killed => self.load(number),
            Err(error) => broken("a good configuration is taken", error.to_string()),
        }
    }

    fn send(&mut self) -> Result<(), Broken> {
        let worker = self.rng.usize(0..self.plan.workers);
        let now = self.process.clock().elapsed();
        if self.process.stalled_until(Thread::Worker(worker)) > now {
            return Ok(());
        }
        let again = self.rng.choice(&self.keys).map(|(key, (body, _))| (key.clone(), body.clone()));
        let (key, body) = match (self.rng.u8(0..12), again) {
            (0, Some((key, body))) => (Some(key), body),
            (dice, _) => {
                self.events += 1;
                let body = format!("{{\"number\": {}}}", self.events).into_bytes();
                let key = (dice < 3).then(|| format!("key-{}", self.events));
                (key, body)
            }
        };
        let drawn = self.event();
        let event = self.checks.sent.get(&body).map_or(drawn, |sent| sent.event.clone());
        // One that is sent again may be accepted only now.
        let times = self.checks.sent.get(&body).map_or(0, |sent| sent.times) + 1;
        self.checks.sent.insert(body.clone(), Sent { at: now, event: event.clone(), times });
        // A key is kept for one route: the same event by another is another event.
        let path = if key.is_none() && self.rng.u8(0..4) == 0 { "wait" } else { "events" };
        let mut request = Request::post(&format!("/{path}/{event}")).body(body.clone());
        if let Some(key) = &key {
            request = request.header("idempotency-key", key);
            self.keys.entry(key.clone()).or_insert_with(|| (body.clone(), None));
        }
        let kept = self.rng.choice(&self.connections).copied().filter(|_| self.rng.u8(0..3) == 0);
        let stream = match kept {
            Some(kept) => self.process.request_again(kept, request),
            None => self.process.request(worker, request),
        };
        let stream = stream.or_else(|fault| defect(&fault))?;
        self.connections.push(stream);
        self.open.push(Open { stream, body, key });
        if self.rng.u8(0..20) == 0 {
            self.process.disconnect(stream).or_else(|fault| defect(&fault))?;
        }
        Ok(())
    }

    fn event(&mut self) -> String {
        ["paid", "refund.made", "refund.failed"].get(self.rng.usize(0..3)).copied().unwrap_or("paid").to_owned()
    }

    /// Looks at the calls that left and the answers that came.
    fn look(&mut self) -> Result<(), Broken> {
        self.checks.check(&self.process)?;
        for open in std::mem::take(&mut self.open) {
            match self.process.answer(open.stream).cloned() {
                Some(answer) => self.answered(&open, &answer)?,
                None => self.open.push(open),
            }
        }
        Ok(())
    }

    fn answered(&mut self, open: &Open, answer: &Answer) -> Result<(), Broken> {
        let status = answer.status();
        let receipt: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let state = receipt.get("status").and_then(Value::as_str).unwrap_or_default();
        match (status, state) {
            (200 | 202 | 502, _) => {}
            (409 | 503, _) => return Ok(()),
            _ => return broken("a good event is answered as the contract says", format!("{status}: {receipt}")),
        }
        if matches!(state, "disabled" | "no_subscriber") {
            return Ok(());
        }
        let Some(id) = receipt.get("id").and_then(Value::as_str) else {
            return broken("an accepted event has an id", receipt.to_string());
        };
        self.checks.identify(id, &open.body)?;
        let named = |delivery: &Value| delivery.get("endpoint").and_then(Value::as_str).map(str::to_owned);
        let deliveries = receipt.get("deliveries").and_then(Value::as_array);
        let endpoints: Vec<String> = deliveries.into_iter().flatten().filter_map(named).collect();
        if status == 200 && !endpoints.iter().all(|endpoint| self.checks.is_delivered(id, endpoint)) {
            return broken("200 says that all is delivered", id);
        }
        if let Some((_, first)) = open.key.as_ref().and_then(|key| self.keys.get_mut(key)) {
            match first {
                Some(first) if first != id => return broken("one event a key", format!("{first} and {id}")),
                _ => *first = Some(id.to_owned()),
            }
        }
        self.accepted.entry(id.to_owned()).or_insert(endpoints);
        Ok(())
    }

    /// Ends all faults, and lets everything come to its end.
    fn heal(&mut self) -> Result<(), Broken> {
        self.process.clear_rules();
        self.receivers.borrow_mut().heal();
        if !self.plan.configs.get(self.current).is_some_and(|config| config.enabled) {
            self.load(0)?;
        }
        let threads = (0..self.plan.workers).map(Thread::Worker).chain([Thread::Main]);
        let stalled = threads.map(|thread| self.process.stalled_until(thread)).max().unwrap_or_default();
        let wait = stalled.saturating_sub(self.process.clock().elapsed()) + Duration::from_secs(2);
        self.process.advance(wait).or_else(|fault| defect(&fault))?;
        self.process.end_drain().or_else(|fault| defect(&fault))?;
        // The first new stream rebuilds a VM that was lost.
        for worker in 0..self.plan.workers {
            let stream = self.process.request(worker, Request::new("GET", "/"));
            stream.or_else(|fault| defect(&fault))?;
        }
        self.look()?;
        let end = self.process.clock().elapsed() + HEALING;
        while self.pending() > 0 || !self.open.is_empty() {
            if self.process.clock().elapsed() >= end {
                return self.stuck();
            }
            self.process.advance(Duration::from_secs(1)).or_else(|fault| defect(&fault))?;
            self.look()?;
            let process = &self.process;
            self.open.retain(|open| process.answer(open.stream).is_some() || process.is_open(open.stream));
        }
        Ok(())
    }

    fn stuck<T>(&self) -> Result<T, Broken> {
        let left = self.process.shared_data().filter(|(key, value)| is_record(key, value)).map(|(key, _)| key);
        let waiting: Vec<String> = self.open.iter().map(|open| open.stream.to_string()).collect();
        let left: Vec<&str> = left.collect();
        broken("all that is accepted comes to an end", format!("{left:?} are left, {waiting:?} wait"))
    }

    /// Records of events that are not freed.
    fn pending(&self) -> usize {
        self.process.shared_data().filter(|(key, value)| is_record(key, value)).count()
    }

    /// Every accepted delivery was delivered or is a dead letter, and nothing else is left.
    fn judge(&mut self) -> Result<Summary, Broken> {
        let letters: Vec<&[u8]> = self
            .process
            .shared_data()
            .filter(|(key, value)| key.starts_with("gatepost/dead/") && value.len() > 1)
            .map(|(_, value)| value)
            .collect();
        let mut dead = 0;
        for (id, endpoints) in &self.accepted {
            let raw = raw(id);
            for endpoint in endpoints.iter().filter(|endpoint| !self.checks.is_delivered(id, endpoint)) {
                if !letters.iter().any(|letter| holds(letter, &raw) && holds(letter, endpoint.as_bytes())) {
                    return broken("no accepted delivery vanishes", format!("{id} to {endpoint}"));
                }
                dead += 1;
            }
        }
        self.bounded()?;
        let (accepted, delivered) = (self.accepted.len(), self.checks.delivered());
        Ok(Summary { accepted, delivered, dead, disruptions: self.checks.disruptions })
    }

    /// Keys are slots that are used again: no more than ever were needed at once.
    fn bounded(&self) -> Result<(), Broken> {
        let count = |prefix: &str| self.process.shared_data().filter(|(key, _)| key.starts_with(prefix)).count();
        let (leases, bodies) = (count("gatepost/lease/"), count("gatepost/body/"));
        // Those that may wait to be adopted, and a few for each worker, configuration, death and stall.
        let most = 32 + 4 * (self.plan.workers + self.checks.disruptions as usize);
        if leases > most || bodies > self.events as usize {
            return broken("bounded keys", format!("{leases} leases, {bodies} bodies, {} events", self.events));
        }
        Ok(())
    }
}

fn is_record(key: &str, value: &[u8]) -> bool {
    key.starts_with("gatepost/state/") && value.len() > 1
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// The sixteen bytes of a UUID.
fn raw(id: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        id.bytes().filter_map(|digit| char::from(digit).to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).filter_map(|pair| Some(pair.first()? << 4 | pair.get(1)?)).collect()
}

fn defect<T>(fault: &Fault) -> Result<T, Broken> {
    broken("the filter never traps", fault.to_string())
}
