//! A burst takes no more memory than rings may take, in a process under any limit: one that locks its memory, one whose
//! address space is limited, one in a small control group. Nothing is killed; what cannot be kept is counted.
#![cfg(all(feature = "unstable", target_os = "linux", not(diolog_portable)))]

mod support;

use std::path::{Path, PathBuf};

use diolog::{Config, Level, Logger, Outcome, RingMemoryStats, Verdict};
use support::control_group::{self, Group};
use support::device::Control;
use support::os;

const MESSAGE: [u8; 64] = [b'm'; 64];

/// The setting by which the kernel counts address space as memory, if it is 2.
const OVERCOMMIT: &str = "/proc/sys/vm/overcommit_memory";

/// Bytes that may be resident beyond what the rings take: buffers, stacks, the test itself.
const MARGIN_BYTES: u64 = 24 << 20;

/// Several producers log a burst each, on a device that takes no write; then it goes on. Returns the ring memory at the
/// height of the burst.
fn burst(config: Config, producers: usize, records: usize) -> RingMemoryStats {
    let path = config.settings().path().to_owned();
    let control = Control::default();
    let before = os::resident_bytes();
    let logger = control.hooks().open(config).expect("a log opens under any limit");
    control.block_submit(true);
    let producers: Vec<_> = (0..producers).map(|_| logger.producer().expect("a ring")).collect();
    let mut written = 0;
    for producer in &producers {
        for _ in 0..records {
            match producer.log(Level::Info, MESSAGE) {
                Outcome::Written => written += 1,
                Outcome::Dropped => {}
                other => panic!("{other:?}"),
            }
        }
    }
    let memory = logger.stats().ring_memory;
    assert!(memory.used_bytes <= memory.limit_bytes, "{memory:?}");
    let grown = os::resident_bytes() - before;
    assert!(grown <= memory.used_bytes + MARGIN_BYTES, "{grown} bytes more are resident, {memory:?}");
    control.block_submit(false);
    drop(producers);
    logger.close().expect("a clean end");
    let verification = diolog::verify(&path).expect("a log");
    assert_eq!((verification.report.records, verification.verdict == Verdict::Lost), (written, false));
    memory
}

fn child_log() -> PathBuf {
    support::child_directory().join("log")
}

#[test]
fn a_reserve_is_neither_locked_nor_populated_in_a_process_that_locks_its_memory() {
    if support::child::ran_in_child("a_reserve_is_neither_locked_nor_populated_in_a_process_that_locks_its_memory") {
        return;
    }
    if let Err(error) = os::lock_future_memory() {
        return support::not_shown("a process that locks its memory", error);
    }
    let logger = Logger::open(support::config(child_log())).expect("a log");
    let before = os::resident_bytes();
    let producer = logger.producer().expect("a ring");
    let grown = os::resident_bytes() - before;
    assert!(grown < 8 << 20, "a ring of 1 MiB, and {grown} bytes more are resident");
    assert_eq!(logger.stats().ring_memory.without_reserve, None);
    assert_eq!(producer.log(Level::Info, MESSAGE), Outcome::Written);
    logger.close().expect("a clean end");
    let memory = burst(support::config(support::child_directory().join("burst")), 2, 100_000);
    assert!(memory.used_bytes > 2 * 100_000 * 88, "{memory:?}");
}

/// The mappings of this process of at least `bytes` that the kernel may not put on huge pages, all together: their
/// bytes in all, those that are resident, and those on huge pages nevertheless. (Threads' stacks are smaller mappings
/// of that kind.)
fn on_small_pages(bytes: u64) -> [u64; 3] {
    let maps = std::fs::read_to_string("/proc/self/smaps").expect("procfs");
    let (mut sums, mut mapping) = ([0; 3], [0; 3]);
    for line in maps.lines() {
        for (index, field) in ["Size:", "Rss:", "AnonHugePages:"].into_iter().enumerate() {
            if let Some(value) = line.strip_prefix(field) {
                mapping[index] = value.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024;
            }
        }
        // The last line of a mapping.
        if let Some(flags) = line.strip_prefix("VmFlags:")
            && flags.split_whitespace().any(|flag| flag == "nh")
            && mapping[0] >= bytes
        {
            (0..3).for_each(|index| sums[index] += mapping[index]);
        }
    }
    sums
}

