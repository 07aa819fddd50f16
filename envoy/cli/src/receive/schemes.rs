//! The schemes other than `timestamped`: verified by the filter's own code, so that a request is taken here just when an
//! inbound rule would take it.

use std::time::Duration;

use axum::http::HeaderMap;
use gatepost_core::headers::Headers;
use gatepost_core::signature::{Fault, Scheme, Signature, Tolerance, github, standard};
use gatepost_core::time::WallTime;

use super::verify::{FUTURE, PAST, ReceiverCheck, Refusal, Verifier};

/// In which headers a request says what it is; the first of each kind that is there counts.
pub struct Labels<'a> {
    /// The event type.
    pub event: Vec<&'a str>,
    /// The event's id.
    pub id: Vec<&'a str>,
    /// When it was signed, where that has a header of its own.
    pub timestamp: &'a str,
    /// The signature.
    pub signature: &'a str,
}

impl Verifier {
    /// Where to look. What a gateway sends has its own headers besides those of the scheme.
    pub fn labels(&self) -> Labels<'_> {
        let own = &self.scheme;
        let Some(other) = &self.other else {
            let (timestamp, signature) = (&*own.timestamp, &*own.signature);
            return Labels { event: vec![&own.event], id: vec![&own.id], timestamp, signature };
        };
        let (event, id) = match other.scheme {
            Scheme::Standard => (vec![&*own.event], standard::ID),
            Scheme::Github => (vec![&*own.event, github::EVENT], github::ID),
            Scheme::Timestamped | Scheme::Stripe | Scheme::Slack => (vec![&*own.event], &*own.id),
            Scheme::Preset(_) | Scheme::Custom => {
                let id = other.table.as_ref().and_then(|table| table.id_header());
                (vec![&*own.event], id.unwrap_or(&own.id))
            }
        };
        let timestamp = other.timestamp_header().unwrap_or_default();
        Labels { event, id: vec![id], timestamp, signature: other.header() }
    }

    pub(super) fn verify_other(
        &self,
        signature: &Signature,
        headers: &HeaderMap,
        body: &[u8],
        now: WallTime,
    ) -> Result<Vec<String>, Refusal> {
        let pairs: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let tolerance = if self.checks(ReceiverCheck::Timestamp) {
            Tolerance { past: PAST, future: FUTURE }
        } else {
            Tolerance { past: EVER, future: EVER }
        };
        match signature.verify(&Headers::new(&pairs), body, now, tolerance) {
            Ok(marks) => Ok(marks.iter().map(u64::to_string).collect()),
            Err(Fault::Unsigned { .. } | Fault::Mismatch) if !self.checks(ReceiverCheck::Signature) => Ok(Vec::new()),
            Err(fault) => Err(Refusal::Other(fault.to_string())),
        }
    }
}

/// A hundred years.
const EVER: Duration = Duration::from_hours(100 * 365 * 24);

#[cfg(test)]
mod tests {
    use gatepost_core::ids::EventId;
    use gatepost_core::signature::timestamped::Timestamped;
    use zeroize::Zeroizing;

    use super::*;
    use crate::signing;

    const SHARED: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    const BODY: &[u8] = br#"{"id":"1","event_id":"1","webhookTimestamp":1764000000000}"#;
    const NOW: WallTime = WallTime::from_millis(1_764_000_000_000);

    fn signed(scheme: Scheme, at: WallTime) -> HeaderMap {
        let endpoint = signing::endpoint(scheme, "X-Webhook-", &vec![Zeroizing::new(SHARED.to_owned())]).unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in signing::headers(&endpoint, &signing::attempt(EventId([7; 16]), at, "a", None, BODY)) {
            let name = axum::http::HeaderName::try_from(name).unwrap();
            headers.insert(name, value.as_ref().try_into().unwrap());
        }
        headers
    }

    fn verifier(scheme: Scheme, without: Vec<ReceiverCheck>) -> Verifier {
        let other = signing::verifier(scheme, "X-Webhook-", &vec![Zeroizing::new(SHARED.to_owned())]).unwrap();
        Verifier { scheme: Timestamped::default(), secrets: vec![], other: Some(other), without }
    }

    #[test]
    fn each_scheme_is_verified_and_what_is_wrong_is_told() {
        for (_, scheme) in Scheme::ALL.into_iter().skip(1) {
            let (careful, headers) = (verifier(scheme, vec![]), signed(scheme, NOW));
            assert!(!careful.verify(&headers, BODY, NOW).unwrap().is_empty(), "{scheme:?}");
            let other = [BODY, b" "].concat();
            let problem = careful.verify(&headers, &other, NOW).unwrap_err().to_string();
            assert!(problem.starts_with("no signature fits the body"), "{scheme:?}: {problem}");
            let problem = careful.verify(&HeaderMap::new(), BODY, NOW).unwrap_err().to_string();
            assert!(problem.starts_with("the request is not signed"), "{scheme:?}: {problem}");
        }
    }

    #[test]
    fn a_check_that_is_left_out_lets_pass_what_it_alone_would_find() {
        let old = signed(Scheme::Slack, WallTime::from_millis(NOW.as_millis() - 600_000));
        assert!(verifier(Scheme::Slack, vec![]).verify(&old, BODY, NOW).is_err());
        assert!(verifier(Scheme::Slack, vec![ReceiverCheck::Timestamp]).verify(&old, BODY, NOW).is_ok());
        assert!(verifier(Scheme::Slack, vec![ReceiverCheck::Timestamp]).verify(&old, b"{}", NOW).is_err());
        assert!(
            verifier(Scheme::Slack, vec![ReceiverCheck::Signature])
                .verify(&signed(Scheme::Slack, NOW), b"{}", NOW)
                .is_ok()
        );
        assert!(verifier(Scheme::Slack, vec![ReceiverCheck::Signature]).verify(&old, b"{}", NOW).is_err());
    }

    /// What a request is stands in the headers of its scheme or of the gateway.
    #[test]
    fn event_and_id_headers_are_the_schemes_or_gateways() {
        let verifier = verifier(Scheme::Github, vec![]);
        let labels = verifier.labels();
        assert_eq!((labels.event, labels.id), (vec!["x-webhook-event", "x-github-event"], vec!["x-github-delivery"]));
    }
}
