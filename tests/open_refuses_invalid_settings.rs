//! If a setting is invalid or does not fit another, the error names it, its value and a remedy, and nothing is created,
//! whether the directory exists or not.

mod support;

use std::path::Path;
use std::time::Duration;

use diolog::{Config, DevicePreference, Error, Logger, Overflow};

/// Makes a configuration invalid; then the name and the value that the error must show.
type Case = (fn(Config) -> Config, &'static str, &'static str);

const DAY: Duration = Duration::from_secs(24 * 3600);

const CASES: &[Case] = &[
    (|c| c.path(""), "path", "empty"),
    (|c| c.ring_bytes(0), "ring_bytes", "0 bytes"),
    (|c| c.ring_bytes(1), "ring_bytes", "1 byte"),
    (|c| c.ring_bytes(2048), "ring_bytes", "2 KiB"),
    (|c| c.ring_bytes(5000), "ring_bytes", "5,000 bytes"),
    (|c| c.ring_bytes(3 << 20), "ring_bytes", "3 MiB"),
    (|c| c.ring_bytes(2 << 30), "ring_bytes", "2 GiB"),
    (|c| c.ring_bytes(usize::MAX), "ring_bytes", "18,446,744,073,709,551,615 bytes"),
    (|c| c.thread_ring_bytes(0), "thread_ring_bytes", "0 bytes"),
    (|c| c.thread_ring_bytes(12345), "thread_ring_bytes", "12,345 bytes"),
    (|c| c.message_bytes_max(10_000).thread_ring_bytes(8192), "thread_ring_bytes", "8 KiB"),
    (|c| c.rings_bytes_max(0), "rings_bytes_max", "0 bytes"),
    (|c| c.rings_bytes_max((1 << 20) - 1), "rings_bytes_max", "1,048,575 bytes"),
    (|c| c.message_bytes_max(0), "message_bytes_max", "0 bytes"),
    (|c| c.ring_bytes(4096).message_bytes_max(2025), "message_bytes_max", "2,025 bytes"),
    (|c| c.block_bytes(4096).message_bytes_max(4000), "message_bytes_max", "4,000 bytes"),
    (|c| c.message_bytes_max(usize::MAX), "message_bytes_max", "18,446,744,073,709,551,615 bytes"),
    (|c| c.block_bytes(0), "block_bytes", "0 bytes"),
    (|c| c.block_bytes(4095), "block_bytes", "4,095 bytes"),
    (|c| c.block_bytes(512), "block_bytes", "512 bytes"),
    (|c| c.block_bytes((16 << 20) + 4096), "block_bytes", "16388 KiB"),
    (|c| c.blocks_in_flight(0), "blocks_in_flight", "0"),
    (|c| c.blocks_in_flight(65), "blocks_in_flight", "65"),
    (|c| c.flush_interval(Duration::ZERO), "flush_interval", "0ns"),
    (|c| c.flush_interval(Duration::from_micros(999)), "flush_interval", "999µs"),
    (|c| c.flush_interval(DAY), "flush_interval", "86400s"),
    (|c| c.segment_bytes(0), "segment_bytes", "0 bytes"),
    (|c| c.segment_bytes(256 << 10), "segment_bytes", "256 KiB"),
    (|c| c.segment_bytes((16 << 20) + 1), "segment_bytes", "16,777,217 bytes"),
    (|c| c.segment_bytes(u64::MAX), "segment_bytes", "18,446,744,073,709,551,615 bytes"),
    (|c| c.rotate_after(Duration::ZERO), "rotate_after", "0ns"),
    (|c| c.retain_for(Duration::ZERO), "retain_for", "0ns"),
    (|c| c.retain_segments(0), "retain_segments", "0"),
    (|c| c.retain_bytes(0), "retain_bytes", "0 bytes"),
    (|c| c.retain_bytes((256 << 20) - 1), "retain_bytes", "268,435,455 bytes"),
    (|c| c.overflow(Overflow::BlockFor(Duration::ZERO)), "overflow", "BlockFor(0ns)"),
    (|c| c.overflow(Overflow::BlockFor(DAY)), "overflow", "BlockFor(86400s)"),
    (|c| c.close_deadline(DAY + Duration::from_nanos(1)), "close_deadline", "86400.000000001s"),
    (|c| c.service("s".repeat(256)), "service", "256 bytes long"),
];

fn entries(directory: &Path) -> usize {
    std::fs::read_dir(directory).expect("readable").count()
}

/// Opens with an invalid configuration, and returns the error's setting, value and remedy.
fn refusal(config: Config) -> (&'static str, String, String) {
    let error = Logger::open(config).expect_err("an invalid setting");
    let shown = error.to_string();
    let Error::InvalidConfig { setting, value, remedy } = error else { panic!("{shown}") };
    assert!(shown.contains(setting) && shown.contains(&value) && shown.contains(&remedy), "{shown}");
    assert!(!remedy.is_empty());
    (setting, value, remedy)
}

#[test]
fn an_invalid_setting_creates_nothing() {
    let directory = support::directory();
    let path = directory.path().join("log");
    for (spoil, setting, value) in CASES {
        let (shown_setting, shown_value, _) = refusal(spoil(support::config(&path)));
        assert_eq!((shown_setting, shown_value.as_str()), (*setting, *value));
        assert_eq!(entries(directory.path()), 0, "{setting} = {value}");
    }
}

#[test]
fn an_invalid_setting_changes_nothing_in_an_existing_directory() {
    let directory = support::directory();
    std::fs::write(directory.path().join("other"), "not part of a log").expect("writable");
    for (spoil, setting, value) in &CASES[1..] {
        refusal(spoil(support::config(directory.path())));
        assert_eq!(entries(directory.path()), 1, "{setting} = {value}");
    }
}

/// The CPUs that this process may use.
#[cfg(all(target_os = "linux", not(diolog_portable)))]
fn allowed_cpus() -> Vec<usize> {
    core_affinity::get_core_ids().expect("Linux lists them").into_iter().map(|core| core.id).collect()
}

#[cfg(all(target_os = "linux", not(diolog_portable)))]
#[test]
fn a_core_that_does_not_exist_is_refused_with_a_list_of_those_that_do() {
    let directory = support::directory();
    let path = directory.path().join("log");
    for core in [1000, 4096, 1_000_000, usize::MAX] {
        let (setting, value, remedy) = refusal(support::config(&path).writer_core(core));
        assert_eq!((setting, value), ("writer_core", core.to_string()));
        let listed: Vec<usize> =
            remedy.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect();
        assert_eq!(listed, allowed_cpus(), "{remedy}");
        assert_eq!(entries(directory.path()), 0);
    }
    refusal(support::config(directory.path()).writer_core(4095));
    assert_eq!(entries(directory.path()), 0);
}

#[test]
fn direct_io_is_refused_on_a_file_system_without_it() {
    let Ok(directory) = tempfile::tempdir_in("/dev/shm") else {
        return support::not_shown("direct I/O is refused on tmpfs", "no /dev/shm");
    };
    let path = directory.path().join("log");
    for preference in [DevicePreference::Direct, DevicePreference::Pwrite, DevicePreference::IoUring] {
        let (setting, value, remedy) = refusal(Config::new(&path).device(preference));
        assert_eq!((setting, value), ("device", preference.to_string()));
        // The portable build has no direct I/O anywhere, and does not look at the file system.
        assert!(cfg!(diolog_portable) || remedy.contains("tmpfs"), "{remedy}");
        assert_eq!(entries(directory.path()), 0);
    }
}
