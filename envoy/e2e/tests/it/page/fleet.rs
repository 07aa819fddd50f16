//! The section about the journal and the fleet: there with a journal, and not without.

use anyhow::Result;
use gatepost_kit::etcd::{Etcd, Options};
use serde_json::json;

use super::audit;
use super::scene::PageScene;
use super::strict;
use crate::prometheus::has_etcd;

/// The page shows the gateways that share a journal, and in words what is wrong with it.
#[test]
fn page_shows_the_fleet_and_an_unavailable_journal() -> Result<()> {
    if !has_etcd()? {
        return Ok(());
    }
    let mut etcd = Etcd::start(&Options::default())?;
    let journal = json!({"lease": "2s"});
    let Some(scene) = PageScene::begin(&["billing"], &strict(), |setup| setup.with_journal(&etcd, journal))? else {
        return Ok(());
    };
    scene.sign_in()?;
    let browser = &scene.browser;
    let instance = scene.operator.status("/instance")?;
    browser.wait_for("#fleet tbody", instance.as_str().unwrap_or("no instance"))?;
    browser.wait_for("#fleet tbody", "this one")?;
    browser.wait_for("#journal", "ok")?;
    assert_eq!(audit::audit(browser)?, Vec::<String>::new());
    etcd.pause(0)?;
    browser.wait_for("#journal", "unavailable")?;
    browser.wait_for("#attention", "the journal is unavailable: no answer")?;
    scene.is_clean()
}

#[test]
fn page_shows_no_fleet_without_a_journal() -> Result<()> {
    let Some(scene) = PageScene::start(&["billing"], &strict(), json!({}))? else { return Ok(()) };
    scene.sign_in()?;
    scene.browser.wait_for("#endpoints", "billing")?;
    let is_shown = "return getComputedStyle(document.getElementById('shared')).display !== 'none'";
    assert_eq!(scene.browser.run(is_shown, &json!([]))?, false);
    scene.is_clean()
}
