//! How quick the simulated Envoy is: events from the request's headers until the receiver has them and the slot is
//! free, in virtual time that the load does not fill. One core: a process is one thread.

#![allow(clippy::expect_used, reason = "a benchmark of nothing should stop")]

use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use host_tests::{Filter, Process, Reply, Request, Upstream};
use serde_json::{Value, json};

const EVENTS: usize = 1000;

fn start(filter: &Filter, endpoints: usize) -> Process {
    let names = (0..endpoints).map(|number| format!("e{number}"));
    let entries: Vec<Value> = names
        .clone()
        .map(|name| json!({"name": name, "cluster": name, "url": "https://a.example/", "secrets": [{"value": "s"}]}))
        .collect();
    let route = json!({"name": "ingest", "match": {"path": "/events/{event}"}, "event": "{event}"});
    let config = json!({"enabled": true, "routes": [route], "endpoints": entries});
    names
        .fold(Process::builder(filter).workers(2), |builder, name| {
            builder.cluster(&name, Upstream::always(Reply::status(200)))
        })
        .config(config.to_string())
        .start()
        .expect("it starts")
}

fn play(process: &mut Process) {
    for number in 0..EVENTS {
        process.request(number % 2, Request::post("/events/paid").body(r#"{"amount": 42}"#)).expect("it is taken");
        process.advance(Duration::from_millis(1)).expect("nothing traps");
    }
    process.advance(Duration::from_secs(1)).expect("nothing traps");
}

fn deliveries(c: &mut Criterion) {
    let wasm = gatepost_kit::artifact::wasm("gatepost").expect("the filter builds");
    let filter = Filter::load(&wasm).expect("the filter compiles");
    let mut group = c.benchmark_group("simulated deliveries");
    group.sample_size(10);
    for endpoints in [1, 10] {
        let mut process = start(&filter, endpoints);
        play(&mut process);
        assert_eq!(process.calls("e0").len(), EVENTS, "every event is delivered");
        group.throughput(Throughput::Elements((EVENTS * endpoints) as u64));
        group.bench_function(BenchmarkId::new("endpoints", endpoints), |b| {
            b.iter_batched_ref(|| start(&filter, endpoints), play, BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group!(simulator, deliveries);
criterion_main!(simulator);
