//! `diolog snapshots`: when and why the flight recorder of a log was written, and how many records each file has.

use std::io::Write as _;
use std::path::Path;

use diolog::SnapshotInfo;
use serde_json::{Value, json};

use super::report;
use crate::args::Snapshots;
use crate::exit::{Failure, Status};
use crate::text::escape;
use crate::text::table::{Side, Table};
use crate::text::units::{self, counted, grouped};
use crate::text::when::When;

/// Prints the snapshots. The exit status says whether each is whole.
pub(crate) fn run(arguments: &Snapshots) -> Result<Status, Failure> {
    let snapshots = diolog::snapshots(&arguments.path)?;
    let (path, how) = (&arguments.path, &arguments.report);
    let text = |out: &mut Vec<u8>| text(path, &snapshots, &mut report::when(how), out);
    report::print(how.format, !how.no_pager, text, |out| json(path, &snapshots, out))?;
    let is_whole = snapshots.iter().all(|snapshot| snapshot.fault.is_none());
    Ok(if is_whole { Status::CLEAN } else { Status::UNCONFIRMED })
}

fn time(snapshot: &SnapshotInfo, when: &mut When) -> String {
    when.format(snapshot.unix_ms.saturating_mul(1_000_000))
}

fn name(snapshot: &SnapshotInfo) -> String {
    escape::name(&snapshot.path.file_name().unwrap_or_default().to_string_lossy())
}

fn text(path: &Path, snapshots: &[SnapshotInfo], when: &mut When, out: &mut Vec<u8>) {
    let (records, bytes) = snapshots
        .iter()
        .fold((0, 0), |(records, bytes), snapshot| (records + snapshot.records, bytes + snapshot.bytes));
    // Writing to memory does not fail.
    let _ = writeln!(
        out,
        "{}: {}, {}, {}",
        escape::path(path),
        counted(snapshots.len() as u64, "snapshot"),
        counted(records, "record"),
        units::bytes(bytes),
    );
    let mut table = Table::new(&[
        ("time", Side::Left),
        ("reason", Side::Left),
        ("records", Side::Right),
        ("size", Side::Right),
        ("file", Side::Left),
    ]);
    for snapshot in snapshots {
        table.row(vec![
            time(snapshot, when),
            escape::name(&snapshot.reason),
            grouped(snapshot.records),
            units::bytes(snapshot.bytes),
            name(snapshot),
        ]);
    }
    table.write(2, out);
    for snapshot in snapshots {
        if let Some(fault) = &snapshot.fault {
            let _ = writeln!(out, "\nfound: {} {}", name(snapshot), escape::name(fault));
        }
    }
}

fn json(path: &Path, snapshots: &[SnapshotInfo], out: &mut Vec<u8>) {
    let mut when = When::utc();
    let with_time = |snapshot| report::object(snapshot, json!({ "time": time(snapshot, &mut when) }));
    let snapshots: Vec<Value> = snapshots.iter().map(with_time).collect();
    escape::json_value(&json!({ "path": path.to_string_lossy(), "snapshots": snapshots }), out);
}
