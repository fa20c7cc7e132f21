//! `diolog verify`: proves from the files alone which records are kept and which are lost, and prints the proof.

use std::io::Write as _;
use std::path::Path;

use diolog::{BlockCounts, ProducerReport, ReadOptions, Report, RunReport, Verification};
use serde_json::json;

use super::report;
use crate::args::Verify;
use crate::exit::{Failure, Status};
use crate::text::damage::{GOES_ON, newer_parts, run_end, state, with_recovery};
use crate::text::escape;
use crate::text::progress::{Progress, log_bytes};
use crate::text::table::{Side, Table};
use crate::text::units::{self, counted, grouped};

/// Rows of producers that are printed in any case. If a run has more, those of producers without losses are summed up.
const ROWS_MAX: usize = 20;

/// Verifies the logs and prints the reports. The exit status is the worst verdict.
pub(crate) fn run(arguments: &Verify) -> Result<Status, Failure> {
    let (reports, status) = report::of_each(&arguments.paths, |path| {
        let mut progress = Progress::new("verifying", log_bytes(path));
        let watch = |report: &Report| progress.update(report.bytes);
        let options = ReadOptions::new().durable(arguments.durable);
        let Verification { verdict, report, .. } = options.verify_watched(path, watch)?;
        Ok((report, Status::of(verdict, arguments.allow_drops)))
    });
    let text = |out: &mut Vec<u8>| report::join(&reports, out, |path, report, out| text(arguments, path, report, out));
    let json = |out: &mut Vec<u8>| reports.iter().for_each(|(path, report)| json_text(path, report, out));
    report::print(arguments.format, !arguments.no_pager && !reports.is_empty(), text, json)?;
    Ok(status)
}

fn text(arguments: &Verify, path: &Path, report: &Report, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = writeln!(out, "{}: {}", escape::path(path), state(report));
    let _ = writeln!(
        out,
        "  {} in {} ({}), {}",
        counted(report.records, "record"),
        counted(report.blocks.good, "block"),
        units::bytes(report.bytes),
        counted(report.runs.len() as u64, "run"),
    );
    if let Some(parts) = newer_parts(report) {
        let _ = writeln!(out, "  {parts}");
    }
    if report.truncated > 0 {
        let records = counted(report.truncated, "record");
        let _ = writeln!(out, "  {records} cut when logged: too long, or their formatter failed");
    }
    for (at, run) in report.runs.iter().enumerate() {
        let end = match run.goes_on {
            true => GOES_ON.into(),
            false => run_end(run.clean_end, run.in_use, report.in_use, report.in_use_by),
        };
        let end = with_recovery(end, path, &run.run, run.recovered, run.in_use);
        let _ = write!(out, "\nrun {} of {}  {}", at + 1, report.runs.len(), run.run);
        run_text(run, &end, arguments.all, out);
    }
    if !report.findings.is_empty() {
        let _ = writeln!(out, "\nfound");
    }
    for finding in &report.findings {
        let _ = writeln!(out, "  {}", escape::name(&finding.to_string()));
    }
    if report.findings_omitted > 0 {
        let _ = writeln!(out, "  and {} more", grouped(report.findings_omitted));
    }
}

/// What was found of a run, after its number and its id.
fn run_text(run: &RunReport, end: &str, all: bool, out: &mut Vec<u8>) {
    if !run.service.is_empty() {
        let _ = write!(out, "  {}", escape::name(&run.service));
    }
    let _ = writeln!(out);
    let segments = match run.segments {
        1 => format!("segment {}", run.first_segment),
        _ => format!("{} segments, {} to {}", grouped(run.segments), run.first_segment, run.last_segment),
    };
    let _ = writeln!(out, "  {segments}; {end}");
    blocks_text(&run.blocks, out);
    let retired_dropped = sum(&run.producers, |producer| producer.retired_dropped);
    if retired_dropped > 0 {
        let _ = writeln!(out, "  noted: {} dropped before the oldest segment", counted(retired_dropped, "record"));
    }
    let refused = [
        (run.refused_closed, "after close"),
        (run.refused_reentrant, "in a signal handler"),
        (run.refused_no_ring, "without a ring"),
    ];
    let refused: Vec<_> = refused.iter().filter(|(number, _)| *number > 0).collect();
    if !refused.is_empty() {
        let refused: Vec<_> = refused.iter().map(|(number, why)| format!("{} {why}", grouped(*number))).collect();
        let _ = writeln!(out, "  refused: {}", refused.join(", "));
    }
    if run.hidden > 0 {
        let _ = writeln!(out, "  hidden: {} by limits of callsites", counted(run.hidden, "record"));
    }
    for note in &run.notes {
        let _ = writeln!(out, "  noted: {}", escape::name(note));
    }
    producers_text(run, all, out);
    identity_text(run, out);
}

