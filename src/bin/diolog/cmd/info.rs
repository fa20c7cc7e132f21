//! `diolog info`: the runs and segments of a log, from the headers of its blocks.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use diolog::{InUse, LogInfo, SegmentInfo, Severity};
use serde_json::{Value, json};

use super::report;
use crate::args::Info;
use crate::exit::{Failure, Status};
use crate::text::damage::{in_use, run_end, with_recovery};
use crate::text::escape::{self, known};
use crate::text::table::{Side, Table};
use crate::text::units::{self, counted, grouped};
use crate::text::when::When;

/// The end of a run of which one segment was given that has no end.
const ALONE: &str = "unknown: only the last segment of a run says whether the run was closed";

/// Prints the runs and segments of each log. The exit status says whether there are findings.
pub(crate) fn run(arguments: &Info) -> Result<Status, Failure> {
    let (infos, status) = report::of_each(&arguments.paths, |path| {
        let info = diolog::info(path)?;
        let status = status(&info);
        Ok((info, status))
    });
    let (how, mut when) = (&arguments.report, report::when(&arguments.report));
    let text = |out: &mut Vec<u8>| report::join(&infos, out, |path, info, out| text(path, info, &mut when, out));
    let json = |out: &mut Vec<u8>| infos.iter().for_each(|(path, info)| json(path, info, out));
    report::print(how.format, !how.no_pager && !infos.is_empty(), text, json)?;
    Ok(status)
}

fn status(info: &LogInfo) -> Status {
    match info.findings.iter().map(|finding| finding.severity).max() {
        None | Some(Severity::Note) => Status::CLEAN,
        Some(Severity::Newer) => Status::NEWER,
        Some(_) => Status::UNCONFIRMED,
    }
}

/// The segments of each run, which are consecutive.
fn runs(info: &LogInfo) -> Vec<&[SegmentInfo]> {
    info.segments.chunk_by(|one, next| one.run == next.run).collect()
}

/// Whether the run's last segment has its end.
fn is_closed(segments: &[SegmentInfo]) -> bool {
    segments.last().is_some_and(|last| last.clean_end)
}

/// The id and the machine of the process that wrote a run, by the first of its segments that says them.
fn process(segments: &[SegmentInfo]) -> (Option<u32>, Option<&str>) {
    let pid = segments.iter().find_map(|segment| segment.pid);
    (pid, segments.iter().find_map(|segment| segment.host.as_deref()))
}

fn text(path: &Path, info: &LogInfo, when: &mut When, out: &mut Vec<u8>) {
    let runs = runs(info);
    let sum = |part: fn(&SegmentInfo) -> u64| info.segments.iter().map(part).sum::<u64>();
    // Writing to memory does not fail.
    let _ = writeln!(
        out,
        "{}: {} in {}, {} ({} used)",
        escape::path(path),
        counted(runs.len() as u64, "run"),
        counted(info.segments.len() as u64, "segment"),
        units::bytes(sum(|segment| segment.file_bytes)),
        units::bytes(sum(|segment| segment.used_bytes)),
    );
    if info.in_use == InUse::Yes {
        let _ = writeln!(out, "  {}", in_use(info.in_use_by));
    }
    for (at, segments) in runs.iter().enumerate() {
        let _ = writeln!(out);
        let is_written = segments.last().is_some_and(|last| last.in_use);
        let end = match path.is_dir() || is_closed(segments) {
            true => run_end(is_closed(segments), is_written, info.in_use, info.in_use_by),
            false => ALONE.into(),
        };
        let recovered = segments.iter().any(|segment| segment.recovered);
        let end = match segments.first() {
            Some(first) => with_recovery(end, path, &first.run, recovered, is_written),
            None => end,
        };
        run_text(at + 1, segments, end, when, out);
    }
    if !runs.is_empty() {
        let _ = writeln!(out, "\n* including the writer's own records: names, times, notes");
    }
    if !info.prepared_files.is_empty() {
        let _ = writeln!(out, "\n{}", counted(info.prepared_files.len() as u64, "prepared file"));
    }
    for finding in &info.findings {
        let _ = writeln!(out, "\nfound: {}", escape::name(&finding.to_string()));
    }
}

