//! Any headers and any body, verified by all schemes with any bytes in the replay table: refused in words, and never let
//! by, for nobody here has the secrets.

#![no_main]

use gatepost_core::store::keys::Keys;
use gatepost_core::config;
use gatepost_core::headers::Headers;
use gatepost_core::ids::RuleId;
use gatepost_core::inbound::Verifier;
use gatepost_core::store::{Cas, SharedStore, StoreError};
use gatepost_core::time::{Instant, Now, WallTime};
use libfuzzer_sys::fuzz_target;

const SCHEMES: [&str; 9] =
    ["timestamped", "standard", "github", "stripe", "slack", "svix", "paddle", "linear", "pagerduty"];
/// Those of all schemes; a part of the input is the value of each.
const NAMES: [&str; 20] = [
    "x-webhook-signature",
    "x-webhook-signature-also",
    "x-webhook-timestamp",
    "x-webhook-id",
    "webhook-signature",
    "webhook-id",
    "webhook-timestamp",
    "x-hub-signature-256",
    "x-hub-signature-256-also",
    "x-github-delivery",
    "stripe-signature",
    "x-slack-signature",
    "x-slack-signature-also",
    "x-slack-request-timestamp",
    "svix-signature",
    "svix-id",
    "svix-timestamp",
    "paddle-signature",
    "linear-signature",
    "x-pagerduty-signature",
];

/// Every key holds the same.
struct Store(Vec<u8>);

impl SharedStore for Store {
    fn get(&mut self, _: &str) -> Result<Option<(Vec<u8>, Cas)>, StoreError> {
        Ok(Some((self.0.clone(), Cas(1))))
    }

    fn set(&mut self, _: &str, _: &[u8], _: Option<Cas>) -> Result<(), StoreError> {
        Ok(())
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let scheme = SCHEMES[usize::from(*first) % SCHEMES.len()];
    let key = match scheme {
        "standard" => "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=",
        "svix" => "whsec_c2VjcmV0",
        _ => "s",
    };
    let config = format!(
        r#"{{"inbound": [{{"name": "i", "match": {{"path": "/i"}}, "secrets": [{{"value": "{key}"}}, {{"value": "bW9yZQ=="}}],
            "signature": {{"scheme": "{scheme}"}}}}]}}"#
    );
    let Ok(config) = config::parse(config.as_bytes(), &|_| None) else { panic!("the config is good") };
    // Parts are separated by 0xff, which headers hold seldom.
    let mut parts = rest.split(|byte| *byte == 0xff);
    let (body, table) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let headers: Vec<_> = NAMES.into_iter().zip(parts).filter(|(_, value)| !value.is_empty()).collect();
    let now = Now { mono: Instant::from_nanos(1 << 50), wall: WallTime::from_millis(1_700_000_000_000) };
    let mut store = Store(table.to_vec());
    let verdict = Verifier::new(&config.inbound, &Keys::new("g")).verify(
        &config.inbound,
        &mut store,
        now,
        RuleId(0),
        &Headers::new(&headers),
        body,
    );
    let answer = verdict.pass.expect_err("nobody here can sign");
    assert!((400..504).contains(&answer.status) && !answer.body.is_empty());
});
