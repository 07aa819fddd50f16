//! The view as lines of a terminal: first how each gateway and endpoint stands, then what is wrong, in words.
//!
//! Nothing is said by colour alone: what is wrong has a mark in the first column.

use std::time::Instant;

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;

use super::trouble::{Level, Trouble, age_of};
use super::view::{View, Watched};
use crate::gateway::{BreakerView, EndpointView, RolloutView, Status};
use crate::terminal::Line;

/// The lines for a terminal of this width.
pub(super) fn lines(view: &View, now: Instant, clock: Timestamp, width: usize) -> Vec<Line> {
    let down = view.gateways.iter().filter(|watched| watched.down().is_some()).count();
    let mut title = format!("gatepost  {}", counted(view.gateways.len(), "gateway"));
    if down > 0 {
        title += &format!(", {down} down");
    }
    let time = clock.strftime("%H:%M:%S UTC").to_string();
    let gap = width.saturating_sub(title.chars().count() + time.chars().count()).max(2);
    let mut lines = vec![Line::default().and(Style::new().bold(), title).and(DIM, " ".repeat(gap) + &time)];
    let columns = Columns::of(view, width);
    lines.push(Line::default().and(DIM, columns.header()));
    let mut wrong = Vec::new();
    for watched in &view.gateways {
        let troubles = watched.troubles(now);
        lines.push(gateway(watched, &troubles, now, width));
        for endpoint in watched.status().into_iter().flat_map(|status| &status.endpoints) {
            lines.push(columns.endpoint(watched, endpoint, &troubles));
        }
        wrong.extend(troubles.into_iter().map(|trouble| (address(&watched.url).to_owned(), trouble)));
    }
    if !wrong.is_empty() {
        lines.push(Line::default());
        // Failures first; among themselves they keep their order.
        wrong.sort_by_key(|(_, trouble)| std::cmp::Reverse(trouble.level));
    }
    let is_one = view.gateways.len() == 1;
    lines.extend(wrong.iter().flat_map(|(gateway, trouble)| sentence(gateway, trouble, is_one, width)));
    lines
}

fn gateway(watched: &Watched, troubles: &[Trouble], now: Instant, width: usize) -> Line {
    let worst = troubles.iter().map(|trouble| trouble.level).max();
    let of_gateway = troubles.iter().filter(|trouble| trouble.endpoint.is_none()).map(|trouble| trouble.level).max();
    let line = mark(worst).and(Style::new().bold(), address(&watched.url));
    if let Some((since, _)) = watched.down() {
        let age = now.saturating_duration_since(*since).as_secs();
        return line.and(colour(Some(Level::Failure)), format!("  DOWN for {}", age_of(age)));
    }
    let Some(status) = watched.status() else {
        return line.and(DIM, if watched.is_new() { "  not asked yet" } else { "" });
    };
    let line = line.and(colour(of_gateway), format!("  {}", state(status)));
    let line = match watched.restarted_ago(now) {
        Some(ago) => line.and(colour(Some(Level::Warning)), format!("  RESTARTED {} ago", age_of(ago.as_secs()))),
        None => line,
    };
    let room = width.saturating_sub(line.text(width).chars().count());
    line.and(Style::new(), facts(status, watched, room))
}

/// As many facts as there is room for, the most important first, and none by half.
fn facts(status: &Status, watched: &Watched, room: usize) -> String {
    let up = status.now.since(status.process.started_at).as_secs();
    let oldest = status.oldest_pending_seconds.map(|age| format!(" (oldest {})", age_of(age))).unwrap_or_default();
    let facts = [
        Some(format!("{} pending{oldest}", short(status.pending))),
        Some(format!("{} dead", short(status.dead_letters))),
        watched.rates().map(|rates| format!("{}/s in", rate(rates.accepted))),
        Some(format!("up {}", age_of(up))),
        Some(counted(usize::try_from(status.workers).unwrap_or_default(), "worker")),
    ];
    let fitting = |line: String, fact: String| {
        if line.chars().count() + 2 + fact.chars().count() <= room { line + "  " + &fact } else { line }
    };
    facts.into_iter().flatten().fold(String::new(), fitting)
}

fn state(status: &Status) -> &str {
    if status.draining { "draining" } else { &status.state }
}

/// Where the columns of endpoints stand.
struct Columns {
    /// The width of the names.
    name: usize,
}

impl Columns {
    fn of(view: &View, width: usize) -> Self {
        let names = view.gateways.iter().filter_map(Watched::status).flat_map(|status| &status.endpoints);
        let longest = names.map(|endpoint| endpoint.name.chars().count()).max().unwrap_or_default();
        let room = width.saturating_sub(FIGURES_WIDTH).max(NAME_MIN);
        Self { name: longest.clamp(NAME_MIN, room) }
    }

