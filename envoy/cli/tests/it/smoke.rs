//! `gatepost smoke`, on gateways that are well and on ones that are not.

use std::process::Output;
use std::time::Duration;

use gatepost_cli::smoke::own;
use gatepost_kit::envoy::Envoy;
use gatepost_kit::example::{ADMIN_AUTHORIZATION, ADMIN_LISTENER, LISTENER, USER};
use gatepost_kit::wait;
use serde_json::{Value, json};
use tokio::net::TcpSocket;

use crate::command::gatepost;
use crate::port::unanswered;

/// A gateway that runs, with endpoints for smoke and one that is none of its business.
struct Running {
    envoy: Envoy,
    /// What the cluster `smoke` points to.
    listen: String,
    /// Keeps that from others while smoke does not listen there.
    _held: TcpSocket,
}

impl Running {
    fn start() -> Self {
        let (held, listen) = unanswered();
        let listen = listen.to_string();
        let mut plugin = own::plugin();
        let variant = |name: &str, more: Value| {
            let mut endpoint = own::plugin()["endpoints"][0].clone();
            endpoint["name"] = json!(name);
            endpoint["events"] = json!([format!("{name}.**")]);
            endpoint.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            endpoint
        };
        let endpoints = plugin["endpoints"].as_array_mut().unwrap();
        endpoints.push(variant("hasty", json!({"retry": {"delays": ["0s", "1s", "1s"]}})));
        endpoints.push(variant("fuseless", json!({"breaker": {"failures": 100, "window": "30s", "open": "5s"}})));
        endpoints.push(variant("lost", json!({"cluster": "billing"})));
        endpoints.push(variant("billing", json!({"events": ["**"]})));
        let routes = plugin["routes"].as_array_mut().unwrap();
        for name in ["hasty", "fuseless", "lost"] {
            routes.push(json!({
                "name": name,
                "match": {"path": format!("/smoke/{name}/{{event}}")},
                "event": format!("{name}.{{event}}"),
                "endpoints": [name],
            }));
        }
        routes.push(json!({"name": "leaky", "match": {"path": "/smoke/leaky/{event}"}, "event": "smoke.{event}"}));
        let mut launch = own::launch(plugin, &listen).unwrap();
        // Nobody listens there: at the example's own port a receiver may be running.
        let clusters = launch.config["static_resources"]["clusters"].as_array_mut().unwrap();
        let billing = clusters.iter_mut().find(|cluster| cluster["name"] == "billing").unwrap();
        let address = "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address/port_value";
        *billing.pointer_mut(address).unwrap() = json!(1);
        let envoy = Envoy::start(&launch).unwrap();
        let running = Self { envoy, listen, _held: held };
        let begun = || Ok(running.admin("GET", "status", None).get("state").is_some().then_some(()));
        wait::until("the filter begins", Duration::from_secs(30), begun).unwrap();
        running
    }

    fn surface(&self) -> String {
        format!("http://{}/gatepost", self.envoy.listener(ADMIN_LISTENER).unwrap())
    }

    fn admin(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let request = ureq::http::Request::builder().method(method).uri(format!("{}/{path}", self.surface()));
        let request = request.header("authorization", ADMIN_AUTHORIZATION);
        let request = request.body(body.map(|body| body.to_string()).unwrap_or_default()).unwrap();
        gatepost_kit::http::client().run(request).unwrap().body_mut().read_json().unwrap()
    }

    fn endpoint(&self, name: &str) -> Value {
        let status = self.admin("GET", "status", None);
        let endpoints = status["endpoints"].as_array().unwrap();
        endpoints.iter().find(|endpoint| endpoint["name"] == name).unwrap().clone()
    }

    /// Runs smoke with these arguments and variables, and the right ones besides.
    fn smoke(&self, more: &[&str], env: &[(&str, &str)]) -> Output {
        let gateway = format!("http://{}", self.envoy.listener(LISTENER).unwrap());
        let surface = self.surface();
        let right = [("--gateway", &gateway), ("--admin", &surface), ("--listen", &self.listen)];
        let right = right.into_iter().map(|(name, value)| (name, value.as_str())).chain([("--user", USER)]);
        let left_out = |(name, _): &(&str, &str)| !more.contains(name);
        let mut arguments = vec!["smoke"];
        arguments.extend(right.filter(left_out).flat_map(|(name, value)| [name, value]));
        arguments.extend(more);
        let token = ADMIN_AUTHORIZATION.trim_start_matches("Bearer ");
        let right = [("SMOKE_SECRET", own::SECRET), ("GATEPOST_ADMIN_TOKEN", token)];
        let overridden = |name: &str| env.iter().any(|(other, _)| *other == name);
        let mut all: Vec<(&str, &str)> = right.into_iter().filter(|(name, _)| !overridden(name)).collect();
        all.extend(env);
        gatepost(&arguments, &all)
    }

    /// Runs it, and sees that it fails; gives back the table.
    fn fails(&self, more: &[&str], env: &[(&str, &str)]) -> String {
        let output = self.smoke(more, env);
        let table = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{table}{}", String::from_utf8_lossy(&output.stderr));
        table
    }
}

/// The line of the table that begins so, after the columns were pulled together.
fn row(table: &str, begin: &str) -> String {
    let lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.into_iter().find(|line| line.starts_with(begin)).unwrap_or_else(|| panic!("no {begin:?} in\n{table}"))
}

