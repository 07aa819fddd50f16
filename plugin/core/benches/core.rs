//! What an event costs before and at its delivery. Matching stands beside itself with a hundred times the config: the two
//! lines should not differ by more than the memory caches do.

#![allow(clippy::expect_used, reason = "a benchmark of nothing should stop")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gatepost_core::config::{Config, parse};
use gatepost_core::egress::attempt::attempt_headers;
use gatepost_core::egress::breaker::{Admission, Breaker, BreakerPolicy, Effect, Signal};
use gatepost_core::headers::Headers;
use gatepost_core::ids::EventId;
use gatepost_core::secret::Secret;
use gatepost_core::signature::Attempt;
use gatepost_core::signature::timestamped::sign;
use gatepost_core::time::{Instant, WallTime};
use serde_json::{Value, json};

/// `count` routes, each with a path of its own, and `count` endpoints, each with an event of its own.
fn config(count: usize) -> Config {
    let routes: Vec<Value> = (0..count)
        .map(|n| json!({"name": format!("r{n}"), "match": {"path": format!("/t{n}/events/{{event}}")}, "event": "{event}"}))
        .collect();
    let endpoints: Vec<Value> = (0..count)
        .map(|n| {
            json!({
                "name": format!("e{n}"), "cluster": "c", "url": "https://api.example.com/webhooks",
                "events": [format!("t{n}.payment_*")], "secrets": [{"value": "bench"}],
            })
        })
        .collect();
    let config = json!({"enabled": true, "routes": routes, "endpoints": endpoints});
    parse(config.to_string().as_bytes(), &|_| None).expect("a valid config")
}

fn matching(c: &mut Criterion) {
    let headers = Headers::new(&[("content-type", b"application/json")]);
    for count in [10, 1000] {
        let config = config(count);
        let mut group = c.benchmark_group("match");
        group.bench_function(BenchmarkId::new("event", count), |b| {
            b.iter(|| config.routes.select(black_box("/t7/events/payment_made?trace=1"), "POST", &headers));
        });
        group.bench_function(BenchmarkId::new("no_event", count), |b| {
            b.iter(|| config.routes.select(black_box("/t7/orders/payment_made?trace=1"), "POST", &headers));
        });
        group.bench_function(BenchmarkId::new("subscriptions", count), |b| {
            b.iter(|| config.subscriptions.matching(black_box("t7.payment_made")));
        });
    }
}

fn signing(c: &mut Criterion) {
    let config = config(1);
    let endpoint = config.endpoints.first().expect("an endpoint");
    let secret = &Secret::new(b"bench".to_vec()).expect("a secret");
    let mut group = c.benchmark_group("sign");
    for size in [1 << 10, 16 << 10] {
        let body = vec![b'x'; size];
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::new("signature", size), |b| {
            b.iter(|| sign(secret, WallTime::from_millis(1_700_000_000_000), black_box(&body)));
        });
        let attempt = Attempt {
            id: EventId::from_random([7; 16]),
            number: 1,
            at: WallTime::from_millis(1_700_000_000_000),
            event_type: "t0.payment_made",
            content_type: Some(b"application/json"),
            content_encoding: None,
            traceparent: None,
            tracestate: None,
            body: &body,
        };
        group.bench_function(BenchmarkId::new("attempt_headers", size), |b| {
            b.iter(|| attempt_headers(endpoint, &config.user_agent, black_box(&attempt)).len());
        });
    }
}

/// What an attempt asks of a breaker: may it leave, and what does its end change?
fn breaking(c: &mut Criterion) {
    let config = config(1);
    let endpoint = config.endpoints.first().expect("an endpoint");
    let policy = endpoint.breaker.as_ref().expect("a breaker");
    let now = Instant::from_nanos(1_000_000_000_000);
    let mut group = c.benchmark_group("breaker");
    group.bench_function("healthy", |b| {
        let mut breaker = Breaker::default();
        b.iter(|| attempt(&mut breaker, now, Signal::Success, policy));
    });
    // A failure and a success in turn: one failure is kept, and counted out again, so it stays closed.
    group.bench_function("failing", |b| {
        let mut breaker = Breaker::default();
        b.iter(|| {
            attempt(&mut breaker, now, Signal::Failure, policy);
            attempt(&mut breaker, now, Signal::Success, policy)
        });
    });
    let mut open = Breaker::default();
    for _ in 0..policy.failures {
        attempt(&mut open, now, Signal::Failure, policy);
    }
    let later = now.plus(policy.open);
    assert_eq!(open.admission(later), Admission::Probe, "the breaker is open, and its time is over");
    group.bench_function("claim_probe", |b| {
        b.iter_batched_ref(
            || open.clone(),
            |breaker| breaker.claim_probe(black_box(later), 7, Duration::from_secs(10)),
            BatchSize::SmallInput,
        );
    });
}

/// One attempt at a closed breaker.
fn attempt(breaker: &mut Breaker, now: Instant, signal: Signal, policy: &BreakerPolicy) -> Effect {
    let Admission::Admit(permit) = breaker.admission(black_box(now)) else {
        return Effect::Unchanged;
    };
    breaker.report(now, permit, black_box(signal), false, policy)
}

criterion_group!(benches, matching, signing, breaking);
criterion_main!(benches);