    fn header(&self) -> String {
        let name = self.name;
        format!(
            "    {:name$} {:9} {:15} {:>4} {:>4} {:>4} {:>5} {:>5} {:>4} {:>4}",
            "endpoint", "breaker", "rollout", "in/s", "ok/s", "ko/s", "P50", "P95", "pend", "dead"
        )
    }

    fn endpoint(&self, watched: &Watched, endpoint: &EndpointView, troubles: &[Trouble]) -> Line {
        let mine = troubles.iter().filter(|trouble| trouble.endpoint.as_ref() == Some(&endpoint.name));
        let worst = mine.map(|trouble| trouble.level).max();
        let name: String = endpoint.name.chars().take(self.name).collect();
        let width = self.name;
        let figures = watched.endpoint_rates(&endpoint.name);
        let of =
            |rate_of: fn(&super::view::Rates) -> f64| figures.as_ref().map_or("-".to_owned(), |all| rate(rate_of(all)));
        let breaker = if endpoint.disabled { "disabled".to_owned() } else { breaker(&endpoint.breaker) };
        Line::plain("  ")
            .and(colour(worst), mark_of(worst))
            .and(Style::new(), format!(" {name:width$} "))
            .and(colour(worst), format!("{breaker:9} {:15}", rollout(&endpoint.rollout)))
            .and(
                Style::new(),
                format!(
                    " {:>4} {:>4} {:>4} {:>5} {:>5} {:>4} {:>4}",
                    of(|rates| rates.accepted),
                    of(|rates| rates.delivered),
                    of(|rates| rates.failed),
                    millis(endpoint.window.p50_ms),
                    millis(endpoint.window.p95_ms),
                    short(endpoint.pending),
                    short(endpoint.dead_letters)
                ),
            )
    }
}

/// What is wrong, on as many lines as it takes.
fn sentence(gateway: &str, trouble: &Trouble, is_one: bool, width: usize) -> Vec<Line> {
    let who = match (&trouble.endpoint, is_one) {
        (Some(endpoint), true) => format!("{endpoint}: "),
        (Some(endpoint), false) => format!("{gateway} {endpoint}: "),
        (None, _) => format!("{gateway}: "),
    };
    let text = who + &trouble.what;
    let mut lines = Vec::<String>::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(last) if last.chars().count() + 1 + word.chars().count() <= width.saturating_sub(2) => {
                last.push(' ');
                last.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    let mark = |number| if number == 0 { mark_of(Some(trouble.level)) } else { " " };
    let numbered = lines.into_iter().enumerate();
    numbered
        .map(|(number, text)| Line::default().and(colour(Some(trouble.level)), format!("{} {text}", mark(number))))
        .collect()
}

fn mark(level: Option<Level>) -> Line {
    Line::default().and(colour(level), mark_of(level)).and(Style::new(), " ")
}

fn mark_of(level: Option<Level>) -> &'static str {
    match level {
        None => " ",
        Some(Level::Warning) => "!",
        Some(Level::Failure) => "x",
    }
}

fn colour(level: Option<Level>) -> Style {
    match level {
        None => Style::new(),
        Some(Level::Warning) => AnsiColor::Yellow.on_default(),
        Some(Level::Failure) => AnsiColor::Red.on_default().bold(),
    }
}

fn breaker(breaker: &BreakerView) -> String {
    match (&*breaker.state, breaker.seconds_left) {
        ("open", Some(left)) => format!("open {}", age_of(left)),
        ("half_open", _) => "half-open".to_owned(),
        (state, _) => state.to_owned(),
    }
}

/// Its share, and where it is on its way, in fifteen characters.
fn rollout(rollout: &RolloutView) -> String {
    let phase =
        || rollout.phase.zip(rollout.phases).map(|(phase, phases)| format!("{phase}/{phases}")).unwrap_or_default();
    let word = match &*rollout.state {
        "fixed" => String::new(),
        "rolled_back" => "rolled back".to_owned(),
        "overridden" => "by hand".to_owned(),
        "running" => phase(),
        "waiting" => phase() + " waits",
        "held" => phase() + " held",
        state => state.to_owned(),
    };
    format!("{}% {word}", rollout.percent).trim_end().chars().take(15).collect()
}

/// The gateway without what all have in common.
fn address(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, address)| address)
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// A count in four characters.
fn short(count: u64) -> String {
    match count {
        0..10_000 => count.to_string(),
        10_000..1_000_000 => format!("{}k", count / 1000),
        _ => format!("{}M", count / 1_000_000),
    }
}

