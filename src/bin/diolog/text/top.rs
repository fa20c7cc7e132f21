//! The figures of a log as `diolog top` shows them: a few lines on a terminal, or a row among those of many logs; one
//! line in a pipe; an object in JSON.

use std::cmp::Reverse;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use diolog::{Figures, InUse, Latency, LossCause, State};
use serde_json::{Value, json};

use crate::text::escape;
use crate::text::table::{Side, Table};
use crate::text::units;

/// What is known of one log.
pub(crate) struct Seen<'a> {
    pub(crate) path: &'a Path,
    pub(crate) newest: Option<&'a Figures>,
    pub(crate) previous: Option<&'a Figures>,
    /// Whether a logger has the log open.
    pub(crate) in_use: InUse,
    /// The process of that logger.
    pub(crate) pid: Option<u32>,
    /// The wall time now, in nanoseconds since the Unix epoch.
    pub(crate) now_unix_ns: i64,
}

impl Seen<'_> {
    /// How long ago the newest figures were read. A clock that was set back makes it zero.
    fn age(&self, figures: &Figures) -> Duration {
        Duration::from_nanos(u64::try_from(self.now_unix_ns.saturating_sub(figures.unix_ns)).unwrap_or(0))
    }

    /// Whether a run that was not closed has left the figures: they do not say what became of the rest.
    fn are_cut_off(&self) -> bool {
        !self.grows() && self.newest.is_some_and(|newest| !newest.is_final)
    }

    /// Whether the figures are those of a log that is written, as far as the system tells: its counts grow.
    fn grows(&self) -> bool {
        self.in_use != InUse::No
    }

    /// The growth of a count a second between the last two rows; "-" if there is but one.
    fn rate(&self, count: impl Fn(&Figures) -> u64) -> String {
        self.between(&count).map_or_else(|| "-".to_owned(), |(more, time)| units::rate(more, time))
    }

    /// A rate before other figures, unless nobody writes the log any more: it would be that of another time.
    fn now(&self, rate: &str) -> String {
        if self.grows() { format!("{rate}/s, ") } else { String::new() }
    }

    /// That there are no figures, and whether some may come.
    fn without_figures(&self) -> &'static str {
        if self.grows() { "no figures yet" } else { "left no figures" }
    }

    /// The growth of a count of bytes a second between the last two rows; "-" if there is but one.
    fn bytes_rate(&self, count: impl Fn(&Figures) -> u64) -> String {
        let per_second = |(more, time): (u64, Duration)| (more as f64 / time.as_secs_f64().max(1e-9)) as u64;
        self.between(&count).map_or_else(|| "-".to_owned(), |grown| units::bytes(per_second(grown)))
    }

    fn between(&self, count: &impl Fn(&Figures) -> u64) -> Option<(u64, Duration)> {
        let (newest, previous) = (self.newest?, self.previous?);
        let time = Duration::from_nanos(newest.monotonic_ns.saturating_sub(previous.monotonic_ns));
        Some((count(newest).saturating_sub(count(previous)), time))
    }

    /// Who writes the log.
    fn writer(&self) -> String {
        match (self.in_use, self.pid) {
            (InUse::Yes, Some(pid)) => format!("written by process {pid}"),
            (InUse::Yes, None) => "in use".to_owned(),
            (InUse::No, _) if self.are_cut_off() => "ended without close".to_owned(),
            (InUse::No, _) => "not in use".to_owned(),
            (InUse::Unknown, _) => "in use or not: unknown here".to_owned(),
        }
    }
}