/// A row for each producer; with `all`, also for those without losses that are too many to show.
fn producers_text(run: &RunReport, all: bool, out: &mut Vec<u8>) {
    let mut table = Table::new(&[
        ("producer", Side::Right),
        ("name", Side::Left),
        ("first", Side::Right),
        ("last", Side::Right),
        ("records", Side::Right),
        ("dropped", Side::Right),
        ("overwritten", Side::Right),
        ("unwritten", Side::Right),
        ("damaged", Side::Right),
        ("", Side::Left),
    ]);
    let folds = !all && run.producers.len() > ROWS_MAX;
    let (folded, shown): (Vec<_>, Vec<_>) = run.producers.iter().partition(|row| folds && is_plain(row));
    for producer in shown {
        table.row(vec![
            producer.id.to_string(),
            escape::producer(producer.id, &producer.name),
            producer.first_sequence.map_or("-".into(), grouped),
            producer.last_sequence.map_or("-".into(), grouped),
            grouped(producer.records),
            grouped(producer.dropped),
            grouped(producer.overwritten),
            grouped(producer.unwritten),
            grouped(producer.damaged),
            if producer.holds { String::new() } else { "numbers do not add up".into() },
        ]);
    }
    table.write(2, out);
    if !folded.is_empty() {
        let records = counted(sum(folded.iter().copied(), |row| row.records), "record");
        let and = if folded.len() == run.producers.len() { "" } else { "… and " };
        let producers = counted(folded.len() as u64, "producer");
        let _ = writeln!(out, "  {and}{producers} without losses, {records}: --all shows them");
    }
    if run.shards_untracked > 0 {
        let shards = counted(run.shards_untracked, "shard");
        let _ = writeln!(out, "  and {shards} of further producers, whose counts were not compared");
    }
}

/// Whether a producer has lost nothing, and its numbers add up.
fn is_plain(row: &ProducerReport) -> bool {
    row.holds && row.dropped == 0 && row.overwritten == 0 && row.unwritten == 0 && row.damaged == 0
}

fn blocks_text(blocks: &BlockCounts, out: &mut Vec<u8>) {
    let plural = |number, one, more| (number, if number == 1 { one } else { more });
    let named = [
        (blocks.good, "good"),
        (blocks.torn, "torn or unconfirmed"),
        plural(blocks.holes, "hole never acknowledged", "holes never acknowledged"),
        (blocks.lost, "lost"),
        (blocks.stale, "stale"),
        plural(blocks.duplicates, "duplicate skipped", "duplicates skipped"),
        plural(blocks.damaged_headers, "damaged segment header", "damaged segment headers"),
        (blocks.newer, "of a newer diolog"),
        plural(blocks.stray, "stretch of stray bytes", "stretches of stray bytes"),
    ];
    let there: Vec<_> = named.iter().filter(|(number, _)| *number > 0).collect();
    let there: Vec<_> = there.iter().map(|(number, what)| format!("{} {what}", grouped(*number))).collect();
    let _ = writeln!(out, "  blocks: {}", if there.is_empty() { "none".into() } else { there.join(", ") });
}

/// The sum of one of the numbers of producers, which damaged or hostile files may have made as large as can be.
fn sum<'a>(producers: impl IntoIterator<Item = &'a ProducerReport>, part: fn(&ProducerReport) -> u64) -> u64 {
    producers.into_iter().map(part).fold(0, u64::saturating_add)
}

/// The equation that must hold, with the run's numbers, and whether it does.
fn identity_text(run: &RunReport, out: &mut Vec<u8>) {
    let sum = |part: fn(&ProducerReport) -> u64| run.producers.iter().map(part).map(i128::from).sum::<i128>();
    let left = [("attempted", sum(|row| row.attempted)), (" - before the oldest segment", sum(|row| row.retired))];
    let right = [
        ("in the files", sum(|row| row.records)),
        (" + dropped", sum(|row| row.dropped)),
        (" + overwritten", sum(|row| row.overwritten)),
        (" + unwritten", sum(|row| row.unwritten)),
        (" + damaged", sum(|row| row.damaged)),
        (" - lost before the oldest segment", sum(|row| row.retired_losses)),
    ];
    let broken = run.producers.iter().filter(|producer| !producer.holds).count();
    let open = run.producers.iter().filter(|producer| !producer.ended).count();
    let (equation, is_whole) = equation(&left, &right, open > 0);
    let no_final_counts =
        format!("no final count from {}, so later records may be missing", counted(open as u64, "producer"));
    let verdict = match (broken, open) {
        (0, 0) if is_whole => "holds for each producer".to_owned(),
        (0, 0) => "does not add up".to_owned(),
        // The counts of producers that are still there are not final, and nothing is wrong with that.
        (0, _) if run.in_use && is_whole => "holds for each producer so far".to_owned(),
        (0, _) if run.in_use => "the counts are not final".to_owned(),
        (0, _) if run.goes_on && is_whole => "holds for each producer up to here".to_owned(),
        (0, _) => no_final_counts,
        _ => format!("does not hold for {}", counted(broken as u64, "producer")),
    };
    let _ = writeln!(out, "  {equation}: {verdict}");
}

