//! The terminal: a screen of its own beside the shell's, redrawn in place, and left as it was found however this ends.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anstream::ColorChoice;
use anyhow::Result;
use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::terminal::{self, BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen};
use crossterm::{cursor, execute, queue};

use crate::terminal::{Line, screen as stdout};

/// What the operator wants.
pub(super) enum Input {
    /// The end.
    End,
    /// The terminal has another size now.
    Redraw,
}

/// The terminal while it is ours.
pub(super) struct Screen {
    has_colours: bool,
    /// SIGINT, SIGTERM or SIGHUP came.
    ended: Arc<AtomicBool>,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// When it is none.
    pub fn open() -> Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&ended);
        ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed))?;
        terminal::enable_raw_mode()?;
        // From here on a drop restores the terminal, also when the next step fails.
        let screen = Self { has_colours: anstream::AutoStream::choice(&stdout()) != ColorChoice::Never, ended };
        execute!(stdout(), EnterAlternateScreen, cursor::Hide)?;
        Ok(screen)
    }

    /// How wide it is.
    pub fn columns(&self) -> usize {
        terminal::size().map_or(FALLBACK.0, |(columns, _)| usize::from(columns)).max(1)
    }

    /// Draws over what was there: all in one write, line by line, and nothing is cleared first, so nothing flickers.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn draw(&mut self, lines: &[Line]) -> Result<()> {
        let (columns, rows) = terminal::size().map_or(FALLBACK, |(x, y)| (usize::from(x), usize::from(y)));
        let mut frame = Vec::new();
        queue!(frame, BeginSynchronizedUpdate, cursor::MoveTo(0, 0))?;
        let room = rows.saturating_sub(1).max(1);
        let fits = lines.len() <= room;
        let shown = if fits { lines.len() } else { room - 1 };
        for line in lines.iter().take(shown) {
            frame.extend(if self.has_colours { line.styled(columns) } else { line.text(columns) }.bytes());
            queue!(frame, Clear(ClearType::UntilNewLine))?;
            frame.extend(b"\r\n");
        }
        let foot = match fits {
            true => "q: end".to_owned(),
            false => format!("{} more lines: make the terminal higher. q: end", lines.len() - shown),
        };
        frame.extend(foot.chars().take(columns).collect::<String>().bytes());
        queue!(frame, Clear(ClearType::UntilNewLine), Clear(ClearType::FromCursorDown), EndSynchronizedUpdate)?;
        let mut out = stdout().lock();
        out.write_all(&frame)?;
        Ok(out.flush()?)
    }

    /// What the operator wants, waited for this long.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn input(&mut self, wait: Duration) -> Result<Option<Input>> {
        if self.ended.load(Ordering::Relaxed) {
            return Ok(Some(Input::End));
        }
        if !event::poll(wait)? {
            return Ok(None);
        }
        Ok(match event::read()? {
            Event::Resize(..) => Some(Input::Redraw),
            Event::Key(key) if key.kind != KeyEventKind::Release => match (key.code, key.modifiers) {
                (KeyCode::Char('q') | KeyCode::Esc, _) => Some(Input::End),
                // In raw mode the terminal makes no signal of it.
                (KeyCode::Char('c'), KeyModifiers::CONTROL) => Some(Input::End),
                _ => None,
            },
            _ => None,
        })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Where that fails there is no terminal any more to restore.
        let _ = execute!(stdout(), cursor::Show, LeaveAlternateScreen);
        let _ = terminal::disable_raw_mode();
    }
}

/// What a terminal has that does not say.
const FALLBACK: (usize, usize) = (80, 24);