/// Appends the lines for a terminal, with rows of at most `producers`.
pub(crate) fn lines(seen: &Seen<'_>, producers: usize, out: &mut Vec<u8>) {
    let path = escape::path(seen.path);
    // Writing to memory does not fail.
    let Some(figures) = seen.newest else {
        let _ = writeln!(out, "{path}: {}, {}", seen.writer(), seen.without_figures());
        return;
    };
    let age = units::duration(seen.age(figures));
    let _ = writeln!(out, "{path}: {}, figures {age} old, {}", seen.writer(), state(figures.state));
    let mut line = |name: &str, value: String| drop(writeln!(out, "  {name:<9}{value}"));
    let lost = match figures.lost() {
        0 => "none lost".to_owned(),
        lost => format!("{}{} lost{}", seen.now(&seen.rate(Figures::lost)), units::grouped(lost), causes(figures)),
    };
    let lost = if seen.are_cut_off() { lost + " by then: diolog verify says what the files hold" } else { lost };
    let written = units::grouped(figures.written);
    line(
        "records",
        format!("{}{written} written in this run, {lost}", seen.now(&seen.rate(|figures| figures.written))),
    );
    let (durable, padding) = (figures.durable_bytes, figures.padding_bytes);
    let padding = padding as f64 * 100.0 / durable.max(1) as f64;
    let durable_rate = seen.now(&seen.bytes_rate(|figures| figures.durable_bytes));
    line("disk", format!("{durable_rate}{} durable, {padding:.0} % padding", units::bytes(durable)));
    line("writes", latency(&figures.writes, &seen.now(&seen.rate(|figures| figures.durable_blocks))));
    line("flushes", latency(&figures.interval_flushes, &seen.now(&seen.rate(|figures| figures.flushes))));
    let errors = [
        (figures.write_errors, "failed write"),
        (figures.flush_errors, "failed flush"),
        (figures.preparation_errors, "segment not prepared"),
        (figures.segments_late, "segment late"),
        (figures.refused, "call refused"),
    ];
    let errors: Vec<_> =
        errors.iter().filter(|(count, _)| *count > 0).map(|(count, what)| counted(*count, what)).collect();
    if !errors.is_empty() {
        line("trouble", errors.join(", "));
    }
    let (used, most) = (units::bytes(figures.rings_bytes), units::bytes(figures.rings_bytes_max));
    let producers_now = units::counted(figures.producers.into(), "producer");
    // Under the policy that waits they are no trouble.
    let waits = match figures.waits {
        0 => String::new(),
        waits => format!(", {}", counted(waits, "wait for room")),
    };
    line("rings", format!("{used} of {most}, {producers_now}{waits}"));
    table(figures, producers, out);
}

