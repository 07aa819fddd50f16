//! Does the time in which a signature is refused tell where it is wrong?
//!
//!     cargo bench -p gatepost-core --bench constant_time
//!
//! After [dudect](https://eprint.iacr.org/2016/1123): two classes of requests, whose signatures differ from the right one
//! in their first or in their last byte, are verified in random order, and Welch's t-test asks whether the times of the
//! two classes have one mean. Of each class only its quicker half counts, for what else the machine does makes times
//! longer and never shorter. Below 4.5 there is no difference to be seen; the command fails above it. A comparison that
//! stops at the first difference is measured beside it: were it not told, the test could tell nothing.

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
/// A t of chance alone passes 4.5 once in 100,000 rounds; one that the machine made does not come three times in a row.
const ROUNDS: usize = 3;
const THRESHOLD: f64 = 4.5;
const BODY: &[u8] = b"{}";
const AT: WallTime = WallTime::from_millis(1_700_000_000_000);

fn main() {
    // `cargo test --benches` only asks whether it runs.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let config = receiver();
    let (first, last) = (request(0), request(63));
    let verify = |request: &Headers| {
        let tolerance = Tolerance { past: Duration::from_secs(300), future: Duration::from_secs(30) };
        let verdict = config.inbound[0].signatures[0].verify(black_box(request), BODY, AT, tolerance);
        assert_eq!(verdict, Err(Fault::Mismatch));
    };
    let ts: Vec<f64> = (0..ROUNDS).map(|_| t(&first, &last, verify)).collect();
    let control = t(&WRONG_FIRST, &WRONG_LAST, |theirs| {
        black_box(stops_early(black_box(&RIGHT), black_box(theirs)));
    });
    println!(
        "verify: |t| = {ts:.2?} over {MEASUREMENTS} requests of each class; below {THRESHOLD} in one round is no leak"
    );
    println!("a comparison that stops at the first difference: |t| = {control:.2}, which must be above {THRESHOLD}");
    assert!(control > THRESHOLD, "this machine is too noisy to tell anything");
    assert!(ts.iter().any(|t| *t < THRESHOLD), "the time tells where the first difference is");
}

fn receiver() -> Config {
    let config = br#"{"inbound": [{"name": "i", "match": {"path": "/i"}, "secrets": [{"value": "s"}]}]}"#;
    config::parse(config, &|_| None).expect("a config")
}

/// A request whose signature is wrong in this digit alone. Letters stay letters: how the sender's own digits are read may
/// take a time that depends on them.
fn request(wrong: usize) -> Headers {
    let mut signature = sign(&Secret::new(b"s".to_vec()).expect("a secret"), AT, BODY).into_bytes();
    signature[wrong] = match signature[wrong] {
        b'0' | b'a' => signature[wrong] + 1,
        digit => digit - 1,
    };
    let timestamp = AT.as_millis().to_string();
    Headers::new(&[("x-webhook-signature", &signature), ("x-webhook-timestamp", timestamp.as_bytes())])
}

const RIGHT: [u8; 32] = [7; 32];
const WRONG_FIRST: [u8; 32] = wrong_at(0);
const WRONG_LAST: [u8; 32] = wrong_at(31);

const fn wrong_at(place: usize) -> [u8; 32] {
    let mut bytes = RIGHT;
    bytes[place] = 8;
    bytes
}

fn stops_early(ours: &[u8; 32], theirs: &[u8; 32]) -> bool {
    ours.iter().zip(theirs).all(|(ours, theirs)| black_box(ours) == black_box(theirs))
}

/// Welch's |t| of the times of both classes. Each is looked at in a copy, made in the same place of the memory for both.
fn t<T: Clone>(first: &T, last: &T, mut run: impl FnMut(&T)) -> f64 {
    let (mut times, mut random) = ([Vec::new(), Vec::new()], 0x9e37_79b9_7f4a_7c15_u64);
    for _ in 0..2 * MEASUREMENTS {
        // xorshift64: which class comes next must follow no pattern.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let class = usize::from(random & 1 == 0);
        let input = [first, last][class].clone();
        let start = Instant::now();
        run(&input);
        times[class].push(start.elapsed().as_nanos() as f64);
    }
    let [one, other] = times.map(quicker_half);
    let ((m1, v1, n1), (m2, v2, n2)) = (moments(&one), moments(&other));
    (m1 - m2).abs() / (v1 / n1 + v2 / n2).sqrt()
}

fn quicker_half(mut times: Vec<f64>) -> Vec<f64> {
    times.sort_unstable_by(f64::total_cmp);
    times.truncate(times.len() / 2);
    times
}

/// Mean, variance and number.
fn moments(times: &[f64]) -> (f64, f64, f64) {
    let count = times.len() as f64;
    let mean = times.iter().sum::<f64>() / count;
    (mean, times.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0), count)
}
