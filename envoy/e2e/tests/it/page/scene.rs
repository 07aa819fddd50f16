//! The page in a browser, with what stands behind it.

use std::time::Duration;

use anyhow::{Context, Result};
use gatepost_e2e::browser::Browser;
use gatepost_e2e::{Event, Gateway, Setup, endpoint};
use gatepost_kit::receiver::{Options, Receiver};
use gatepost_kit::wait;
use serde_json::{Value, json};

use crate::admin::Operator;

pub const DEADLINE: Duration = Duration::from_secs(60);
pub const TOKEN: &str = "demo-admin-demo-admin-demo-admin";

/// A gateway with its receiver, an operator who asks it directly, and the page in a browser.
pub struct PageScene {
    pub browser: Browser,
    pub operator: Operator,
    pub gateway: Gateway,
    pub receiver: Receiver,
}

impl PageScene {
    /// `None` where there is no browser. `more` is laid over the plugin's config, `policy` over each endpoint's.
    pub fn start(names: &[&str], policy: &Value, more: Value) -> Result<Option<Self>> {
        Self::begin(names, policy, |setup| setup.with(more))
    }

    pub fn begin(names: &[&str], policy: &Value, change: impl FnOnce(Setup) -> Setup) -> Result<Option<Self>> {
        let Some(browser) = Browser::start()? else { return Ok(None) };
        let secrets: Vec<_> = names.iter().map(|name| (*name, "secret")).collect();
        let receiver = Receiver::start(&secrets, &Options::default())?;
        let endpoints: Vec<Value> = names.iter().map(|name| endpoint(name, "secret", policy.clone())).collect();
        let gateway = Gateway::start(&change(Setup::new(&receiver, &endpoints)))?;
        let operator = Operator::of(&gateway)?;
        browser.open(&operator.url)?;
        Ok(Some(Self { browser, operator, gateway, receiver }))
    }

    /// Gives the page the token, and waits until it shows the gateway.
    pub fn sign_in(&self) -> Result<()> {
        self.browser.enter("#token", TOKEN)?;
        self.browser.click("#login button")?;
        self.browser.wait_for("#link", "live")
    }

    pub fn send(&self, events: usize) -> Result<()> {
        (0..events).try_for_each(|_| {
            let answer = self.gateway.send(&Event::new("paid", r#"{"amount": 42}"#))?;
            anyhow::ensure!(answer.status == 202, "answered {}: {}", answer.status, answer.text());
            Ok(())
        })
    }

    /// What was confirmed is done.
    pub fn dialog_closes(&self) -> Result<()> {
        wait::until("the dialog closes", DEADLINE, || {
            Ok((self.browser.run("return document.getElementById('dialog').open", &json!([]))? == false).then_some(()))
        })
    }

    /// The page has made no error, and has asked nobody but the gateway that served it.
    pub fn is_clean(&self) -> Result<()> {
        assert_eq!(self.browser.errors()?, Vec::<String>::new());
        let asked =
            self.browser.run("return performance.getEntriesByType('resource').map(entry => entry.name)", &json!([]))?;
        let asked = asked.as_array().context("a list")?;
        assert!(!asked.is_empty(), "it has asked how the gateway stands");
        for url in asked.iter().filter_map(Value::as_str) {
            assert!(url.starts_with(&format!("{}/", self.operator.url)), "it asked {url}");
        }
        assert_eq!(self.gateway.traps()?, 0);
        Ok(())
    }
}
