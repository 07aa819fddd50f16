//! `gatepost preflight`, with receivers that are well and with ones that are not.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use gatepost_cli::receive::verify::ReceiverCheck;
use gatepost_cli::receive::{Mode, Receiver, Setup};
use gatepost_cli::signing;
use gatepost_core::secret::Secret;
use gatepost_core::signature::Scheme;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::command::gatepost;
use crate::port::unanswered;

/// Base64 too, as scheme standard has it.
const SECRET: &str = "aSecretOfTheUsual32LettersAsText";

fn setup() -> Setup {
    Setup::new(Secret::new(SECRET.as_bytes().to_vec()).unwrap())
}

fn start(setup: Setup) -> (Receiver, String) {
    let receiver = Receiver::start(setup, |_| {}).unwrap();
    let url = format!("http://{}/hook", receiver.address());
    (receiver, url)
}

/// Runs it; gives back the exit code and the checks that did not pass, as `name: what was seen`.
fn preflight(url: &str, more: &[&str]) -> (Option<i32>, Vec<String>) {
    // Longer than a busy machine takes.
    preflight_within("30s", url, more)
}

/// The same with a good ping answered within this time.
fn preflight_within(within: &str, url: &str, more: &[&str]) -> (Option<i32>, Vec<String>) {
    let arguments = ["preflight", "--json", "--url", url, "--secret-env", "SECRET", "--within", within];
    let arguments = [&arguments, more].concat();
    let output = gatepost(&arguments, &[("SECRET", SECRET)]);
    let said = String::from_utf8_lossy(&output.stderr);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert!(!report.to_string().contains(SECRET) && !said.contains(SECRET), "no secret is shown");
    assert_eq!(report["passed"], output.status.success());
    let checks = report["checks"].as_array().unwrap();
    let others = checks.iter().filter(|check| check["verdict"] != "pass");
    let shown = others.map(|check| {
        let word = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
        format!("{} {}: {}", word("verdict"), word("name"), word("seen"))
    });
    (output.status.code(), shown.collect())
}

#[test]
fn a_good_receiver_passes_and_sees_one_ping_and_its_repetition() {
    let (receiver, url) = start(setup());
    assert_eq!(preflight(&url, &[]), (Some(0), vec![]));
    let records = receiver.records(0);
    let taken: Vec<_> = records.iter().filter(|record| record.status == 200).collect();
    assert_eq!((records.len(), taken.len()), (10, 2));
    assert_eq!(taken[0].id, taken[1].id);
    assert!(records.iter().all(|record| record.event == "gatepost.ping"));
}

#[test]
fn each_scheme_is_tried_with_what_is_a_forgery_in_it() {
    let of_time = |why: &str| {
        ["stale", "future", "tampered timestamp", "no timestamp"].map(|name| format!("warn {name}: not tried: {why}"))
    };
    let unsigned_id = "warn no id: accepted: 200".to_owned();
    for (name, scheme) in Scheme::ALL {
        let secret = vec![Zeroizing::new(SECRET.to_owned())];
        let other = signing::verifier(scheme, "X-Webhook-", &secret).unwrap();
        let (_receiver, url) = start(Setup { other: Some(other), ..setup() });
        let expected = match scheme {
            Scheme::Preset("linear") => {
                [&of_time("the timestamp is in the body")[..], std::slice::from_ref(&unsigned_id)].concat()
            }
            Scheme::Preset("pagerduty") => of_time("scheme pagerduty signs no time").to_vec(),
            Scheme::Github | Scheme::Preset("shopify" | "sentry" | "bitbucket") => {
                [&of_time(&format!("scheme {name} signs no time"))[..], std::slice::from_ref(&unsigned_id)].concat()
            }
            Scheme::Stripe | Scheme::Slack | Scheme::Standard | Scheme::Preset(_) | Scheme::Custom => vec![],
            // That the filter takes a request without an id is told: it is not signed there.
            Scheme::Timestamped => vec![unsigned_id.clone()],
        };
        assert_eq!(preflight(&url, &["--scheme", name]), (Some(0), expected), "{name}");
    }
}

#[test]
fn one_that_rejects_replays_passes_with_a_warning() {
    let (_receiver, url) = start(Setup { rejects_replays: true, ..setup() });
    assert_eq!(preflight(&url, &[]), (Some(0), vec!["warn replayed: refused: 409".to_owned()]));
}

#[test]
fn one_that_accepts_everything_fails_in_each_row_of_a_forgery() {
    let without = vec![ReceiverCheck::Signature, ReceiverCheck::Timestamp, ReceiverCheck::Replay];
    let (_receiver, url) = start(Setup { without, ..setup() });
    let (code, shown) = preflight(&url, &[]);
    let forgeries =
        ["stale", "future", "tampered body", "tampered timestamp", "wrong secret", "unsigned", "no timestamp"];
    let mut expected: Vec<String> = forgeries.iter().map(|name| format!("fail {name}: accepted: 200")).collect();
    expected.push("warn no id: accepted: 200".to_owned());
    assert_eq!((code, shown), (Some(1), expected));
}

