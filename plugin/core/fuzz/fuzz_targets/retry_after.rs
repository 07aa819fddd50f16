//! Any Retry-After is a wait or none.

#![no_main]

use gatepost_core::outcome::retry_after;
use gatepost_core::time::WallTime;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((seed, value)) = bytes.split_first_chunk::<8>() else { return };
    let now = WallTime::from_millis(u64::from_le_bytes(*seed));
    if let Some(wait) = retry_after(value, now) {
        assert!(now.plus(wait).as_millis() >= now.as_millis());
    }
});
