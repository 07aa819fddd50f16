//! Does the time in which a signature is refused tell where it is wrong?
//!
//!     cargo bench -p gatepost-core --bench constant_time
//!
//! After [dudect](https://eprint.iacr.org/2016/1123): two classes of requests, whose signatures differ from the right one
//! in their first or in their last digit, are verified in random order, and Welch's t-test asks whether the times of the
//! two classes have one mean. Only the quicker half of all counts, cut at one time for both, for what else the machine does
//! makes times longer and never shorter. Below 4.5 there is no difference to be seen; the command fails above it. A
//! comparison that stops at the first difference is measured beside it: were it not told, the test could tell nothing.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a benchmark of nothing should stop")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use gatepost_core::config::{self, Config};
use gatepost_core::headers::Headers;
use gatepost_core::secret::Secret;
use gatepost_core::signature::timestamped::sign;
use gatepost_core::signature::{Fault, Tolerance};
use gatepost_core::time::WallTime;

/// Of each class in each round.
const MEASUREMENTS: usize = 100_000;
const ROUNDS: usize = 3;
/// A t of chance alone passes it once in 100,000 rounds.
const THRESHOLD: f64 = 4.5;
const BODY: &[u8] = b"{}";
const AT: WallTime = WallTime::from_millis(1_700_000_000_000);

fn main() {
    // `cargo test --benches` only asks whether it runs.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let config = receiver();
    let (first, last) = (signature(0), signature(63));
    let timestamp = AT.as_millis().to_string().into_bytes();
    let verify = |signature: &[u8]| {
        let request = Headers::new(&[("x-webhook-signature", signature), ("x-webhook-timestamp", &timestamp)]);
        let tolerance = Tolerance { past: Duration::from_secs(300), future: Duration::from_secs(30) };
        let verdict = config.inbound[0].signatures[0].verify(black_box(&request), BODY, AT, tolerance);
        assert_eq!(verdict, Err(Fault::Mismatch));
    };
    let ts: Vec<f64> = (0..ROUNDS).map(|_| t([&first, &last], verify)).collect();
    let control = t([&WRONG_FIRST, &WRONG_LAST], |theirs| {
        black_box(stops_early(black_box(&RIGHT), black_box(theirs)));
    });
    println!("verify: |t| = {ts:.2?} over {MEASUREMENTS} requests of each class; below {THRESHOLD} is no leak");
    println!("a comparison that stops at the first difference: |t| = {control:.2}, which must be above {THRESHOLD}");
    assert!(control > THRESHOLD, "this machine is too noisy to tell anything");
    assert!(ts.iter().all(|t| *t < THRESHOLD), "the time tells where the first difference is");
}

fn receiver() -> Config {
    let config = br#"{"inbound": [{"name": "i", "match": {"path": "/i"}, "secrets": [{"value": "s"}]}]}"#;
    config::parse(config, &|_| None).expect("a config")
}

/// A signature that is wrong in this digit alone. Letters stay letters: how the sender's own digits are read may
/// take a time that depends on them.
fn signature(wrong: usize) -> Vec<u8> {
    let mut signature = sign(&Secret::new(b"s".to_vec()).expect("a secret"), AT, BODY).into_bytes();
    signature[wrong] = match signature[wrong] {
        b'0' | b'a' => signature[wrong] + 1,
        digit => digit - 1,
    };
    signature
}

const RIGHT: [u8; 32] = [7; 32];
const WRONG_FIRST: [u8; 32] = wrong_at(0);
const WRONG_LAST: [u8; 32] = wrong_at(31);

const fn wrong_at(place: usize) -> [u8; 32] {
    let mut bytes = RIGHT;
    bytes[place] = 8;
    bytes
}

fn stops_early(ours: &[u8], theirs: &[u8]) -> bool {
    ours.iter().zip(theirs).all(|(ours, theirs)| black_box(ours) == black_box(theirs))
}

/// Welch's |t| of the times of both classes. Either is made in the one buffer that is looked at, byte by byte: of two
/// buffers one may lie better than the other.
fn t(classes: [&[u8]; 2], mut run: impl FnMut(&[u8])) -> f64 {
    let (mut times, mut random) = ([Vec::new(), Vec::new()], 0x9e37_79b9_7f4a_7c15_u64);
    let mut input = classes[0].to_vec();
    for _ in 0..2 * MEASUREMENTS {
        // xorshift64: which class comes next must follow no pattern.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let class = usize::from(random & 1 == 0);
        let mask = black_box(0u8.wrapping_sub(class as u8));
        for (byte, (one, other)) in input.iter_mut().zip(classes[0].iter().zip(classes[1])) {
            *byte = black_box(one & !mask | other & mask);
        }
        let start = Instant::now();
        run(&input);
        times[class].push(start.elapsed().as_nanos() as f64);
    }
    let mut all = times.concat();
    all.sort_unstable_by(f64::total_cmp);
    let slowest = all[all.len() / 2];
    let [(m1, v1, n1), (m2, v2, n2)] = times.map(|mut times| {
        times.retain(|time| *time <= slowest);
        moments(&times)
    });
    (m1 - m2).abs() / (v1 / n1 + v2 / n2).sqrt()
}

/// Mean, variance and number.
fn moments(times: &[f64]) -> (f64, f64, f64) {
    let count = times.len() as f64;
    let mean = times.iter().sum::<f64>() / count;
    (mean, times.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0), count)
}
