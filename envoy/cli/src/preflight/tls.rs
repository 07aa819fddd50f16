//! Who answers, for https: the protocol, and how long its certificate lasts.

use std::io::{self, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow, ensure};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use ureq::http::Uri;
use ureq::tls::{Certificate, PemItem, parse_pem};
use x509_cert::der::Decode;

use super::probe::PATIENCE;
use crate::checklist::{Check, Verdict};
use crate::given;

/// The certificate authorities in a file.
///
/// # Errors
/// When there is none in it.
pub fn roots(path: &Path) -> Result<Vec<Certificate<'static>>> {
    let pem = given::file("--ca", path)?;
    let mut roots = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.with_context(|| given::named("--ca", path))? {
            roots.push(certificate);
        }
    }
    ensure!(!roots.is_empty(), given::Unusable(format!("{}: holds no certificate, expected PEM", path.display())));
    Ok(roots)
}

/// Looks at the connection to this URL.
pub fn check(url: &Uri, roots: Option<&[Certificate<'static>]>) -> Check {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    if url.scheme_str() != Some("https") {
        let is_here = host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
        return if is_here {
            Check::new(Verdict::Pass, "tls", "none, within this machine")
        } else {
            Check::new(Verdict::Warn, "tls", "none: whoever is on the way can read what is sent")
                .advising("use https, unless something below encrypts")
        };
    }
    let stream = match connect(host, url.port_u16().unwrap_or(443)) {
        Ok(stream) => stream,
        Err(error) => {
            return Check::new(Verdict::Fail, "tls", format!("{error:#}"))
                .advising("is it running, and reachable from here?");
        }
    };
    match handshake(host, stream, roots) {
        Ok(seen) => judge(&seen, SystemTime::now()),
        Err(error) => Check::new(Verdict::Fail, "tls", format!("{error:#}"))
            .advising("for a certificate authority of your own: --ca FILE here, and trusted_ca in the cluster"),
    }
}

/// What was agreed on, and with whom.
struct Seen {
    protocol: String,
    expires: SystemTime,
}

fn handshake(host: &str, stream: TcpStream, roots: Option<&[Certificate<'static>]>) -> Result<Seen> {
    let mut store = RootCertStore::empty();
    match roots {
        Some(roots) => {
            for root in roots {
                store.add(CertificateDer::from(root.der().to_vec())).context("--ca")?;
            }
        }
        None => store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = config.with_root_certificates(store).with_no_client_auth();
    let name = ServerName::try_from(host.to_owned())?;
    let connection = ClientConnection::new(Arc::new(config), name)?;
    let mut stream = StreamOwned::new(connection, stream);
    // Writing nothing, it first shakes hands.
    stream.flush().map_err(|error| anyhow!(told(&error)))?;
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).map_err(|error| anyhow!(told(&error)))?;
    }
    let leaf = stream.conn.peer_certificates().and_then(|chain| chain.first()).context("it showed no certificate")?;
    let certificate = x509_cert::Certificate::from_der(leaf).context("its certificate")?;
    let expires = certificate.tbs_certificate().validity().not_after.to_system_time();
    let protocol = match stream.conn.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3".to_owned(),
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2".to_owned(),
        other => format!("{other:?}"),
    };
    Ok(Seen { protocol, expires })
}

fn connect(host: &str, port: u16) -> Result<TcpStream> {
    let addresses = (host, port).to_socket_addrs().with_context(|| format!("there is no host {host}"))?;
    let mut failed = anyhow!("{host} has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => failed = anyhow!("{address}: {error}"),
        }
    }
    Err(failed)
}

fn told(error: &io::Error) -> String {
    error.get_ref().map_or_else(|| error.to_string(), |inner| inner.to_string())
}

fn judge(seen: &Seen, now: SystemTime) -> Check {
    let left = seen.expires.duration_since(now).unwrap_or_default();
    let days = left.as_secs() / SECONDS_A_DAY;
    let text = format!("{}, trusted; its certificate expires in {days} days", seen.protocol);
    if left >= RENEWED {
        return Check::new(Verdict::Pass, "tls", text);
    }
    Check::new(Verdict::Warn, "tls", text).advising("renew it: once it has expired every attempt fails")
}

const SECONDS_A_DAY: u64 = 24 * 3600;
/// Whoever renews by itself has done so by then.
const RENEWED: Duration = Duration::from_secs(14 * SECONDS_A_DAY);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_expires_within_two_weeks_is_a_warning() {
        let now = SystemTime::now();
        let seen = |days: u64| Seen {
            protocol: "TLS 1.3".to_owned(),
            expires: now + Duration::from_secs(days * SECONDS_A_DAY),
        };
        assert_eq!(judge(&seen(13), now).verdict, Verdict::Warn);
        let good = judge(&seen(20), now);
        assert_eq!(
            (good.verdict, good.seen.as_str()),
            (Verdict::Pass, "TLS 1.3, trusted; its certificate expires in 20 days")
        );
    }

    #[test]
    fn plain_http_is_for_this_machine() {
        let verdict = |url: &'static str| check(&Uri::from_static(url), None).verdict;
        assert_eq!(verdict("http://127.0.0.1:1/"), Verdict::Pass);
        assert_eq!(verdict("http://[::1]:1/"), Verdict::Pass);
        assert_eq!(verdict("http://api.example.com/"), Verdict::Warn);
    }
}
