//! Requests that are signed in the other schemes.

use super::*;

/// A good request in another scheme.
fn other(scheme: Scheme, key: &[u8]) -> Case {
    let body = BODY.as_bytes();
    let case = Case::good().without("X-Webhook-Signature").without("X-Webhook-Timestamp").scheme(scheme);
    let of = |before: &str| mac(key, before.as_bytes(), body);
    match scheme {
        Scheme::Timestamped => Case::good(),
        Scheme::Standard => case
            .and("webhook-id", "msg_1")
            .and("webhook-timestamp", "1700000000")
            .and("webhook-signature", format!("v1a,AAAA v1,{}", base64(&of("msg_1.1700000000.")))),
        Scheme::Github => case.and("X-Hub-Signature-256", format!("sha256={}", hex::encode(of("")))),
        Scheme::Stripe => {
            let signature = hex::encode(of("1700000000."));
            case.and("Stripe-Signature", format!("t=1700000000,v1={},v1={signature},v0=aa", "0".repeat(64)))
        }
        Scheme::Slack => case
            .and("X-Slack-Request-Timestamp", "1700000000")
            .and("X-Slack-Signature", format!("v0={}", hex::encode(of("v0:1700000000:")))),
    }
}

/// Each scheme verifies its own and is known where another is due.
#[test]
fn each_scheme_verifies_and_is_recognised_if_unexpected() {
    for scheme in Scheme::ALL {
        let verdict = other(scheme, SECRET.as_bytes()).secret(own_secret(scheme)).judge();
        assert!(verdict.verified, "{scheme:?}: {:?}", verdict.findings);
        if scheme != Scheme::Timestamped {
            let case = other(scheme, SECRET.as_bytes()).secret(own_secret(scheme));
            table(vec![("another scheme", &[OtherScheme], case.scheme(Scheme::Timestamped))]);
        }
    }
}

fn own_secret(scheme: Scheme) -> String {
    if scheme == Scheme::Standard { format!("whsec_{}", base64(SECRET.as_bytes())) } else { SECRET.to_owned() }
}

/// From the documentation of GitHub, of Slack, and of Standard Webhooks.
#[test]
fn the_examples_that_the_schemes_publish_are_verified() {
    let case = |scheme, secret: &str, body: &str| {
        let mut case = Case::good().scheme(scheme).secret(secret).body(body);
        case.headers.clear();
        case
    };
    let github = case(Scheme::Github, "It's a Secret to Everybody", "Hello, World!")
        .and("x-hub-signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17");
    let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&\
                channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&\
                response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F\
                96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let mut slack = case(Scheme::Slack, "8f742231b10e8888abcd99yyyzzz85a5", body)
        .and("x-slack-request-timestamp", "1531420618")
        .and("x-slack-signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503");
    slack.rules.now = 1_531_420_618_000;
    let mut standard = case(Scheme::Standard, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", r#"{"test": 2432232314}"#)
        .and("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek")
        .and("webhook-timestamp", "1614265330")
        .and("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    standard.rules.now = 1_614_265_330_000;
    for case in [github, slack, standard] {
        let scheme = case.rules.scheme;
        let verdict = case.judge();
        assert!(verdict.verified, "{scheme:?}: {:?}", verdict.findings);
    }
}

/// RFC 8032, section 7.1, test 1.
const PRIVATE_KEY: &str = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
const PUBLIC_KEY: &str = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

/// A request that a private key has signed.
fn asymmetric() -> Case {
    let bytes = hex::decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
    let tag = gatepost_core::secret::PrivateKey::new(&bytes).unwrap();
    let tag = tag.sign(&[b"msg_1.1700000000.", BODY.as_bytes()]);
    other(Scheme::Standard, b"another")
        .with("webhook-signature", format!("v1,AAAA v1a,{}", base64(&tag)))
        .secret(PUBLIC_KEY)
}

#[test]
fn what_a_private_key_signed_is_verified_with_its_public_one() {
    for secret in [PUBLIC_KEY, &format!("{PUBLIC_KEY}\n"), PRIVATE_KEY] {
        let verdict = asymmetric().secret(secret).judge();
        assert!(verdict.verified, "{:?}", verdict.findings);
        assert_eq!(verdict.expected.len(), 0, "it takes the private key to make one");
    }
    let mut both = asymmetric();
    both.secrets.insert(0, own_secret(Scheme::Standard).into());
    both = both.with("webhook-signature", asymmetric().headers.last().unwrap().1.replace("v1,AAAA ", ""));
    assert_eq!(both.judge().secret, Some(2));
}

#[test]
fn faults_of_a_signature_by_a_private_key_are_told_too() {
    let shared = own_secret(Scheme::Standard);
    let only_v1a =
        || asymmetric().with("webhook-signature", asymmetric().headers.last().unwrap().1.replace("v1,AAAA ", ""));
    table(vec![
        ("a newline", &[BodyNewlineAdded], asymmetric().body(format!("{BODY}\n"))),
        ("altered", &[BodyOrSecret], asymmetric().body("{}")),
        ("cut short", &[SignatureLength], asymmetric().with("webhook-signature", "v1a,AAAA")),
        ("only a shared secret given", &[KeyKind], only_v1a().secret(shared)),
        (
            "only a public key given",
            &[KeyKind],
            other(Scheme::Standard, SECRET.as_bytes()).secret(PUBLIC_KEY).with("webhook-signature", "v1,AAAA"),
        ),
    ]);
}

/// While secrets rotate the further signature of GitHub and Slack will do too.
#[test]
fn extra_github_or_slack_signature_verifies_in_rotation() {
    for (scheme, name) in [(Scheme::Github, "X-Hub-Signature-256"), (Scheme::Slack, "X-Slack-Signature")] {
        let case = other(scheme, SECRET.as_bytes());
        let value = case.headers.last().unwrap().1.clone();
        let another = format!("{}{}", scheme.mark(), "0".repeat(64));
        let verdict = case.with(name, another).and(&format!("{name}-Also"), value).judge();
        assert!(verdict.verified, "{scheme:?}: {:?}", verdict.findings);
    }
}

#[test]
fn faults_of_the_other_schemes_are_told_in_their_terms() {
    let key = SECRET.as_bytes();
    let slack = || other(Scheme::Slack, key);
    let github = hex::encode(mac(key, b"", BODY.as_bytes()));
    let standard = |value: String| {
        other(Scheme::Standard, key).secret(own_secret(Scheme::Standard)).with("webhook-signature", value)
    };
    let mac = mac(key, b"msg_1.1700000000.", BODY.as_bytes());
    table(vec![
        ("without its mark", &[SignaturePrefix], other(Scheme::Github, key).with("X-Hub-Signature-256", github)),
        ("hex for base64", &[SignatureHex], standard(format!("v1,{}", hex::encode(&mac)))),
        ("no id", &[HeaderMissing], standard(format!("v1,{}", base64(&mac))).without("webhook-id")),
        (
            "milliseconds",
            &[TimestampInMilliseconds, SignedSeconds],
            slack().with("X-Slack-Request-Timestamp", AT.to_string()),
        ),
        (
            "no time",
            &[HeaderMissing],
            other(Scheme::Stripe, key).with("Stripe-Signature", format!("v1={}", "0".repeat(64))),
        ),
        (
            "the secret not decoded",
            &[SecretNotDecoded],
            other(Scheme::Standard, own_secret(Scheme::Standard).as_bytes()).secret(own_secret(Scheme::Standard)),
        ),
        ("old", &[TimestampTooOld], slack().later(1_000_000)),
    ]);
}