/// A healthy gateway passes again and again and no other endpoint notices.
#[test]
fn healthy_gateway_passes_repeatedly_unnoticed_by_others() {
    let running = Running::start();
    let output = running.smoke(&["--json"], &[]);
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{shown}{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_str(&shown).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let names: Vec<&str> = checks.iter().filter_map(|check| check["name"].as_str()).collect();
    assert_eq!(names, ["gateway", "success", "503", "400", "breaker", "clean up"]);
    assert!(checks.iter().all(|check| check["verdict"] == "pass") && report["passed"] == true, "{report}");
    let smoke = running.endpoint("smoke");
    assert_eq!((&smoke["pending"], &smoke["dead_letters"]), (&json!(0), &json!(0)), "it leaves nothing behind");

    // What an operator or the guard did to smoke's own endpoint does not stand in its way.
    running.admin("POST", "rollout/rollback?endpoint=smoke", None);
    running.admin("POST", "endpoints/smoke/breaker", Some(json!({"state": "open"})));
    let output = running.smoke(&[], &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));

    let other = running.endpoint("billing");
    assert_eq!((&other["counters"]["accepted"], &other["breaker"]["state"]), (&json!(0), &json!("closed")), "{other}");
    assert_eq!(other["rollout"]["state"], "fixed", "{other}");
}

/// On a gateway with a fault the table says which scenario failed and why.
#[test]
fn faulty_gateway_table_names_failed_scenario_and_cause() {
    let running = Running::start();

    let table = running.fails(&["--endpoint", "hasty", "--path", "/smoke/hasty/{event}"], &[]);
    // What it saw is told to a tenth of a second, and an attempt may be later than that.
    let told = row(&table, "FAIL 503");
    assert!(told.contains("; expected 0.0, +2.0, +4.0 s (attempt ") && told.contains(" is off)"), "{table}");
    row(&table, "pass success");

    let table = running.fails(&["--endpoint", "fuseless", "--path", "/smoke/fuseless/{event}"], &[]);
    let told = row(&table, "FAIL breaker");
    assert!(told.contains("attempts failed, and the breaker is not open; expected breaker: {failures: 3,"), "{table}");
    row(&table, "pass clean up");

    let table = running.fails(&[], &[("SMOKE_SECRET", "not-the-secret-of-the-gateway-32")]);
    let told = row(&table, "FAIL success");
    assert!(told.contains("an attempt did not verify: x-webhook-signature: does not match"), "{table}");

    let table = running.fails(&["--path", "/smoke/leaky/{event}"], &[]);
    assert!(row(&table, "FAIL success").contains("the route must say endpoints: [smoke]"), "{table}");
    // No other event is sent where it would reach others.
    row(&table, "skip 503");

    let table = running.fails(&["--endpoint", "lost", "--path", "/smoke/lost/{event}"], &[]);
    assert!(row(&table, "FAIL success").contains("its attempts: connect"), "{table}");
}

/// A gateway that cannot play is told exactly and nothing is played.
#[test]
fn unusable_gateway_is_explained_and_no_scenario_runs() {
    let running = Running::start();
    type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);
    let cases: [Case<'_>; 5] = [
        (&["--endpoint", "none"], &[], "the config has no endpoint `none`, only [\"smoke\","),
        (&[], &[("GATEPOST_ADMIN_TOKEN", "wrong")], "401: the token in $GATEPOST_ADMIN_TOKEN is not one of"),
        (&["--admin", "http://127.0.0.1:1/gatepost"], &[], "the connection is refused: nothing listens there"),
        (&["--path", "/nowhere/{event}"], &[], "was answered 404: no route takes it"),
        (&["--user", "shop:wrong"], &[], "was answered 401: a producer has to say who it is there"),
    ];
    for (arguments, env, expected) in cases {
        let table = running.fails(arguments, env);
        let told = table.lines().find(|line| line.starts_with("FAIL")).unwrap_or_default();
        assert!(told.contains(expected), "{expected}:\n{table}");
    }
    for (state, expected) in [
        ("paused", "the gateway is paused (maintenance): it takes events and sends none"),
        ("disabled", "the gateway is disabled (maintenance): it discards events"),
    ] {
        running.admin("PUT", "state", Some(json!({"state": state, "reason": "maintenance"})));
        let table = running.fails(&[], &[]);
        assert!(row(&table, "FAIL gateway").contains(expected), "{table}");
        row(&table, "skip breaker");
    }
    running.admin("PUT", "state", Some(json!({"state": "enabled"})));
    running.admin("PATCH", "endpoints/smoke", Some(json!({"disabled": true})));
    let table = running.fails(&[], &[]);
    assert!(row(&table, "FAIL gateway").contains("`smoke` is disabled (by: operator)"), "{table}");
    running.admin("POST", "drain", None);
    let table = running.fails(&[], &[]);
    assert!(row(&table, "FAIL gateway").contains("the gateway is draining"), "{table}");
}

#[test]
fn without_a_gateway_it_starts_one_of_its_own() {
    let output = gatepost(&["smoke"], &[]);
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{table}{}", String::from_utf8_lossy(&output.stderr));
    assert!(table.ends_with("\n6 passed\n"), "{table}");
}
