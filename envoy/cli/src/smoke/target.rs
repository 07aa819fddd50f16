//! The gateway under test: events go in at one place, its admin surface answers at another.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gatepost_kit::http;
use serde::Deserialize;
use serde_json::{Value, json};
use ureq::http::Method;

use crate::gateway::{
    DeliveryView, EndpointView, EventDeliveries, Gateway, LetterView, Letters, Status, encoded, query,
};

/// A gateway with an endpoint for smoke.
pub struct Target {
    events: String,
    path: String,
    headers: Vec<(String, String)>,
    http: ureq::Agent,
    admin: Gateway,
    endpoint: String,
    /// The ids of the events that were accepted: what is cleaned up is these and no others.
    sent: RefCell<Vec<String>>,
}

impl Target {
    /// The gateway that takes events at `events` and is administered at `admin`.
    pub fn new(
        events: &str,
        path: &str,
        headers: Vec<(String, String)>,
        admin: &str,
        token: &str,
        token_source: &str,
        endpoint: &str,
    ) -> Self {
        Self {
            events: events.to_owned(),
            path: path.to_owned(),
            headers,
            http: http::client(),
            admin: Gateway::new(admin, token, token_source, ANSWER),
            endpoint: endpoint.to_owned(),
            sent: RefCell::default(),
        }
    }

    /// Where events go in.
    pub fn events(&self) -> &str {
        &self.events
    }

    /// The name of smoke's endpoint.
    pub fn endpoint_name(&self) -> &str {
        &self.endpoint
    }

    /// The ids of the events that were accepted so far.
    pub fn sent(&self) -> Vec<String> {
        self.sent.borrow().clone()
    }

    /// Sends an event; gives back its id once it is accepted for smoke's endpoint and no other.
    ///
    /// # Errors
    /// When it is not: what the gateway said, and what that means.
    pub fn send(&self, event: &str) -> Result<String> {
        let url = format!("{}{}", self.events, self.path.replace("{event}", event));
        let mut request = self.http.post(&url).content_type("application/json");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        // A body that any payload guard lets pass.
        let response = request.send(json!({"event": event}).to_string());
        let mut response = response.map_err(|error| anyhow!("no answer at {url}: {error}"))?;
        let status = response.status().as_u16();
        let text = response.body_mut().read_to_string().unwrap_or_default();
        if status != 202 {
            bail!("POST {url} was answered {status}{}", meaning(status, &text));
        }
        self.accepted(&text).with_context(|| format!("POST {url}"))
    }

    fn accepted(&self, text: &str) -> Result<String> {
        #[derive(Deserialize)]
        struct Receipt {
            id: String,
            event: String,
            status: String,
            deliveries: Vec<DeliveryView>,
        }
        #[derive(Deserialize)]
        struct DeliveryView {
            endpoint: String,
            status: String,
        }
        let receipt: Receipt = serde_json::from_str(text).context("the answer is 202, but not a gateway's")?;
        self.sent.borrow_mut().push(receipt.id.clone());
        let others: Vec<&str> = receipt.deliveries.iter().map(|delivery| delivery.endpoint.as_str()).collect();
        match receipt.status.as_str() {
            "accepted" => {}
            "disabled" => bail!("the gateway is disabled: it took the event and discarded it"),
            "no_subscriber" => bail!(
                "no endpoint wants {}: `{}` must subscribe to it and be among the route's `endpoints`",
                receipt.event,
                self.endpoint
            ),
            status => bail!("the event was not accepted: {status}"),
        }
        let ours = receipt.deliveries.iter().find(|delivery| delivery.endpoint == self.endpoint);
        let ours = ours.with_context(|| format!("it goes to {others:?}, and not to `{}`", self.endpoint))?;
        ensure!(
            others.len() == 1,
            "smoke's events also go to other endpoints: {others:?}; the route must say endpoints: [{}]",
            self.endpoint
        );
        ensure!(ours.status == "pending", "the delivery is {}: {}", ours.status, self.why_held());
        Ok(receipt.id)
    }

    /// Why the endpoint's deliveries wait, as far as the status tells.
    fn why_held(&self) -> String {
        let Ok((status, endpoint)) = self.status() else { return "and the status cannot be read".to_owned() };
        match (&*status.state, endpoint.disabled, &*endpoint.rollout.state) {
            ("enabled", true, _) => {
                format!("the endpoint is disabled (by: {})", endpoint.disabled_by.unwrap_or_default())
            }
            ("enabled", _, "rolled_back") => {
                format!("the endpoint is rolled back: {}", endpoint.rollout.detail.unwrap_or_default())
            }
            (state, ..) => format!("the gateway is {state}"),
        }
    }

    /// How the gateway and smoke's endpoint stand.
    ///
    /// # Errors
    /// When it cannot be asked, or has no such endpoint.
    pub fn status(&self) -> Result<(Status, EndpointView)> {
        let status = self.admin.status().map_err(|failure| anyhow!("{}: {failure}", self.admin.url()))?;
        let endpoint = status.endpoint(&self.endpoint).cloned();
        let endpoint = endpoint.with_context(|| {
            let names: Vec<&str> = status.endpoints.iter().map(|endpoint| endpoint.name.as_str()).collect();
            format!(
                "the config has no endpoint `{}`, only {names:?}; `gatepost smoke --help` has the lines",
                self.endpoint
            )
        })?;
        Ok((status, endpoint))
    }