/// Appends a row for each log, the busiest first: as many as fit into `height` lines, the cursor's included.
pub(crate) fn rows(logs: &[Seen<'_>], height: usize, out: &mut Vec<u8>) {
    let mut logs: Vec<_> = logs.iter().collect();
    // Those that lose records now come first, then those that lost some before, each by what is written.
    logs.sort_by_cached_key(|seen| {
        let grown =
            |count: fn(&Figures) -> u64| seen.between(&count).filter(|_| seen.grows()).map_or(0, |grown| grown.0);
        let has_lost = seen.newest.is_some_and(|figures| figures.lost() > 0);
        Reverse((grown(Figures::lost), has_lost, grown(|figures| figures.written)))
    });
    let mut table = Table::new(&[
        ("log", Side::Left),
        ("records/s", Side::Right),
        ("lost/s", Side::Right),
        ("lost", Side::Right),
        ("disk/s", Side::Right),
        ("write p99", Side::Right),
        ("fullest", Side::Right),
        ("age", Side::Right),
        ("state", Side::Left),
    ]);
    // Without the headings, the line for the other logs, and the cursor's.
    let shown = logs.len().min(height.saturating_sub(3).max(1));
    logs[..shown].iter().for_each(|seen| table.row(row(seen)));
    table.write(0, out);
    if shown < logs.len() {
        let more = units::counted((logs.len() - shown) as u64, "more log");
        // Writing to memory does not fail.
        let _ = writeln!(out, "and {more}: a larger terminal shows them");
    }
}

/// The cells of a log in [`rows`].
fn row(seen: &Seen<'_>) -> Vec<String> {
    let path = escape::path(seen.path);
    let nothing = || "-".to_owned();
    let Some(figures) = seen.newest else {
        let mut cells = vec![path];
        cells.resize_with(8, nothing);
        cells.push(seen.without_figures().to_owned());
        return cells;
    };
    let now = |rate: String| if seen.grows() { rate } else { nothing() };
    let write_p99 = match figures.writes.count {
        0 => nothing(),
        _ => units::duration(Duration::from_nanos(figures.writes.p99_ns)),
    };
    vec![
        path,
        now(seen.rate(|figures| figures.written)),
        now(seen.rate(Figures::lost)),
        units::grouped(figures.lost()),
        now(seen.bytes_rate(|figures| figures.durable_bytes)),
        now(write_p99),
        now(fullest_part(figures).unwrap_or_else(nothing)),
        units::duration(seen.age(figures)),
        if seen.grows() { state(figures.state).to_owned() } else { seen.writer() },
    ]
}

/// How full the fullest ring is.
fn fullest_part(figures: &Figures) -> Option<String> {
    figures.fullest.first().map(|row| part(row.held_bytes, row.ring_bytes))
}

/// A part of a ring.
fn part(bytes: u64, of: u64) -> String {
    format!("{} %", bytes.saturating_mul(100) / of.max(1))
}

/// Appends the one line for a pipe.
pub(crate) fn line(seen: &Seen<'_>, time: &str, out: &mut Vec<u8>) {
    let path = escape::path(seen.path);
    let Some(figures) = seen.newest else {
        let _ = writeln!(out, "{time} {path}: {}, {}", seen.writer(), seen.without_figures());
        return;
    };
    let age = units::duration(seen.age(figures));
    if !seen.grows() {
        let (written, lost) = (units::grouped(figures.written), units::grouped(figures.lost()));
        let state = state(figures.state);
        let (writer, by_then) = (seen.writer(), if seen.are_cut_off() { " by then" } else { "" });
        let counts = format!("{written} written, {lost} lost{by_then}");
        let _ = writeln!(out, "{time} {path}: {writer}; {counts}, {state}, figures {age} old");
        return;
    }
    let fullest = fullest_part(figures).map_or_else(String::new, |part| format!(", fullest ring {part}"));
    let _ = writeln!(
        out,
        "{time} {path}: {} records/s, {} lost/s, {} lost, {}/s, writes {}{fullest}, {}, {age} old",
        seen.rate(|figures| figures.written),
        seen.rate(Figures::lost),
        units::grouped(figures.lost()),
        seen.bytes_rate(|figures| figures.durable_bytes),
        latency(&figures.writes, &seen.now(&seen.rate(|figures| figures.durable_blocks))),
        state(figures.state),
    );
}

/// The same as an object.
pub(crate) fn json(seen: &Seen<'_>) -> Value {
    let figures = seen.newest.map(|figures| serde_json::to_value(figures).unwrap_or_default());
    json!({
        "path": seen.path.to_string_lossy(),
        "in_use": seen.in_use,
        "in_use_by": seen.pid,
        "age_ns": seen.newest.map(|figures| seen.age(figures).as_nanos().to_string()),
        "figures": figures,
    })
}

fn table(figures: &Figures, most: usize, out: &mut Vec<u8>) {
    let mut table = Table::new(&[
        ("producer", Side::Left),
        ("ring", Side::Right),
        ("full", Side::Right),
        ("highest", Side::Right),
        ("written", Side::Right),
        ("lost", Side::Right),
        ("waited", Side::Right),
    ]);
    for row in figures.fullest.iter().take(most) {
        table.row(vec![
            escape::producer(row.id, &row.name),
            units::bytes(row.ring_bytes),
            part(row.held_bytes, row.ring_bytes),
            part(row.high_water_bytes, row.ring_bytes),
            units::grouped(row.written),
            units::grouped(row.dropped.saturating_add(row.overwritten)),
            units::duration(Duration::from_nanos(row.waited_ns)),
        ]);
    }
    table.write(2, out);
}

fn state(state: State) -> &'static str {
    match state {
        State::Ok => "writes succeed",
        State::Full => "THE DISK IS FULL",
        _ => "WRITES FAIL",
    }
}

/// Why records were lost, in parentheses.
fn causes(figures: &Figures) -> String {
    let mut causes: Vec<_> =
        figures.dropped_by.causes().map(|(cause, count)| format!("{} {cause}", units::grouped(count))).collect();
    if figures.overwritten > 0 {
        causes.push(format!("{} {}", units::grouped(figures.overwritten), LossCause::Overwritten));
    }
    format!(" ({})", causes.join(", "))
}