/// A rate in four characters.
fn rate(rate: f64) -> String {
    if rate == 0.0 || rate >= 99.95 { short(rate.round() as u64) } else { format!("{rate:.1}") }
}

/// A time in five characters.
fn millis(millis: Option<u64>) -> String {
    match millis {
        None => "-".to_owned(),
        Some(millis @ 0..1000) => format!("{millis}ms"),
        Some(millis) => format!("{:.1}s", millis as f64 / 1000.0),
    }
}

const DIM: Style = Style::new().dimmed();
/// The columns without the names.
const FIGURES_WIDTH: usize = 67;
const NAME_MIN: usize = 8;

#[cfg(test)]
mod tests {
    use super::super::view::tests::status;
    use super::*;
    use crate::gateway::Failure;
    use std::time::Duration;

    fn shown(view: &View, now: Instant, width: usize) -> Vec<String> {
        let clock = "2026-11-25T12:00:00Z".parse().unwrap();
        lines(view, now, clock, width).iter().map(|line| line.text(width).trim_end().to_owned()).collect()
    }

    /// A healthy gateway and one that is down are read at a glance in 80 columns.
    #[test]
    fn healthy_and_down_gateways_are_readable_in_80_columns() {
        let start = Instant::now();
        let mut view = View::new(["http://10.0.0.1:10001/gatepost", "http://10.0.0.2:10001/gatepost"].into_iter());
        view.take(0, start, Ok(status()));
        let mut later = status();
        later.endpoints[0].counters.delivered += 12;
        view.take(0, start + Duration::from_secs(1), Ok(later));
        view.take(1, start, Err(Failure::new("cannot be reached: it does not answer in time")));
        let expected = [
            "gatepost  2 gateways, 1 down                                        12:00:00 UTC",
            "    endpoint breaker   rollout         in/s ok/s ko/s   P50   P95 pend dead",
            "  10.0.0.1:10001/gatepost  enabled  4 pending (oldest 1s)  0 dead  0/s in  up 2h",
            "    billing  closed    100%               0 12.0    0  12ms 340ms    4    0",
            "x 10.0.0.2:10001/gatepost  DOWN for 8s",
            "",
            "x 10.0.0.2:10001/gatepost: cannot be reached: it does not answer in time",
        ];
        assert_eq!(shown(&view, start + Duration::from_secs(8), 80), expected);
    }

    /// No line is wider than the terminal and no sentence loses a word.
    #[test]
    fn lines_fit_the_terminal_and_sentences_lose_no_word() {
        let start = Instant::now();
        let mut view = View::new(["http://10.0.0.1:10001/gatepost"].into_iter());
        let mut bad = status();
        bad.endpoints[0].name = "a-name-that-is-longer-than-any-column-of-a-narrow-terminal".to_owned();
        bad.endpoints[0].rollout.state = "rolled_back".into();
        bad.endpoints[0].rollout.detail = Some("7 of 20 deliveries arrived within 5 minutes".to_owned());
        view.take(0, start, Ok(bad));
        for width in [1, 20, 40, 80, 200] {
            let shown = shown(&view, start, width);
            assert!(shown.iter().all(|line| line.chars().count() <= width), "{width}: {shown:#?}");
        }
        let words = shown(&view, start, 60).join(" ");
        let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("within 5 minutes); nothing is sent until it is resumed"), "{words}");
    }

    #[test]
    fn a_rollout_is_its_share_and_where_it_is_on_its_way() {
        let shown = |percent, state: &str| {
            let (phase, phases) = (Some(1), Some(4));
            rollout(&RolloutView { percent, state: state.to_owned().into(), phase, phases, ..RolloutView::default() })
        };
        assert_eq!(shown(100.0, "fixed"), "100%");
        assert_eq!(shown(12.5, "running"), "12.5% 1/4");
        assert_eq!(shown(12.5, "waiting"), "12.5% 1/4 waits");
        assert_eq!(shown(0.0, "rolled_back"), "0% rolled back");
        assert_eq!(shown(100.0, "complete"), "100% complete");
    }

    #[test]
    fn figures_keep_their_width_however_large_they_are() {
        assert_eq!([0, 9999, 10_000, 2_500_000].map(short), ["0", "9999", "10k", "2M"]);
        assert_eq!([0.0, 0.25, 99.9, 99.96, 12_345.0].map(rate), ["0", "0.2", "99.9", "100", "12k"]);
        assert_eq!([None, Some(999), Some(1500), Some(99_900)].map(millis), ["-", "999ms", "1.5s", "99.9s"]);
    }
}