#[test]
fn one_that_looks_at_no_timestamp_fails_there_and_nowhere_else() {
    let (_receiver, url) = start(Setup { without: vec![ReceiverCheck::Timestamp], ..setup() });
    let expected = ["stale", "future"].map(|name| format!("fail {name}: accepted: 200"));
    assert_eq!(preflight(&url, &[]), (Some(1), expected.to_vec()));
}

#[test]
fn receiver_refusing_everything_fails_ping_and_skips_rest() {
    let (_receiver, url) = start(Setup::new(Secret::new(b"another".to_vec()).unwrap()));
    let (code, shown) = preflight(&url, &[]);
    assert_eq!(code, Some(1));
    assert!(shown[0].starts_with("fail ping: 401 in") && shown[0].ends_with("a good request is refused"), "{shown:?}");
    assert!(shown[1..].iter().all(|line| line.starts_with("skip ")) && shown.len() == 10, "{shown:#?}");
}

#[test]
fn one_that_takes_too_long_fails_the_ping() {
    let (_receiver, url) = start(Setup { mode: Mode::slow(Duration::from_millis(300)), ..setup() });
    let (code, shown) = preflight_within("100ms", &url, &[]);
    assert_eq!((code, shown.len()), (Some(1), 1), "{shown:?}");
    assert!(shown[0].starts_with("fail ping: 200 in ") && shown[0].ends_with("expected at most 100 ms"), "{shown:?}");
}

#[test]
fn one_that_redirects_fails_and_is_not_followed() {
    let (receiver, url) = start(Setup { mode: Mode::failing(None, 308), ..setup() });
    let (code, shown) = preflight(&url, &[]);
    assert_eq!(code, Some(1));
    assert!(shown.contains(&"fail redirect: 308 to /elsewhere".to_owned()), "{shown:#?}");
    assert!(receiver.records(0).iter().all(|record| record.path == "/hook"), "nothing went elsewhere");
}

#[test]
fn one_that_is_down_fails_and_nothing_else_is_tried() {
    let (_held, free) = unanswered();
    let (code, shown) = preflight(&format!("http://{free}/hook"), &[]);
    assert_eq!(code, Some(1));
    assert!(shown[0].starts_with("fail health:") && shown[0].contains("onnection refused"), "{shown:#?}");
    assert!(shown[1].starts_with("fail ping:") && shown[1].contains("onnection refused"), "{shown:#?}");
    assert!(shown[2..].iter().all(|line| line.starts_with("skip ")), "{shown:#?}");
}

#[test]
fn the_config_is_read_with_the_receiver() {
    let (_receiver, url) = start(setup());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gatepost.yaml");
    let config = format!(
        "routes: [{{name: a, match: {{path: '/events/{{event}}'}}, event: '{{event}}'}}]\n\
         endpoints: [{{name: b, cluster: b, url: '{url}', secrets: [{{env: SECRET}}]}}]\n\
         rollout: {{phases: [{{percent: 5, for: 24h}}, {{percent: 100}}], guard: {{}}}}\n"
    );
    let file_name = file.to_string_lossy().into_owned();
    fs::write(&file, &config).unwrap();
    assert_eq!(preflight(&url, &["--config", &file_name]), (Some(0), vec![]));
    fs::write(&file, config.replace("/hook", "/hooks")).unwrap();
    let (code, shown) = preflight(&url, &["--config", &file_name]);
    assert_eq!(code, Some(1));
    assert!(shown[0].starts_with("fail config: url: no endpoint has this url, only http://"), "{shown:?}");
}

#[test]
fn a_certificate_is_trusted_only_when_its_authority_is() {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let address = serve_tls(&certified);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    fs::write(&file, certified.cert.pem()).unwrap();
    let url = format!("https://localhost:{}/hook", address.rsplit_once(':').unwrap().1);

    let (code, shown) = preflight(&url, &[]);
    assert_eq!(code, Some(1));
    assert!(shown[0].starts_with("fail tls: invalid peer certificate: UnknownIssuer"), "{shown:#?}");

    let (_, shown) = preflight(&url, &["--ca", &file.to_string_lossy()]);
    assert!(!shown.iter().any(|line| line.contains(" tls:") || line.contains(" ping:")), "{shown:#?}");
}

/// Answers everything with 200.
fn serve_tls(certified: &rcgen::CertifiedKey<rcgen::KeyPair>) -> String {
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certified.cert.der().clone()], key).unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("localhost:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, stream.unwrap());
            // The requests fit into one record; one that never comes is a handshake that was refused.
            let mut request = [0; 4096];
            while matches!(stream.read(&mut request), Ok(1..)) {
                if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_err() {
                    break;
                }
            }
        }
    });
    address
}
