//! If the system refuses threads or memory, the caller gets an error, or a counted refusal if no error can be returned.
//! No part of a log is left behind.
#![cfg(all(target_os = "linux", not(diolog_portable)))]

mod support;

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use diolog::{Config, DevicePreference, Error, Level, Logger, Outcome, Reader, RingMemory, Verdict};
use support::os;

fn entries(directory: &Path) -> usize {
    std::fs::read_dir(directory).expect("readable").count()
}

/// Logs a little and closes, to show that the log works.
fn use_and_close(logger: &Logger) {
    for number in 0..100 {
        assert_eq!(logger.log(Level::Info, format!("{number}")), Outcome::Written);
    }
    logger.close().expect("a clean end");
}

/// Opens a log in `root` under a rising limit on `resource` until that succeeds. Every refusal must leave `root` empty.
/// Returns the number of refusals.
fn open_under_rising_limit(
    root: &Path,
    resource: libc::__rlimit_resource_t,
    limits: impl Iterator<Item = u64>,
    enough: u64,
    configure: impl Fn(Config) -> Config,
) -> usize {
    let path = root.join("log");
    let mut refusals = 0;
    for limit in limits {
        os::set_limit(resource, limit);
        let opened = Logger::open(configure(support::config(&path)));
        os::set_limit(resource, enough);
        match opened {
            Ok(logger) => {
                use_and_close(&logger);
                assert_eq!(diolog::verify(&path).expect("a log").verdict, Verdict::Clean);
                return refusals;
            }
            Err(error) => {
                assert!(error.io_error().is_some(), "under a limit of {limit}: {error}");
                assert_eq!(entries(root), 0, "under a limit of {limit}: {error}");
                refusals += 1;
            }
        }
    }
    panic!("no limit was enough");
}

#[test]
fn a_refused_thread_is_an_error() {
    if support::child::ran_in_child("a_refused_thread_is_an_error") {
        return;
    }
    if !os::is_root() {
        return support::not_shown("a refused thread", "only root can become a user that has no other process");
    }
    let root = support::child_directory();
    // A user that no other process has: the limit counts all threads of a user, and does not apply to root.
    let user = 1_000_000_000 + std::process::id();
    for (index, device) in [DevicePreference::Auto, DevicePreference::Buffered].into_iter().enumerate() {
        let root = root.join(index.to_string());
        std::fs::create_dir(&root).expect("writable");
        std::os::unix::fs::chown(&root, Some(user), Some(user)).expect("root may");
        let status = os::fork(|| {
            os::become_user(user, &root);
            let configure = |config: Config| config.device(device);
            let refusals = open_under_rising_limit(Path::new("."), libc::RLIMIT_NPROC, 1..16, 64, configure);
            assert!(refusals > 0, "a log needs a thread");
        });
        assert_eq!(status, 0, "{device}");
    }
}

#[test]
fn refused_memory_for_blocks_is_an_error() {
    if support::child::ran_in_child("refused_memory_for_blocks_is_an_error") {
        return;
    }
    let root = support::child_directory();
    // From the present address space on, in steps of some MiB, so that one more block of 16 MiB fits from time to time.
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).expect("in proc(5)");
    let size_bytes = size.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024;
    let limits = (0..200).map(|step| size_bytes + (16 << 20) + step * (5 << 20));
    let configure = |config: Config| config.block_bytes(16 << 20).segment_bytes(64 << 20);
    let refusals = open_under_rising_limit(&root, libc::RLIMIT_AS, limits, u64::MAX, configure);
    assert!(refusals > 0, "a log needs memory");
}

#[test]
fn refused_memory_for_a_ring_is_an_error() {
    if support::child::ran_in_child("refused_memory_for_a_ring_is_an_error") {
        return;
    }
    let path = support::child_directory().join("log");
    let config = support::config(&path).ring_bytes(1 << 30).rings_bytes_max(8 << 30).thread_ring_bytes(1 << 20);
    let logger = Logger::open(config).expect("open makes no ring");
    assert_eq!(logger.log(Level::Info, "this makes the thread's ring"), Outcome::Written);
    os::set_limit(libc::RLIMIT_AS, 1 << 30);
    let error = logger.producer().expect_err("there is no gigabyte");
    assert_eq!(error.io_error().and_then(std::io::Error::raw_os_error), Some(libc::ENOMEM), "{error}");
    let message = error.to_string();
    assert!(message.starts_with(&format!("cannot allocate a ring for {}: ", path.display())), "{message}");
    os::set_limit(libc::RLIMIT_AS, u64::MAX);
    // Other producers go on.
    assert_eq!(logger.log(Level::Info, "still here"), Outcome::Written);
    logger.close().expect("a clean end");
    assert_eq!(Reader::open(&path).expect("a log").count(), 2);
}

