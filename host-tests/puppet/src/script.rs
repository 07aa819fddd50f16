//! The configuration: what to do at which event.

use std::cell::RefCell;
use std::collections::BTreeMap;

/// A line of the configuration.
#[derive(Clone)]
struct Line {
    event: String,
    /// Only for requests to this path.
    path: Option<String>,
    commands: Vec<String>,
}

/// What a VM remembers.
#[derive(Default)]
pub struct State {
    /// The lines of each root context.
    lines: BTreeMap<u32, Vec<Line>>,
    /// The root of each context; a root is its own.
    pub roots: BTreeMap<u32, u32>,
    /// The path of each request.
    pub paths: BTreeMap<u32, String>,
    /// The context a `remember` kept.
    pub remembered: u32,
    /// The token, or queue, that was given last.
    pub token: u32,
    /// The next allocation makes a host call.
    pub allocation_calls: bool,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

/// Works on the state of this VM.
pub fn with<T>(work: impl FnOnce(&mut State) -> T) -> T {
    STATE.with(|state| work(&mut state.borrow_mut()))
}

impl State {
    /// Reads the configuration of a root context.
    pub fn configure(&mut self, root: u32, text: &str) {
        let lines = text.lines().filter_map(|line| {
            let (head, commands) = line.trim().split_once(": ")?;
            let (event, path) = match head.split_once(' ') {
                Some((event, path)) => (event, Some(path.to_owned())),
                None => (head, None),
            };
            let commands = commands.split(';').map(|command| command.trim().to_owned()).collect();
            Some(Line { event: event.to_owned(), path, commands })
        });
        self.lines.insert(root, lines.collect());
    }

    /// The commands for an event of a context, in the order of the lines.
    pub fn commands(&self, context: u32, event: &str) -> Vec<String> {
        let root = self.roots.get(&context).copied().unwrap_or(context);
        let path = self.paths.get(&context);
        let lines = self.lines.get(&root).into_iter().flatten();
        let lines = lines.filter(|line| line.event == event && (line.path.is_none() || line.path.as_ref() == path));
        lines.flat_map(|line| line.commands.iter().cloned()).collect()
    }
}