fn latency(latency: &Latency, rate: &str) -> String {
    let time = |ns| units::duration(Duration::from_nanos(ns));
    match latency.count {
        0 => "none since the last figures".to_owned(),
        _ => format!("{rate}p50 {}, p99 {}, max {}", time(latency.p50_ns), time(latency.p99_ns), time(latency.max_ns)),
    }
}

/// "1 failed write", "3 failed writes", "2 segments late": the first word that is a noun takes the plural.
fn counted(count: u64, what: &str) -> String {
    if count == 1 {
        return format!("1 {what}");
    }
    let (first, rest) = what.split_once(' ').unwrap_or((what, ""));
    match first {
        "failed" if rest == "flush" => format!("{} failed flushes", units::grouped(count)),
        "failed" => format!("{} failed {rest}s", units::grouped(count)),
        _ => format!("{} {first}s {rest}", units::grouped(count)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_take_the_plural_where_it_belongs() {
        assert_eq!(counted(1, "failed write"), "1 failed write");
        assert_eq!(counted(3, "failed write"), "3 failed writes");
        assert_eq!(counted(3, "failed flush"), "3 failed flushes");
        assert_eq!(counted(2, "segment late"), "2 segments late");
        assert_eq!(counted(1_000, "wait for room"), "1,000 waits for room");
    }

    #[test]
    fn a_log_without_figures_says_so() {
        let path = Path::new("orders");
        let seen = Seen { path, newest: None, previous: None, in_use: InUse::Yes, pid: Some(7), now_unix_ns: 0 };
        let mut out = Vec::new();
        lines(&seen, 8, &mut out);
        line(&seen, "now", &mut out);
        let text = String::from_utf8(out).expect("UTF-8");
        let writer = "written by process 7";
        assert_eq!(text, format!("orders: {writer}, no figures yet\nnow orders: {writer}, no figures yet\n"));
        assert_eq!(json(&seen)["figures"], Value::Null);
        let mut out = Vec::new();
        line(&Seen { in_use: InUse::No, pid: None, ..seen }, "now", &mut out);
        assert_eq!(String::from_utf8(out).expect("UTF-8"), "now orders: not in use, left no figures\n");
    }

    #[test]
    fn a_table_has_the_logs_that_lose_records_first_and_ends_with_the_height() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        diolog::Logger::open(diolog::Config::new(&path)).expect("a log").close().expect("closed");
        let of_a_log = diolog::FiguresReader::open(&path).expect("a log").newest().expect("figures").clone();
        let figures = |written, dropped, at_ns| {
            let mut figures = of_a_log.clone();
            figures.written = written;
            figures.dropped_by.ring_full = dropped;
            figures.monotonic_ns = at_ns;
            figures
        };
        let second = 1_000_000_000;
        let rows_of = [
            ("quiet", [figures(5, 0, 0), figures(5, 0, second)]),
            ("busy", [figures(5, 0, 0), figures(50_005, 0, second)]),
            ("lost", [figures(5, 7, 0), figures(6, 7, second)]),
            ("loses", [figures(5, 0, 0), figures(6, 1, second)]),
        ];
        let seen = |name, previous, newest, in_use| Seen {
            path: Path::new(name),
            newest: Some(newest),
            previous: Some(previous),
            in_use,
            pid: None,
            now_unix_ns: 0,
        };
        let mut logs: Vec<_> =
            rows_of.iter().map(|(name, [first, last])| seen(*name, first, last, InUse::Yes)).collect();
        logs.push(Seen { newest: None, previous: None, ..seen("new", &of_a_log, &of_a_log, InUse::Yes) });
        let table = |height| {
            let mut out = Vec::new();
            rows(&logs, height, &mut out);
            String::from_utf8(out).expect("UTF-8")
        };
        let names = |text: &str| {
            let first = |line: &str| line.split(' ').next().expect("a word").to_owned();
            text.lines().map(first).collect::<Vec<_>>()
        };
        assert_eq!(names(&table(24)), ["log", "loses", "lost", "busy", "quiet", "new"]);
        let cut = table(5);
        assert_eq!(names(&cut), ["log", "loses", "lost", "and"]);
        assert!(cut.ends_with("and 3 more logs: a larger terminal shows them\n"), "{cut}");
        assert_eq!(names(&table(0)), ["log", "loses", "and"]);
    }
}
