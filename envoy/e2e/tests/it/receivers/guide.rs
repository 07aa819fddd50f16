//! `envoy/receivers.md` itself.

use std::fs;

use anyhow::{Context, Result};
use gatepost_kit::workspace;

use super::running::LANGUAGES;

#[test]
fn the_guide_leads_to_the_file_of_each_receiver_and_to_none_that_is_missing() -> Result<()> {
    let guide = fs::read_to_string(workspace::root()?.join("envoy/receivers.md"))?;
    let links: Vec<&str> = guide.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    for link in &links {
        let file = workspace::root()?.join("envoy").join(link);
        let code = fs::read_to_string(&file).with_context(|| format!("the link {link}"))?;
        assert!(!code.is_empty(), "{link}");
    }
    for language in LANGUAGES {
        let directory = format!("receivers/{language:?}/").to_lowercase();
        assert!(links.iter().any(|link| link.starts_with(&directory)), "no link to {directory}");
    }
    Ok(())
}
