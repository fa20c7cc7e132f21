//! A thousand full rings of a dead process are recovered in bounded memory, each record once.
#![cfg(all(target_os = "linux", not(diolog_portable), feature = "unstable"))]

mod support;

use std::path::{Path, PathBuf};
use std::time::Instant;

use diolog::{Config, Level, Outcome, Reader, RecoveryOutcome, RingMemory, recover_watched, verify};

const RINGS: u64 = 1000;
const RING_BYTES: usize = 64 << 10;

/// The most memory that the recovery's process may take: a third of the rings.
const MEMORY_KIB_MAX: u64 = 24 << 10;

fn rings(directory: &Path) -> PathBuf {
    format!("/dev/shm/diolog-test-{}", directory.file_name().expect("a name").to_string_lossy()).into()
}

/// Fills all rings while the disk takes nothing, and dies.
#[allow(clippy::print_stdout, reason = "a message to the parent")]
fn fill_and_die(directory: &Path) {
    let control = support::device::Control::default();
    control.block_submit(true);
    let config = Config::new(directory.join("log"))
        .ring_memory(RingMemory::Shared(rings(directory)))
        .ring_bytes(RING_BYTES)
        .reserve_bytes(0)
        .rings_bytes_max(1 << 30);
    let logger = control.hooks().open(config).expect("a log");
    let mut accepted = 0;
    let producers: Vec<_> = (0..RINGS).map(|at| logger.producer_named(&format!("{at}")).expect("a producer")).collect();
    for producer in &producers {
        while producer.log(Level::Error, "a record of some forty bytes, as they are") == Outcome::Written {
            accepted += 1;
        }
    }
    println!("\naccepted {accepted}");
    std::process::abort();
}

#[allow(clippy::print_stdout, reason = "a message to the parent, and the figure of this test")]
fn recover(directory: &Path) {
    let begun = Instant::now();
    let mut watched = Vec::new();
    let recoveries = recover_watched(directory.join("log"), None, |done, all| watched.push((done, all)));
    let elapsed = begun.elapsed();
    let [recovery] = recoveries.expect("a log").try_into().expect("one run");
    assert_eq!((recovery.outcome, recovery.producers), (RecoveryOutcome::Complete, RINGS), "{recovery}");
    assert!((1..=RINGS).map(|done| (done, RINGS)).eq(watched), "each ring is told of");
    let status = std::fs::read_to_string("/proc/self/status").expect("there");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    println!("\nrecovered {} in {:.3} s with{peak}", recovery.records, elapsed.as_secs_f64());
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(kib <= MEMORY_KIB_MAX, "{kib} KiB");
}

#[test]
fn a_thousand_full_rings_are_recovered_in_bounded_memory() {
    let test = "a_thousand_full_rings_are_recovered_in_bounded_memory";
    match support::role().as_deref() {
        Some("fill") => return fill_and_die(&support::child_directory()),
        Some(_) => return recover(&support::child_directory()),
        None => {}
    }
    let directory = support::directory();
    let output = support::run_child(test, "fill", directory.path());
    let printed = String::from_utf8_lossy(&output.stdout);
    let accepted = printed.lines().find_map(|line| line.strip_prefix("accepted "));
    let accepted: u64 = accepted.unwrap_or_else(|| panic!("{output:?}")).parse().expect("a number");
    assert!(accepted > RINGS * 500, "{accepted}");
    let output = support::run_child(test, "recover", directory.path());
    support::child::assert_success(&output);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains(&format!("recovered {accepted} in ")), "{printed}");
    let mut reader = Reader::open(directory.path().join("log")).expect("a log");
    let mut records = 0;
    while reader.next_record().expect("readable").is_some() {
        records += 1;
    }
    assert_eq!(records, accepted);
    let verification = verify(directory.path().join("log")).expect("a log");
    // Each ring ended with a drop.
    assert_eq!(verification.verdict.exit_code(), 4, "{:#?}", verification.report.findings);
    assert_eq!(std::fs::read_dir(rings(directory.path())).expect("there").count(), 0);
    std::fs::remove_dir(rings(directory.path())).expect("empty");
}