#[test]
fn a_ring_beyond_the_limit_of_all_rings_is_an_error() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let config = support::config(&path).ring_bytes(1 << 20).thread_ring_bytes(1 << 20).rings_bytes_max(2 << 20);
    let logger = Logger::open(config).expect("a log");
    let producers = [logger.producer().expect("the first"), logger.producer().expect("the second")];
    let error = logger.producer().expect_err("two is the limit");
    let Error::RingMemory { ring_bytes, limit_bytes, remedy } = error else { panic!("{error}") };
    assert_eq!((ring_bytes, limit_bytes), (1 << 20, 2 << 20));
    assert!(remedy.contains("rings_bytes_max"), "{remedy}");
    // `Logger::log` returns no error: the thread shares a ring, the only one that may exceed the limit.
    for _ in 0..3 {
        assert_eq!(logger.log(Level::Info, "without a ring of its own"), Outcome::Written);
    }
    assert_eq!(logger.stats().ring_memory.used_bytes, 3 << 20);
    // The ring of an ended producer is reused once its records are durable.
    let [first, second] = producers;
    assert_eq!(first.log(Level::Info, "in the first ring"), Outcome::Written);
    drop(first);
    while logger.stats().producers_ended == 0 {
        logger.flush().expect("durable");
    }
    assert_eq!(logger.log(Level::Info, "in the first ring, again"), Outcome::Written);
    assert_eq!(second.log(Level::Info, "in the second"), Outcome::Written);
    assert_eq!(logger.stats().ring_memory.used_bytes, 3 << 20);
    logger.close().expect("a clean end");
    assert_eq!(Reader::open(&path).expect("a log").count(), 6);
    assert_eq!(diolog::verify(&path).expect("a log").verdict, Verdict::Clean);
}

#[test]
fn one_producer_more_than_a_segment_can_name_is_an_error() {
    let directory = support::directory();
    let path = directory.path().join("log");
    // On a loaded machine the end records of so many producers take longer than the default deadline.
    let config = support::config(&path).ring_bytes(4096).close_deadline(Duration::from_secs(600));
    let logger = Logger::open(config).expect("a log");
    let make = |number: usize| logger.producer_named(&format!("{number:0>255}"));
    let mut producers = Vec::new();
    let error = loop {
        match make(producers.len()) {
            Ok(producer) => producers.push(producer),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::TooManyProducers { count: 40_000, .. }), "{error}");
    assert!(error.to_string().starts_with("40000 producers are alive"), "{error}");
    for producer in &producers {
        assert_eq!(producer.log(Level::Info, "known by its row"), Outcome::Written);
    }
    logger.flush().expect("durable");
    // The next segment's header holds a row for each.
    logger.rotate().expect("it will");
    while logger.stats().segments < 2 {
        assert_eq!(producers[0].log(Level::Info, "goes on"), Outcome::Written);
        logger.flush().expect("durable");
    }
    // A producer that has ended makes room once its records are durable.
    drop(producers.pop());
    while logger.stats().producers_ended == 0 {
        logger.flush().expect("durable");
    }
    producers.push(make(0).expect("there is room for one"));
    drop(producers);
    logger.close().expect("a clean end");
    let verification = diolog::verify(&path).expect("a log");
    assert_eq!(verification.verdict, Verdict::Clean);
    assert_eq!(verification.report.runs[0].producers.len(), 40_001);
}

#[test]
fn no_locked_memory_is_needed() {
    if support::child::ran_in_child("no_locked_memory_is_needed") {
        return;
    }
    os::set_limit(libc::RLIMIT_MEMLOCK, 0);
    let mut path = support::child_directory().join("log");
    if os::is_root() {
        // The limit does not apply to root.
        let root = support::child_directory();
        std::os::unix::fs::chown(&root, Some(65534), Some(65534)).expect("root may");
        os::become_user(65534, &root);
        path = "./log".into();
    }
    let logger = Logger::open(support::config(&path)).expect("no memory needs to be locked");
    use_and_close(&logger);
    assert_eq!(Reader::open(&path).expect("a log").count(), 100);
    assert_eq!(diolog::verify(&path).expect("a log").verdict, Verdict::Clean);
}

