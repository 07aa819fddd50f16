//! A worker that finds any bytes under its keys goes on: every record it reads comes from them, whatever wrote it.

#![no_main]

use std::collections::BTreeMap;
use std::rc::Rc;

use gatepost_core::config;
use gatepost_core::engine::{Action, Engine};
use gatepost_core::ids::RouteId;
use gatepost_core::ingress::event::{Event, Offer};
use gatepost_core::ingress::idempotency::IdempotencyKey;
use gatepost_core::outcome::Ending;
use gatepost_core::store::{Cas, SharedStore, StoreError, World};
use gatepost_core::time::{Instant, Now, WallTime};
use libfuzzer_sys::fuzz_target;

const CONFIG: &str = r#"{"enabled": true,
    "routes": [{"name": "r", "match": {"path": "/events/{event}"}, "event": "{event}"}],
    "endpoints": [{"name": "billing", "cluster": "billing", "url": "http://billing.test/", "secrets": [{"value": "s"}],
                   "rate": {"per_second": 5, "burst": 5},
                   "dead_letter": {"cluster": "dlq", "url": "http://dlq.test/"}}]}"#;

/// Keys that begin so hold a part of the input; the first lease is always lapsed, so that its partition is adopted.
const PLANTED: [&str; 9] = [
    "g/lease/0",
    "g/lease/1",
    "g/body/0/0",
    "g/state/0/0",
    "g/generation",
    "g/breaker/billing",
    "g/rate/billing",
    "g/dead/index",
    "g/dead/0",
];

struct Store {
    values: BTreeMap<String, (Vec<u8>, Cas)>,
    /// What every key holds that nobody has written.
    unknown: Vec<u8>,
    writes: u32,
}

impl SharedStore for Store {
    fn get(&mut self, key: &str) -> Result<Option<(Vec<u8>, Cas)>, StoreError> {
        if key.starts_with("g/idempotency/") {
            let unknown = || (self.unknown.clone(), Cas(1));
            return Ok(Some(self.values.get(key).cloned().unwrap_or_else(unknown)));
        }
        Ok(self.values.get(key).cloned())
    }

    fn set(&mut self, key: &str, value: &[u8], _: Option<Cas>) -> Result<(), StoreError> {
        self.writes += 1;
        assert!(self.writes < 100_000, "it never comes to an end");
        self.values.insert(key.to_owned(), (value.to_vec(), Cas(self.writes + 1)));
        Ok(())
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(config) = config::parse(CONFIG.as_bytes(), &|_| None) else { panic!("the config is good") };
    let mut engine = Engine::new(Rc::new(config), "g");
    // Parts are separated by 0xff, which records hold seldom.
    let mut parts = bytes.split(|byte| *byte == 0xff);
    let mut values = BTreeMap::new();
    for key in PLANTED {
        if let Some(part) = parts.next().filter(|part| !part.is_empty()) {
            values.insert(key.to_owned(), (part.to_vec(), Cas(1)));
        }
    }
    let mut store = Store { values, unknown: parts.next().unwrap_or_default().to_vec(), writes: 0 };
    let mut drawn = 0_u128;
    let mut random = || {
        drawn += 1;
        drawn.to_le_bytes()
    };
    for second in 0..8 {
        let now = Now {
            mono: Instant::from_nanos((1_000_000 + second * 4_000) * 1_000_000),
            wall: WallTime::from_millis(1_700_000_000_000 + second * 4_000),
        };
        let mut world = World { now, store: &mut store, random: &mut random };
        engine.handle_timeout(&mut world);
        let event = Event {
            event_type: "paid".to_owned(),
            payload: b"{}".to_vec(),
            content_type: None,
            content_encoding: None,
            traceparent: None,
            tracestate: None,
        };
        let key = (second % 2 == 0).then(|| IdempotencyKey::new("r", None, b"key", &[b"{}"]));
        engine.handle_connection(&mut world, second);
        engine.handle_event(&mut world, Offer { stream: 1, route: RouteId(0), event, fillings: Vec::new(), filter_headers: Vec::new(), key, rollout_key: None });
        let mut actions = 0;
        while let Some(action) = engine.poll_action(&mut world) {
            actions += 1;
            assert!(actions < 10_000, "it never comes to an end");
            if let Action::Call(call) = action {
                engine.handle_call_ended(&mut world, call.attempt, Ending::Status(503), Some(b"1"));
            }
        }
    }
});
