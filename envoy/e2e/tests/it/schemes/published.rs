//! The libraries by themselves: they make the published vectors, and agree with each other. So a disagreement with the
//! gateway is the gateway's.

use std::collections::BTreeSet;

use anyhow::Result;

use super::library::{Headers, all};
use super::scheme::{SCHEMES, now, tampered};

/// Scheme, secret, id, timestamp, body, the header and its value.
type Vector = (&'static str, &'static str, &'static str, u64, &'static str, (&'static str, &'static str));

const VECTORS: [Vector; 6] = [
    (
        "standard",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1_614_265_330,
        "{\"test\": 2432232314}",
        ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ),
    (
        "standard",
        "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
        1_649_367_553,
        "{\"email\":\"test@example.com\",\"username\":\"test_user\"}",
        ("webhook-signature", "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="),
    ),
    (
        // Of the tests of Svix's server.
        "standard-v1a",
        "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1_614_265_330,
        "{\"test\": 2432232314}",
        (
            "webhook-signature",
            "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==",
        ),
    ),
    (
        "github",
        "It's a Secret to Everybody",
        "",
        0,
        "Hello, World!",
        ("x-hub-signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"),
    ),
    (
        "slack",
        "8f742231b10e8888abcd99yyyzzz85a5",
        "",
        1_531_420_618,
        "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar\
         &user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com\
         %2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.\
         803a0bc887a14d10d2c447fce8b6703c",
        ("x-slack-signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"),
    ),
    (
        // No published one: the HMAC is that of `openssl dgst -sha256 -hmac`.
        "stripe",
        "whsec_test_secret",
        "",
        1_492_774_577,
        "{\"id\":\"evt_1\"}",
        ("stripe-signature", "t=1492774577,v1=799c4ba7bb339f3c8601adfd112f0e477c930a268be1243d341abb8286501c2f"),
    ),
];

/// Each library signs the published vectors of its scheme as published.
#[test]
fn each_library_reproduces_the_published_signatures() -> Result<()> {
    for (scheme, secret, id, timestamp, body, (header, expected)) in VECTORS {
        for library in all()?.iter().filter(|library| library.scheme == scheme) {
            let headers = library.sign(secret, id, timestamp, body.as_bytes())?;
            assert_eq!(headers.get(header).map(String::as_str), Some(expected), "{library}");
        }
    }
    Ok(())
}

/// Libraries accept what others sign and refuse it tampered with stale or under another secret.
#[test]
fn libraries_accept_each_other_and_refuse_forgeries() -> Result<()> {
    let body = "{\"id\":\"evt_1\",\"payer\":\"Zo\u{eb}\"}".as_bytes();
    for scheme in SCHEMES {
        let libraries = scheme.libraries()?;
        for signer in &libraries {
            let signed = |at| signer.sign(scheme.old.signs, "msg_1", at, body);
            let (fresh, stale) = (signed(now())?, signed(now() - 302)?);
            for verifier in &libraries {
                let refusal = |key: &str, headers: &Headers, body: &[u8]| verifier.refusal(key, headers, body);
                let what = format!("{verifier}, signed by {signer}");
                assert_eq!(refusal(scheme.old.verifies, &fresh, body)?, None, "{what}");
                assert!(refusal(scheme.new.verifies, &fresh, body)?.is_some(), "{what}: another secret");
                assert!(refusal(scheme.old.verifies, &fresh, &tampered(body))?.is_some(), "{what}: another body");
                // GitHub's signatures know no time.
                let is_refused = refusal(scheme.old.verifies, &stale, body)?.is_some();
                assert_eq!(is_refused, scheme.name != "github", "{what}: stale");
            }
        }
    }
    Ok(())
}

#[test]
fn the_libraries_are_those_of_the_lock_files() -> Result<()> {
    let libraries = all()?;
    let known: BTreeSet<String> = libraries.iter().map(ToString::to_string).collect();
    println!("{known:#?}");
    // Where everything must be, nothing is left out.
    if std::env::var("CI").is_ok_and(|value| value == "true") {
        let of = |scheme: &str| libraries.iter().filter(|library| library.scheme == scheme).count();
        assert_eq!(SCHEMES.map(|scheme| of(scheme.name)), [3, 2, 1, 2, 1], "{known:#?}");
    }
    Ok(())
}