#[test]
fn rings_of_ended_threads_make_room_for_those_of_another_size() {
    let directory = support::directory();
    let config = support::config(directory.path().join("log"));
    let config = config.ring_bytes(1 << 20).thread_ring_bytes(64 << 10).rings_bytes_max(1 << 20);
    let logger = Logger::open(config).expect("a log");
    for _ in 0..4 {
        let logger = logger.clone();
        std::thread::spawn(move || assert_eq!(logger.log(Level::Info, "short-lived"), Outcome::Written))
            .join()
            .expect("no panic");
    }
    while logger.stats().producers_ended < 4 {
        logger.flush().expect("durable");
    }
    assert!(logger.stats().ring_memory.used_bytes >= 64 << 10, "a spare ring is kept");
    let producer = logger.producer().expect("the spare ones make room");
    assert_eq!(producer.log(Level::Info, "in a ring of the full size"), Outcome::Written);
    assert_eq!(logger.stats().ring_memory.used_bytes, 1 << 20);
    logger.close().expect("a clean end");
}

/// What may be at a log's path before it is opened.
const BEFORES: [&str; 3] = ["nothing", "a directory", "a log"];

/// Makes the directory `root`, and in it what is there `before` a log is opened.
fn prepare(root: &Path, before: &str) {
    std::fs::create_dir(root).expect("writable");
    match before {
        "nothing" => {}
        "a directory" => std::fs::create_dir(root.join("log")).expect("writable"),
        _ => use_and_close(&Logger::open(support::config(root.join("log"))).expect("a log")),
    }
}

/// The files of a log that is there, by name, and how it verifies; `None` if there is none.
fn state(log: &Path) -> Option<(Vec<OsString>, Option<Verdict>)> {
    let entries = std::fs::read_dir(log).ok()?;
    let mut names: Vec<_> = entries.map(|entry| entry.expect("readable").file_name()).collect();
    names.sort();
    let verdict = (!names.is_empty()).then(|| diolog::verify(log).expect("a log").verdict);
    Some((names, verdict))
}

#[test]
fn a_refused_descriptor_is_an_error() {
    if support::child::ran_in_child("a_refused_descriptor_is_an_error") {
        return;
    }
    let root = support::child_directory();
    let tmpfs = support::rings::on_tmpfs();
    let shared = RingMemory::Shared(tmpfs.path().to_owned());
    // Each needs other descriptors. The last one is for the whole process.
    let configure: [(&str, &dyn Fn(Config) -> Config); 5] = [
        ("defaults", &|config| config),
        ("buffered", &|config| config.device(DevicePreference::Buffered)),
        ("shared", &|config| config.ring_memory(shared.clone()).flight_recorder(64 << 10)),
        ("snapshots", &|config| config.flight_recorder(64 << 10).snapshot_on_panic(true)),
        #[cfg(feature = "signals")]
        ("hangup", &|config| config.rotate_on_hangup(true)),
        #[cfg(not(feature = "signals"))]
        ("defaults", &|config| config),
    ];
    for ((name, configure), before) in configure.iter().flat_map(|case| BEFORES.map(|before| (case, before))) {
        let root = root.join(format!("{name}, {before}"));
        let path = root.join("log");
        prepare(&root, before);
        let expected = state(&path);
        let mut refusals = 0;
        let logger = (3..100).find_map(|limit| {
            os::set_limit(libc::RLIMIT_NOFILE, limit);
            let opened = Logger::open(configure(support::config(&path)));
            os::set_limit(libc::RLIMIT_NOFILE, 1000);
            match opened {
                Ok(logger) => return Some(logger),
                Err(error) => {
                    assert_eq!(state(&path), expected, "{name}, {before}, limit {limit}: {error}");
                    assert_eq!(entries(tmpfs.path()), 0, "{name}, {before}, limit {limit}: {error}");
                }
            }
            refusals += 1;
            None
        });
        use_and_close(&logger.expect("a limit that is enough"));
        let refusals_min = if *name == "defaults" { 3 } else { 1 };
        assert!(refusals >= refusals_min, "{name}, {before}: a log needs descriptors: {refusals}");
    }
}

#[test]
fn a_file_size_limit_that_leaves_no_room_is_an_error_and_no_signal() {
    if support::child::ran_in_child("a_file_size_limit_that_leaves_no_room_is_an_error_and_no_signal") {
        return;
    }
    // The signal for a write beyond the limit, which kills a process, is not ignored here.
    let root = support::child_directory();
    for limit in [0, 1, 4095, 4096, 8192, 100_000] {
        os::set_limit(libc::RLIMIT_FSIZE, limit);
        let error = Logger::open(support::config(root.join("log"))).expect_err("no room for a block");
        assert!(matches!(error, Error::InvalidConfig { setting: "block_bytes", .. }), "{error}");
        assert_eq!(entries(&root), 0, "{error}");
    }
    os::set_limit(libc::RLIMIT_FSIZE, u64::MAX);
    use_and_close(&Logger::open(support::config(root.join("log"))).expect("no limit"));
}

