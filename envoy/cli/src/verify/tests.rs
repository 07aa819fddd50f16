//! Kinds of broken requests, each with what is said of it.

use super::finding::Code::{self, *};
use super::scheme::{Scheme, mac};
use super::verdict::{Rules, Verification, judge};
use super::*;
use zeroize::Zeroizing;

mod schemes;

const SECRET: &str = "0123456789abcdef0123456789ABCDEF";
const AT: i64 = 1_700_000_000_000;
const BODY: &str = r#"{"event":"test","data":{"amount":42}}"#;

/// A request that is right, and what one case makes wrong about it.
struct Case {
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    secrets: Vec<Vec<u8>>,
    rules: Rules,
}

impl Case {
    fn good() -> Self {
        let headers = pairs(&[
            ("Host", "a"),
            ("X-Webhook-Signature", &signed(SECRET, &AT.to_string(), BODY)),
            ("X-Webhook-Timestamp", &AT.to_string()),
            ("X-Webhook-Id", "id-1"),
        ]);
        let prefix = "X-Webhook-".to_owned();
        let rules = Rules { scheme: Scheme::Timestamped, prefix, now: AT + 5_000, past: 300_000, future: 30_000 };
        Self { headers, body: BODY.into(), secrets: vec![SECRET.into()], rules }
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    fn and(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    fn with(self, name: &str, value: impl Into<String>) -> Self {
        self.without(name).and(name, value)
    }

    /// The signature is over this.
    fn signing(self, key: impl AsRef<[u8]>, before: &str, body: impl AsRef<[u8]>) -> Self {
        let signature = hex::encode(mac(key.as_ref(), before.as_bytes(), body.as_ref()));
        self.with("X-Webhook-Signature", signature)
    }

    /// The signature is over this body, with the right key and timestamp.
    fn signing_body(self, body: impl AsRef<[u8]>) -> Self {
        self.signing(SECRET, &format!("{AT}."), body)
    }

    fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    fn secret(mut self, secret: impl AsRef<[u8]>) -> Self {
        self.secrets = vec![secret.as_ref().to_vec()];
        self
    }

    fn scheme(mut self, scheme: Scheme) -> Self {
        self.rules.scheme = scheme;
        self
    }

    fn later(mut self, millis: i64) -> Self {
        self.rules.now += millis;
        self
    }

    fn judge(self) -> Verification {
        let secrets = self.secrets.into_iter().enumerate().map(|(place, bytes)| Candidate {
            number: place + 1,
            name: format!("secret {} (env NAME)", place + 1),
            variable: Some("NAME".to_owned()),
            bytes: Zeroizing::new(bytes),
        });
        judge(&self.rules, &Captured::new(self.headers, self.body), &secrets.collect::<Vec<_>>())
    }
}

fn pairs(headers: &[(&str, &str)]) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn signed(secret: &str, timestamp: &str, body: &str) -> String {
    hex::encode(mac(secret.as_bytes(), format!("{timestamp}.").as_bytes(), body.as_bytes()))
}

/// Each case has exactly these findings, in this order.
fn table(cases: Vec<(&str, &[Code], Case)>) {
    for (what, codes, case) in cases {
        let verdict = case.judge();
        let found: Vec<Code> = verdict.findings.iter().map(|finding| finding.code).collect();
        assert_eq!(found, codes, "{what}: {:?}", verdict.findings);
        assert!(!verdict.verified, "{what}");
        let said = format!("{:?}", verdict.findings);
        assert!(!said.contains(SECRET) && !said.contains("amount"), "{what} tells the secret or the body: {said}");
    }
}

#[test]
fn a_good_request_is_verified_with_the_secret_that_signed_it() {
    let mut case = Case::good();
    case.secrets.insert(0, b"another".to_vec());
    let verdict = case.judge();
    assert!(verdict.verified, "{:?}", verdict.findings);
    assert_eq!((verdict.secret, verdict.header.as_deref()), (Some(2), Some("x-webhook-signature")));
    assert_eq!(verdict.age_ms, Some(5_000));
}

#[test]
fn while_secrets_rotate_the_further_signature_will_do() {
    let case = Case::good().signing("new", &format!("{AT}."), BODY);
    let also = format!("{}, {}", signed("third", "1", BODY), signed(SECRET, &AT.to_string(), BODY));
    let verdict = case.and("X-Webhook-Signature-Also", also).judge();
    assert!(verdict.verified, "{:?}", verdict.findings);
    assert_eq!(verdict.header.as_deref(), Some("x-webhook-signature-also"));
}

/// What would have been right is the signature over what was captured.
#[test]
fn expected_signature_is_over_the_captured_request() {
    let verdict = Case::good().with("X-Webhook-Signature", "0".repeat(64)).judge();
    let [expected] = verdict.expected.as_slice() else { panic!("{:?}", verdict.expected) };
    assert_eq!(expected.value, signed(SECRET, &AT.to_string(), BODY));
}

#[test]
fn the_published_vectors_are_verified() {
    let vectors = include_str!("../../../../plugin/core/testdata/signatures.json");
    let vectors: Vec<serde_json::Value> = serde_json::from_str(vectors).unwrap();
    let mut vectors = vectors.into_iter().filter(|vector| vector["scheme"] == "timestamped").peekable();
    assert!(vectors.peek().is_some());
    for vector in vectors {
        let text = |name: &str| vector[name].as_str().unwrap().to_owned();
        let case = Case::good().secret(text("secret")).body(text("body"));
        let case = case.with("X-Webhook-Timestamp", vector["timestamp"].to_string());
        assert!(case.with("X-Webhook-Signature", text("signature")).judge().verified);
    }
}

#[test]
fn headers_that_are_not_as_they_are_to_be_are_named() {
    let good = || signed(SECRET, &AT.to_string(), BODY);
    table(vec![
        ("no signature", &[HeaderMissing], Case::good().without("X-Webhook-Signature")),
        ("an empty signature", &[HeaderEmpty], Case::good().with("X-Webhook-Signature", "")),
        ("two signatures", &[HeaderDoubled], Case::good().and("X-Webhook-Signature", good())),
        ("joined", &[HeaderDoubled], Case::good().with("X-Webhook-Signature", format!("{0}, {0}", good()))),
        ("two timestamps", &[HeaderDoubled], Case::good().and("X-Webhook-Timestamp", AT.to_string())),
        (
            "another prefix",
            &[HeaderPrefix],
            Case::good()
                .without("X-Webhook-Signature")
                .without("X-Webhook-Timestamp")
                .and("Acme-Signature", good())
                .and("Acme-Timestamp", AT.to_string()),
        ),
        ("upper case", &[SignatureUpperCase], Case::good().with("X-Webhook-Signature", good().to_uppercase())),
        ("sha256=", &[SignaturePrefix], Case::good().with("X-Webhook-Signature", format!("sha256={}", good()))),
        ("v1=", &[SignaturePrefix], Case::good().with("X-Webhook-Signature", format!("v1={}", good()))),
        ("not hex", &[SignatureNotHex], Case::good().with("X-Webhook-Signature", "what is this")),
        ("SHA-1", &[SignatureLength], Case::good().with("X-Webhook-Signature", &good()[..40])),
        ("base64", &[SignatureBase64], Case::good().with("X-Webhook-Signature", base64(&hex::decode(good()).unwrap()))),
    ]);
}

fn base64(bytes: &[u8]) -> String {
    use ::base64::Engine;
    ::base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[test]
fn a_timestamp_that_is_wrong_is_told_by_how_much() {
    let timed = |text: &str| {
        let case = Case::good().with("X-Webhook-Timestamp", text);
        case.signing(SECRET, &format!("{text}."), BODY)
    };
    table(vec![
        ("old", &[TimestampTooOld], Case::good().later(300_000)),
        ("ahead", &[TimestampAhead], Case::good().later(-60_000)),
        ("seconds", &[TimestampInSeconds], timed("1700000000")),
        ("nanoseconds", &[TimestampUnit], timed("1700000000000000000")),
        ("a date", &[TimestampNotNumber], timed("2023-11-14T22:13:20Z")),
        ("no number", &[TimestampNotNumber], timed("now")),
        (
            "missing",
            &[HeaderMissing, SignedBodyOnly],
            Case::good().without("X-Webhook-Timestamp").signing(SECRET, "", BODY),
        ),
    ]);
    let says = |case: Case| case.judge().findings[0].says.clone();
    assert!(says(Case::good().later(300_000)).starts_with("The timestamp is too old by 5 s: it is 305 s old"));
    assert!(says(Case::good().later(-65_000)).starts_with("The timestamp is ahead by 60 s, and 30 s are allowed"));
}

#[test]
fn a_body_that_was_changed_is_told_by_what_changed_it() {
    let pretty = "{\n  \"event\": \"test\",\n  \"data\": {\n    \"amount\": 42\n  }\n}";
    table(vec![
        ("newline added", &[BodyNewlineAdded], Case::good().body(format!("{BODY}\n"))),
        ("CRLF added", &[BodyNewlineAdded], Case::good().body(format!("{BODY}\r\n"))),
        ("newline missing", &[BodyNewlineMissing], Case::good().signing_body(format!("{BODY}\n"))),
        ("LF for CRLF", &[BodyLineEnds], Case::good().signing_body("a\r\nb").body("a\nb")),
        ("CRLF for LF", &[BodyLineEnds], Case::good().signing_body("a\nb").body("a\r\nb")),
        ("a BOM", &[BodyByteOrderMark], Case::good().body(format!("\u{feff}{BODY}"))),
        ("Latin-1", &[BodyEncoded], Case::good().body(b"caf\xe9").signing_body("caf\u{e9}")),
        ("twice UTF-8", &[BodyEncoded], Case::good().body("caf\u{c3}\u{a9}").signing_body("caf\u{e9}")),
        ("no BOM", &[BodyByteOrderMark], Case::good().signing_body(format!("\u{feff}{BODY}"))),
        ("indented", &[BodyReformatted], Case::good().body(pretty)),
        ("made compact", &[BodyReformatted], Case::good().signing_body(pretty)),
        ("with spaces", &[BodyReformatted], Case::good().signing_body(r#"{"event": "test", "data": {"amount": 42}}"#)),
        ("sorted", &[BodyReformatted], Case::good().signing_body(r#"{"data":{"amount":42},"event":"test"}"#)),
        ("base64", &[BodyEncoded], Case::good().body(base64(BODY.as_bytes()))),
        ("chunked", &[BodyEncoded], Case::good().body(format!("25\r\n{BODY}\r\n0\r\n\r\n"))),
        ("truncated", &[BodyTruncated], Case::good().body(&BODY[..20]).and("content-length", "37")),
        ("too long", &[BodyTooLong], Case::good().body(format!("{BODY} more")).and("content-length", "37")),
        ("not signed", &[BodyNotSigned], Case::good().signing_body("")),
        ("by its digest", &[BodyChanged], digest(Case::good().body("{}"))),
        ("altered", &[BodyOrSecret], Case::good().body(BODY.replace("42", "43"))),
    ]);
}

/// With the digest of the body that was sent.
fn digest(case: Case) -> Case {
    use sha2::Digest;
    case.and("Content-Digest", format!("sha-256=:{}:", base64(&sha2::Sha256::digest(BODY))))
}

/// A secret that is not quite the senders is told by the difference.
#[test]
fn near_miss_secret_is_diagnosed_by_its_difference() {
    let keyed = |key: &[u8]| Case::good().signing(key, &format!("{AT}."), BODY);
    table(vec![
        ("another", &[BodyOrSecret], Case::good().secret("another")),
        ("another, with a digest", &[WrongSecret], digest(Case::good().secret("another"))),
        ("ours has a newline", &[SecretUntrimmed], Case::good().secret(format!("{SECRET}\n"))),
        ("ours has quotes", &[SecretUntrimmed], Case::good().secret(format!("\"{SECRET}\""))),
        ("theirs has a newline", &[SecretPadded], keyed(format!("{SECRET}\n").as_bytes())),
        ("theirs has quotes", &[SecretPadded], keyed(format!("\"{SECRET}\"").as_bytes())),
        ("hex, decoded", &[SecretHexDecoded], keyed(&hex::decode(SECRET).unwrap())),
        ("base64, decoded", &[SecretBase64Decoded], keyed(b"my key!").secret(base64(b"my key!"))),
        ("in another case", &[SecretCase], keyed(SECRET.to_lowercase().as_bytes())),
        ("empty", &[SecretEmpty], keyed(b"")),
        ("a template", &[SecretPlaceholder], keyed(b"${NAME}")),
        ("of the example", &[SecretPlaceholder], keyed(b"demo-billing")),
    ]);
}

#[test]
fn what_was_signed_otherwise_is_told() {
    let signing = |before: &str| Case::good().signing(SECRET, before, BODY);
    let date = || Case::good().and("Date", "Tue, 14 Nov 2023 22:13:19 GMT");
    table(vec![
        ("the body alone", &[SignedBodyOnly], signing("")),
        ("seconds", &[SignedSeconds], signing("1700000000.")),
        ("the date", &[SignedOtherTimestamp], date().signing(SECRET, "1699999999000.", BODY)),
        ("without the dot", &[SignedOtherLayout], signing(&AT.to_string())),
        ("with the id", &[SignedOtherLayout], signing(&format!("id-1.{AT}."))),
        ("as Slack does", &[SignedOtherLayout], signing(&format!("v0:{AT}:"))),
        (
            "milliseconds, with a header in seconds",
            &[TimestampInSeconds, SignedMilliseconds],
            signing(&format!("{AT}.")).with("X-Webhook-Timestamp", "1700000000"),
        ),
    ]);
}

/// Two faults at once are both told and so are more where they do not hide each other.
#[test]
fn simultaneous_faults_are_all_reported() {
    table(vec![
        (
            "newlines on body and secret",
            &[SecretUntrimmed, BodyNewlineAdded],
            Case::good().secret(format!("{SECRET}\n")).body(format!("{BODY}\n")),
        ),
        (
            "old, upper case, and reformatted",
            &[SignatureUpperCase, TimestampTooOld, BodyReformatted],
            Case::good()
                .with("X-Webhook-Signature", signed(SECRET, &AT.to_string(), BODY).to_uppercase())
                .later(400_000)
                .body(BODY.replace(':', ": ")),
        ),
    ]);
}