    /// What became of an event's delivery to smoke's endpoint.
    ///
    /// # Errors
    /// When it cannot be asked, or the gateway does not know.
    pub fn delivery(&self, id: &str) -> Result<DeliveryView> {
        let event = self.get(&format!("events/{}", encoded(id)));
        let event: EventDeliveries = event.context("is the admin surface that of the process that took the event?")?;
        let ours = event.deliveries.into_iter().find(|delivery| delivery.endpoint == self.endpoint);
        ours.with_context(|| format!("the gateway knows of no delivery of {id} to `{}`", self.endpoint))
    }

    /// Dead letters of smoke's endpoint that were events of ours, by the event's id.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn letters(&self) -> Result<BTreeMap<String, LetterView>> {
        let path = query("dead-letters", &[("endpoint", Some(&self.endpoint)), ("limit", Some("1000"))]);
        let letters: Letters = self.get(&path)?;
        let sent = self.sent.borrow();
        let ours = letters.dead_letters.into_iter().filter(|letter| sent.contains(&letter.id));
        Ok(ours.map(|letter| (letter.id.clone(), letter)).collect())
    }

    /// Discards a dead letter.
    ///
    /// # Errors
    /// When the gateway does not.
    pub fn discard(&self, letter: &LetterView) -> Result<()> {
        self.command(Method::DELETE, &format!("dead-letters/{}", encoded(&letter.delivery)), None)
    }

    /// Lets the endpoint take all events, whatever the rollout and its guard said.
    ///
    /// # Errors
    /// When the gateway does not.
    pub fn open_rollout(&self) -> Result<()> {
        let of_ours = |path| query(path, &[("endpoint", Some(&self.endpoint))]);
        // Resumed first: that also forgets the openings of earlier runs, which the guard counts.
        self.command(Method::POST, &of_ours("rollout/resume"), None)?;
        self.command(Method::PUT, &of_ours("rollout"), Some(&json!({"percent": 100})))
    }

    /// Closes the endpoint's breaker.
    ///
    /// # Errors
    /// When the gateway does not.
    pub fn close_breaker(&self) -> Result<()> {
        let path = format!("endpoints/{}/breaker", encoded(&self.endpoint));
        self.command(Method::POST, &path, Some(&json!({"state": "closed"})))
    }

    fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.admin.get(path).map_err(|failure| anyhow!("GET {}/{path}: {failure}", self.admin.url()))
    }

    fn command(&self, method: Method, path: &str, body: Option<&Value>) -> Result<()> {
        let asked = format!("{method} {}/{path}", self.admin.url());
        self.admin.command(method, path, body).map_err(|failure| anyhow!("{asked}: {failure}"))
    }
}

/// What a refusal means, as far as the gateway says or one can tell.
fn meaning(status: u16, text: &str) -> String {
    let problem: Value = serde_json::from_str(text).unwrap_or_default();
    if let Some(detail) = problem.get("detail").and_then(Value::as_str) {
        return format!(": {detail}");
    }
    match status {
        200 | 502 if problem.get("deliveries").is_some() => {
            ": the route says `ack: delivered`, and smoke needs `accepted`".to_owned()
        }
        401 | 403 => ": a producer has to say who it is there; see --user and --header".to_owned(),
        404 => ": no route takes it, in Envoy's config or in the filter's; `gatepost smoke --help` has the lines"
            .to_owned(),
        _ => String::new(),
    }
}

/// The value of an `authorization` header (RFC 7617) for `user:password`.
pub fn basic(user: &str) -> String {
    format!("Basic {}", STANDARD.encode(user))
}

/// The surface works on memory.
const ANSWER: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target::new("http://127.0.0.1:1", "/smoke/{event}", vec![], "http://127.0.0.1:1/gatepost", "t", "$T", "smoke")
    }

    fn refused(receipt: Value) -> String {
        target().accepted(&receipt.to_string()).unwrap_err().to_string()
    }

    /// An event that is pending for smokes endpoint alone is accepted.
    #[test]
    fn event_pending_only_for_the_smoke_endpoint_is_accepted() {
        let deliveries = json!([{"endpoint": "smoke", "status": "pending"}]);
        let receipt = json!({"id": "1", "event": "smoke.a", "status": "accepted", "deliveries": deliveries});
        let target = target();
        assert_eq!(target.accepted(&receipt.to_string()).unwrap(), "1");
        assert_eq!(target.sent(), ["1"]);
    }

    #[test]
    fn any_other_202_says_what_is_wrong() {
        let base = |status: &str, deliveries: Value| json!({"id": "1", "event": "smoke.a", "status": status, "deliveries": deliveries});
        let one = |endpoint: &str| json!({"endpoint": endpoint, "status": "pending"});
        assert!(refused(base("disabled", json!([]))).contains("disabled"));
        assert!(
            refused(base("no_subscriber", json!([]))).starts_with("no endpoint wants smoke.a: `smoke` must subscribe")
        );
        assert!(refused(base("accepted", json!([one("billing")]))).contains(r#"it goes to ["billing"]"#));
        let both = refused(base("accepted", json!([one("billing"), one("smoke")])));
        assert!(both.contains("also go to other endpoints") && both.contains("endpoints: [smoke]"), "{both}");
        let held = refused(base("accepted", json!([{"endpoint": "smoke", "status": "held"}])));
        assert!(held.starts_with("the delivery is held"), "{held}");
    }

    #[test]
    fn a_user_is_sent_as_rfc_7617_has_it() {
        assert_eq!(basic("shop:demo"), gatepost_kit::example::AUTHORIZATION);
    }
}