/// Every system call that open makes for the log's files, and may fail. (Removing is how it cleans up.)
#[test]
fn a_refused_system_call_is_survived_or_is_an_error() {
    if support::child::ran_in_child("a_refused_system_call_is_survived_or_is_an_error") {
        return;
    }
    let root = support::child_directory();
    let calls = [
        ("close_range", libc::SYS_close_range),
        ("fallocate", libc::SYS_fallocate),
        ("fcntl", libc::SYS_fcntl),
        ("fdatasync", libc::SYS_fdatasync),
        ("flock", libc::SYS_flock),
        ("fstatfs", libc::SYS_fstatfs),
        ("fsync", libc::SYS_fsync),
        ("ftruncate", libc::SYS_ftruncate),
        ("getdents64", libc::SYS_getdents64),
        ("getrandom", libc::SYS_getrandom),
        ("io_uring_setup", libc::SYS_io_uring_setup),
        ("madvise", libc::SYS_madvise),
        ("membarrier", libc::SYS_membarrier),
        ("pwrite64", libc::SYS_pwrite64),
        #[cfg(target_arch = "x86_64")]
        ("rename", libc::SYS_rename),
        ("renameat", libc::SYS_renameat),
        ("renameat2", libc::SYS_renameat2),
        ("statx", libc::SYS_statx),
        ("unshare", libc::SYS_unshare),
    ];
    let tmpfs = support::rings::on_tmpfs();
    let configure = |config: Config, is_shared: bool| match is_shared {
        true => config.ring_memory(RingMemory::Shared(tmpfs.path().to_owned())).flight_recorder(64 << 10),
        false => config,
    };
    for (name, call) in calls {
        for errno in [libc::EIO, libc::ENOSYS, libc::EPERM] {
            for (before, is_shared) in BEFORES.into_iter().flat_map(|before| [(before, false), (before, true)]) {
                let what = format!("{before}, {name} fails with {errno}, shared rings: {is_shared}");
                let root = root.join(&what);
                let path = root.join("log");
                prepare(&root, before);
                let expected = state(&path);
                let status = os::fork(|| {
                    os::filter_system_calls(os::Who::AllThreads, &[call], os::Fate::Fails(errno), os::Fate::Allowed);
                    let config = support::config(&path).close_deadline(Duration::from_millis(200));
                    if let Ok(logger) = Logger::open(configure(config, is_shared)) {
                        // It may not become durable, but it ends.
                        logger.log(Level::Info, "a record");
                        let _ = logger.close();
                        std::fs::write(root.join("opened"), "").expect("writable");
                    }
                });
                assert_eq!(status, 0, "{what}");
                if !root.join("opened").exists() {
                    assert_eq!(state(&path), expected, "{what}");
                    assert_eq!(entries(tmpfs.path()), 0, "{what}");
                }
                // An open log that cannot be written is left with its rings.
                for entry in std::fs::read_dir(tmpfs.path()).expect("readable") {
                    std::fs::remove_file(entry.expect("readable").path()).expect("ours");
                }
            }
        }
    }
}

#[test]
fn a_full_disk_leaves_nothing_of_a_refused_log() {
    let test = "a_full_disk_leaves_nothing_of_a_refused_log";
    support::disk::on_a_disk(16 << 20, "defaults", test, |disk| {
        let ballast = disk.join("ballast");
        std::fs::create_dir(&ballast).expect("room");
        let mut files = Vec::new();
        while let Ok(()) = std::fs::write(ballast.join(files.len().to_string()), [1; 4096]) {
            files.push(ballast.join(files.len().to_string()));
        }
        let _ = std::fs::remove_file(ballast.join(files.len().to_string()));
        let path = disk.join("log");
        let before = entries(disk);
        let logger = loop {
            match Logger::open(support::config(&path)) {
                Ok(logger) => break logger,
                Err(error) => assert_eq!(entries(disk), before, "{error}"),
            }
            std::fs::remove_file(files.pop().expect("a disk that is not full")).expect("ours");
        };
        // Now there is room for a log.
        files.iter().for_each(|file| std::fs::remove_file(file).expect("ours"));
        use_and_close(&logger);
    });
}
