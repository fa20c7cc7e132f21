//! `file_mode`, `group` and `create_parents`: who may use the files and directories that a log creates.
#![cfg(unix)]

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use diolog::{Level, Logger};
use support::segments;

/// The permission bits and the group of what is at `path`.
fn access(path: &Path) -> (u32, u32) {
    let metadata = fs::symlink_metadata(path).expect("there");
    (metadata.mode() & 0o7777, metadata.gid())
}

fn files(directory: &Path) -> Vec<PathBuf> {
    directory.read_dir().expect("a directory").map(|entry| entry.expect("an entry").path()).collect()
}

/// A group that this process may give a file: any if it is root, else its own.
fn a_group() -> u32 {
    if support::os::is_root() { 4242 } else { fs::metadata("/proc/self").expect("itself").gid() }
}

#[test]
fn every_file_and_directory_has_the_mode_and_the_group() {
    let directory = support::directory();
    let parent = directory.path().join("logs");
    let path = parent.join("orders");
    let group = a_group();
    // The umask, whatever it is, would take the writing bits of others away.
    let config = segments::small(&path).create_parents(true).file_mode(0o646).group(group);
    let logger = Logger::open(config).expect("a log");
    segments::grow(&logger, 3);
    let while_open = files(&path);
    assert!(while_open.iter().any(|file| file.ends_with("lock")), "{while_open:?}");
    assert!(while_open.len() > 3, "{while_open:?}");
    for file in while_open {
        // The file that is being prepared gets its name meanwhile.
        if !file.ends_with("spare.tmp") {
            assert_eq!(access(&file), (0o646, group), "{}", file.display());
        }
    }
    assert_eq!((access(&path), access(&parent)), ((0o757, group), (0o757, group)));
    logger.close().expect("a clean end");
    assert!(files(&path).iter().all(|file| access(file) == (0o646, group)));
    Logger::open(segments::small(&path)).expect("a log").close().expect("a clean end");
    let modes: Vec<_> = files(&path).iter().map(|file| access(file).0).collect();
    assert!(modes.contains(&0o600) && modes.contains(&0o646), "files that exist keep theirs: {modes:?}");
    assert_eq!(access(&path).0, 0o757);
}

#[test]
fn by_default_they_are_the_owners_alone() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(segments::small(&path)).expect("a log");
    segments::grow(&logger, 2);
    logger.close().expect("a clean end");
    assert_eq!(access(&path).0, 0o700);
    assert!(files(&path).iter().all(|file| access(file).0 == 0o600));
}

#[test]
fn a_segment_has_its_access_before_its_name() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let group = a_group();
    let logger = Logger::open(segments::small(&path).file_mode(0o640).group(group)).expect("a log");
    let (ended, seen) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                for file in files(&path).into_iter().filter(|file| file.extension().is_some_and(|it| it == "dlog")) {
                    assert_eq!(access(&file), (0o640, group), "{}", file.display());
                    seen.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let mut begun = 20;
        segments::grow(&logger, begun);
        // On a busy machine the other thread may come late.
        while seen.load(Ordering::Relaxed) <= 20 && !watching.is_finished() {
            begun += 1;
            segments::grow(&logger, begun);
        }
        ended.store(true, Ordering::Relaxed);
        watching.join().expect("no other access");
    });
    logger.close().expect("a clean end");
}

#[test]
fn missing_parents_are_created_only_if_asked_for() {
    let directory = support::directory();
    let path = directory.path().join("a/b/log");
    let error = Logger::open(support::config(&path)).expect_err("no parent").to_string();
    assert!(error.contains("create that first, or set create_parents"), "{error}");
    assert!(files(directory.path()).is_empty());
    let logger = Logger::open(support::config(&path).create_parents(true)).expect("a log");
    logger.log(Level::Info, "a record");
    logger.close().expect("a clean end");
    assert_eq!(access(&directory.path().join("a/b")).0, 0o700);
    Logger::open(support::config(&path).create_parents(true)).expect("they exist").close().expect("a clean end");
}

#[test]
fn an_open_that_fails_leaves_no_parents_behind() {
    let directory = support::directory();
    fs::write(directory.path().join("file"), "text").expect("written");
    let path = directory.path().join("file/b/log");
    let error = Logger::open(support::config(path).create_parents(true)).expect_err("a file is no parent").to_string();
    assert!(error.contains("file"), "{error}");
    let long = "x".repeat(300);
    let path = directory.path().join("a/b").join(long).join("log");
    Logger::open(support::config(path).create_parents(true)).expect_err("a name that is too long");
    assert_eq!(files(directory.path()).len(), 1, "only the file");
}

#[test]
#[cfg(all(target_os = "linux", not(diolog_portable)))]
fn a_group_that_may_not_be_given_is_refused_and_leaves_nothing_behind() {
    let test = "a_group_that_may_not_be_given_is_refused_and_leaves_nothing_behind";
    let refused = |directory: &Path| {
        let path = directory.join("a/log");
        let config = support::config(&path).create_parents(true).group(0);
        let error = Logger::open(config).expect_err("not a member").to_string();
        assert!(error.contains("cannot get the group 0, to which this process must belong"), "{error}");
        assert!(files(directory).is_empty());
        // In a directory that exists, the lock file is the first that is refused.
        fs::create_dir(directory.join("log")).expect("a directory");
        let error = Logger::open(support::config(directory.join("log")).group(0)).expect_err("not a member");
        assert!(error.to_string().contains("cannot get the group 0"), "{error}");
        assert!(files(&directory.join("log")).is_empty());
    };
    support::os::as_nobody(test, |directory| support::os::set_mode(directory, 0o777), refused);
}
