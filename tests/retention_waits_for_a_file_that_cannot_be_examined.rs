//! A file that the system cannot examine may be a segment: retention removes none after it, which would leave a gap. But
//! a segment that the run has known, and that the disk does not give back, goes in its turn, and keeps no other one.
#![cfg(all(target_os = "linux", not(diolog_portable)))]

mod support;

use std::process::Command;

use diolog::{Logger, verify};
use support::disk::{on_a_disk, while_unmounted};
use support::os::{Fate, Who, filter_system_calls};
use support::segments::{file, grow, numbers, run, small};

#[test]
fn a_segment_that_cannot_be_examined_is_not_passed_over() {
    on_a_disk(16 << 20, "defaults", "a_segment_that_cannot_be_examined_is_not_passed_over", |disk| {
        let path = disk.join("log");
        run(small(&path), 6);
        let cleared = while_unmounted(disk, |image| {
            support::disk::run(Command::new("debugfs").args(["-w", "-R", "clri /log/00000003.dlog"]).arg(image))
        });
        if let Err(why) = cleared {
            return support::not_shown("a file that cannot be examined", why);
        }
        let error = file(&path, 3).symlink_metadata().expect_err("it has a name, and nothing else");
        assert_ne!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
        let logger = Logger::open(small(&path).retain_segments(1)).expect("a log");
        grow(&logger, 3);
        logger.close().expect("a clean end");
        assert_eq!(numbers(&path), [3, 4, 5, 6, 7, 8, 9], "only those before it are gone");
    });
}

#[test]
fn a_segment_of_the_run_that_the_disk_does_not_give_back_is_removed_in_its_turn() {
    let test = "a_segment_of_the_run_that_the_disk_does_not_give_back_is_removed_in_its_turn";
    if support::child::ran_in_child(test) {
        return;
    }
    let path = support::child_directory().join("log");
    run(small(&path), 2);
    let logger = Logger::open(small(&path).retain_segments(3)).expect("a log");
    grow(&logger, 2);
    while numbers(&path)[0] == 1 {
        std::thread::yield_now();
    }
    // All of them have been read now.
    filter_system_calls(Who::AllThreads, &[libc::SYS_pread64], Fate::Fails(libc::EIO), Fate::Allowed);
    assert!(verify(&path).is_err(), "nothing can be read");
    grow(&logger, 5);
    logger.close().expect("a clean end");
    assert_eq!(numbers(&path), [5, 6, 7]);
}
