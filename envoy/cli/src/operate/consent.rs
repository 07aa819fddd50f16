//! Asks before something that stops deliveries, where there is somebody to ask.

use std::io::{self, BufRead, IsTerminal};

use anyhow::Result;

use crate::gateway::{Gateway, ask_all};
use crate::terminal::{self, tell};

/// Asks for a yes. Where nobody sits at a terminal there is nobody to ask: then it is given.
pub(super) fn given(question: &str, gateways: &[Gateway]) -> Result<bool> {
    if !io::stdin().is_terminal() || !terminal::is_asked() {
        return Ok(true);
    }
    for (gateway, status) in gateways.iter().zip(ask_all(gateways, Gateway::status)) {
        match status {
            Ok(status) => tell!(
                "  {}: {}, {} pending, {} dead letters",
                gateway.url(),
                status.state,
                status.pending,
                status.dead_letters
            ),
            Err(failure) => tell!("  {}: {failure}", gateway.url()),
        }
    }
    terminal::ask(&format!("{question} Go on? [y/N]"))?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(is_yes(&answer))
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_a_yes_is_one() {
        assert!(["y\n", "Yes\n", " YES "].iter().all(|answer| super::is_yes(answer)));
        assert!(["", "\n", "n\n", "yep\n", "ja\n"].iter().all(|answer| !super::is_yes(answer)));
    }
}