fn run_text(number: usize, segments: &[SegmentInfo], ending: String, when: &mut When, out: &mut Vec<u8>) {
    let Some(first) = segments.first() else { return };
    let _ = writeln!(out, "run {number}  {}", first.run);
    let mut line = |name: &str, value: String| drop(writeln!(out, "  {name:<8} {value}"));
    if !first.service.is_empty() {
        line("service", escape::name(&first.service));
    }
    let (pid, host) = process(segments);
    let process = pid.map(|pid| format!("process {pid}"));
    let host = host.map(|host| format!("on {}", escape::name(host)));
    let process: Vec<_> = process.into_iter().chain(host).collect();
    if !process.is_empty() {
        line("writer", process.join(" "));
    }
    if let Some(device) = segments.iter().rev().find_map(|segment| segment.device.clone()) {
        line("device", escape::name(&device));
    }
    if first.block_bytes > 0 {
        let (block, message) = (u64::from(first.block_bytes), u64::from(first.message_bytes_max));
        line("limits", format!("blocks of {}, messages of {}", units::bytes(block), units::bytes(message)));
    }
    let begin = segments.iter().find_map(|segment| Some((segment.first_ns?, segment.first_unix_ns)));
    let end = segments.iter().rev().find_map(|segment| Some((segment.last_ns?, segment.last_unix_ns)));
    if let (Some((begin_ns, Some(begin_unix_ns))), Some((end_ns, Some(end_unix_ns)))) = (begin, end) {
        let lasted = units::duration(Duration::from_nanos(end_ns.saturating_sub(begin_ns)));
        line("time", format!("{} to {} ({lasted})", when.format(begin_unix_ns), when.format(end_unix_ns)));
    }
    line("end", ending);
    let mut table = Table::new(&[
        ("segment", Side::Left),
        ("file", Side::Right),
        ("used", Side::Right),
        ("blocks", Side::Right),
        ("records*", Side::Right),
        ("first record", Side::Left),
    ]);
    for segment in segments {
        table.row(vec![
            escape::name(&segment.path.file_name().unwrap_or_default().to_string_lossy()),
            units::bytes(segment.file_bytes),
            units::bytes(segment.used_bytes),
            grouped(segment.blocks),
            grouped(segment.records),
            segment.first_unix_ns.map_or_else(|| "-".to_owned(), |unix_ns| when.format(unix_ns)),
        ]);
    }
    table.write(2, out);
}

fn json(path: &Path, info: &LogInfo, out: &mut Vec<u8>) {
    let runs: Vec<_> = runs(info)
        .iter()
        .filter_map(|segments| Some((segments, segments.first()?, segments.last()?)))
        .map(|(segments, first, last)| {
            json!({
                "run": first.run.to_string(),
                "service": known(&first.service),
                "host": process(segments).1,
                "pid": process(segments).0,
                "first_segment": first.index,
                "last_segment": last.index,
                "clean_end": last.clean_end,
                "recovered": segments.iter().any(|segment| segment.recovered),
                "in_use": last.in_use,
                "block_bytes": first.block_bytes,
                "message_bytes_max": first.message_bytes_max,
            })
        })
        .collect();
    let more = json!({
        "path": path.to_string_lossy(),
        "runs": runs,
        "segments": info.segments.iter().map(segment_json).collect::<Vec<_>>(),
    });
    escape::json_value(&report::object(info, more), out);
}

fn segment_json(segment: &SegmentInfo) -> Value {
    let mut when = When::utc();
    let mut time = |unix_ns: Option<i64>| unix_ns.map(|unix_ns| when.format(unix_ns));
    let more = json!({ "first_time": time(segment.first_unix_ns), "last_time": time(segment.last_unix_ns) });
    report::object(segment, more)
}