/// An equation that is true, and whether it needs no term for what is left over. Each term but a side's first has its
/// sign before its name, and is left out if it is zero. `is_open`: there may have been more attempts than the files
/// tell, such as those that were dropped after a producer's last record.
fn equation(left: &[(&str, i128)], right: &[(&str, i128)], is_open: bool) -> (String, bool) {
    let sign = |name: &str| if name.starts_with(" -") { -1 } else { 1 };
    let sum = |side: &[(&str, i128)]| side.iter().map(|(name, number)| sign(name) * number).sum::<i128>();
    let side = |side: &[(&str, i128)]| {
        let shown = side.iter().enumerate().filter(|(at, (_, number))| *at == 0 || *number > 0).map(|(_, term)| term);
        shown.map(|(name, number)| format!("{name} {}", units::grouped(*number))).collect::<String>()
    };
    let rest = sum(left) - sum(right);
    let (more, over) = match rest {
        0 => (String::new(), String::new()),
        1.. => (String::new(), format!(" + unaccounted {}", units::grouped(rest))),
        _ if is_open => (format!(" + later attempts {}", units::grouped(-rest)), String::new()),
        _ => (String::new(), format!(" - too many {}", units::grouped(-rest))),
    };
    (format!("{}{more} = {}{over}", side(left), side(right)), rest == 0)
}

fn json_text(path: &Path, report: &Report, out: &mut Vec<u8>) {
    let more = json!({
        "path": path.to_string_lossy(),
        "verdict": report.verdict(),
        "dropped": report.dropped(),
        "dropped_by": report.dropped_by(),
    });
    escape::json_value(&report::object(report, more), out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(attempted: i128, records: i128, losses: i128) -> (String, bool) {
        let right = [("in the files", records), (" - lost before", losses)];
        equation(&[("attempted", attempted)], &right, false)
    }

    #[test]
    fn an_equation_is_true_whatever_the_numbers_are() {
        assert_eq!(shown(1_000, 1_000, 0), ("attempted 1,000 = in the files 1,000".into(), true));
        let without_losses = equation(&[("attempted", 0)], &[("in the files", 0), (" + dropped", 0)], false);
        assert_eq!(without_losses, ("attempted 0 = in the files 0".into(), true));
        assert_eq!(shown(9, 10, 1), ("attempted 9 = in the files 10 - lost before 1".into(), true));
        assert_eq!(
            shown(9_000, 10, 1),
            ("attempted 9,000 = in the files 10 - lost before 1 + unaccounted 8,991".into(), false)
        );
        assert_eq!(shown(9, 10, 0), ("attempted 9 = in the files 10 - too many 1".into(), false));
        let open = equation(&[("attempted", 9)], &[("in the files", 8), (" + dropped", 3)], true);
        assert_eq!(open, ("attempted 9 + later attempts 2 = in the files 8 + dropped 3".into(), false));
    }

    #[test]
    fn blocks_are_counted_in_the_singular_and_in_the_plural() {
        let shown = |blocks: BlockCounts| {
            let mut out = Vec::new();
            blocks_text(&blocks, &mut out);
            String::from_utf8(out).expect("text")
        };
        let mut blocks = BlockCounts::default();
        assert_eq!(shown(blocks), "  blocks: none\n");
        (blocks.good, blocks.holes, blocks.damaged_headers) = (3, 1, 1);
        assert_eq!(shown(blocks), "  blocks: 3 good, 1 hole never acknowledged, 1 damaged segment header\n");
        (blocks.holes, blocks.damaged_headers, blocks.stray) = (2, 0, 1_000);
        assert_eq!(shown(blocks), "  blocks: 3 good, 2 holes never acknowledged, 1,000 stretches of stray bytes\n");
    }
}
