//! `envoy/docs/receivers.md` itself.

use std::fs;

use anyhow::Result;
use gatepost_kit::workspace;

use super::running::LANGUAGES;

/// The guide leads to a receiver in each language; that no link is dead the core's test of the documents sees.
#[test]
fn the_guide_leads_to_the_receiver_of_each_language() -> Result<()> {
    let guide = fs::read_to_string(workspace::root()?.join("envoy/docs/receivers.md"))?;
    for language in LANGUAGES {
        let link = format!("](../receivers/{language:?}/").to_lowercase();
        assert!(guide.contains(&link), "no link {link}");
    }
    Ok(())
}