#[test]
fn the_first_access_to_a_page_of_a_reserve_adds_that_small_page_alone() {
    const TEST: &str = "the_first_access_to_a_page_of_a_reserve_adds_that_small_page_alone";
    const RESERVE_BYTES: u64 = 16 << 20;
    if support::child::ran_in_child(TEST) {
        return;
    }
    if !Path::new("/sys/kernel/mm/transparent_hugepage").exists() {
        return support::not_shown("a reserve on small pages", "the kernel has no huge pages");
    }
    let control = Control::default();
    let config = support::config(child_log()).reserve_bytes(RESERVE_BYTES as usize);
    let logger = control.hooks().open(config).expect("a log");
    control.block_submit(true);
    let before = on_small_pages(RESERVE_BYTES);
    let producer = logger.producer().expect("a ring");
    let grown = || {
        let now = on_small_pages(RESERVE_BYTES);
        [0, 1, 2].map(|index| now[index] - before[index])
    };
    let [size, resident, huge] = grown();
    assert!(size >= RESERVE_BYTES && (resident, huge) == (0, 0), "a reserve of {size} bytes, {resident} resident");
    let used = || logger.stats().ring_memory.used_bytes;
    let window = used();
    while used() == window {
        assert_eq!(producer.log(Level::Info, MESSAGE), Outcome::Written);
    }
    let [_, resident, huge] = grown();
    // The record, and the page after it if it ends there.
    assert!((1..=2).contains(&(resident / 4096)) && huge == 0, "{resident} bytes resident, {huge} on huge pages");
    while used() < window + (4 << 20) {
        assert_eq!(producer.log(Level::Info, MESSAGE), Outcome::Written);
    }
    let [_, resident, huge] = grown();
    assert!(resident <= 4 << 20 && huge == 0, "{resident} bytes resident, {huge} on huge pages");
    control.block_submit(false);
    drop(producer);
    logger.close().expect("a clean end");
}

#[test]
fn reserves_take_a_small_part_of_a_limited_address_space() {
    if support::child::ran_in_child("reserves_take_a_small_part_of_a_limited_address_space") {
        return;
    }
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).expect("in proc(5)");
    let size_bytes = size.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024;
    let limit = size_bytes + (256 << 20);
    os::set_limit(libc::RLIMIT_AS, limit);
    let rings = limit as usize / 8 / (16 << 20) + 4;
    let memory = burst(support::config(child_log()), rings, 50_000);
    let reason = memory.without_reserve.expect("the last rings have none");
    assert!(reason.contains("address space") || reason.contains("memory"), "{reason}");
    assert!(memory.used_bytes > 8 << 20, "the first ones have some");
}

#[test]
fn rings_work_without_a_reserve_where_address_space_counts_as_memory() {
    if support::child::ran_in_child("rings_work_without_a_reserve_where_address_space_counts_as_memory") {
        return;
    }
    let mode = || std::fs::read_to_string(OVERCOMMIT).unwrap_or_default();
    if mode().trim() != "2" {
        // The setting is the whole machine's. This process is told of another one, which shows what the log makes of
        // it; `scripts/overcommit.sh` shows it where the kernel counts address space.
        let told = support::child_directory().join("overcommit");
        std::fs::write(&told, "2\n").expect("writable");
        if let Err(error) = os::make_mounts_private().and_then(|()| os::bind_mount(&told, Path::new(OVERCOMMIT))) {
            let why = format!("vm.overcommit_memory is {}, and cannot be replaced: {error}", mode().trim());
            return support::not_shown("a system that counts address space as memory", why);
        }
    }
    let memory = burst(support::config(child_log()), 1, 100_000);
    assert!(memory.without_reserve.as_ref().expect("a reason").contains("overcommit"));
    assert!(memory.used_bytes <= 2 << 20, "{memory:?}");
}

#[test]
fn a_burst_in_a_small_control_group_is_not_the_end_of_the_process() {
    const TEST: &str = "a_burst_in_a_small_control_group_is_not_the_end_of_the_process";
    const GROUP_BYTES: u64 = 64 << 20;
    if let Some(group) = support::role() {
        control_group::enter(Path::new(&group));
        let memory = burst(support::config(child_log()), 10, 100_000);
        assert_eq!((memory.limit_bytes, memory.group_bytes), (GROUP_BYTES / 4, Some(GROUP_BYTES)));
        assert!(memory.used_bytes > memory.limit_bytes / 2, "{memory:?}");
        return;
    }
    let Some(group) = Group::new(GROUP_BYTES) else { return };
    // On a disk in any case: files in memory would count in the group too.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let role = group.path().to_str().expect("a group's name");
    support::child::expect_success(TEST, role, directory.path());
}
