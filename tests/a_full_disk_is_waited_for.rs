//! A disk that fills up and gets space again: the process lives, resumes by itself, and the files agree with the counts.
//! On real file systems, so small that a log's usual sizes do not fit.
#![cfg(all(target_os = "linux", not(diolog_portable)))]

mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;

use diolog::{Config, Level, Logger, Outcome, Reader, State, Verdict, verify};
use support::child::{child_command, child_directory, role};
use support::os::{is_root, make_mounts_private};

/// What the other tenant of the disk gives back.
const BALLAST_BYTES: u64 = 4 << 20;

/// Fills the file system at `disk` through a log, frees some of it, and goes on.
fn fill_and_resume(disk: &Path) {
    let ballast = disk.join("ballast");
    std::fs::write(&ballast, vec![0xBA; BALLAST_BYTES as usize]).expect("room for the ballast");
    let path = disk.join("log");
    // All sizes are the defaults: this disk is smaller than what they ask for.
    let logger = Logger::open(Config::new(&path)).expect("a log");
    let (heard, states) = channel();
    logger.on_state_change(move |state| _ = heard.send(state));
    let producer = logger.producer().expect("a producer");
    let message = [b'x'; 1000];
    let mut accepted = 0_u64;
    let mut log = || match producer.log(Level::Info, message) {
        Outcome::Written => accepted += 1,
        Outcome::Dropped => std::thread::yield_now(),
        other => panic!("{other:?}"),
    };
    while states.try_recv() != Ok(State::Full) {
        log();
    }
    assert!(logger.flush().is_err(), "the disk is full");
    std::fs::remove_file(&ballast).expect("ours to remove");
    assert_eq!(states.recv(), Ok(State::Ok), "it resumes by itself");
    (0..100).for_each(|_| log());
    logger.close().expect("a clean end");

    let verification = verify(&path).expect("a log");
    assert_eq!(verification.verdict, Verdict::Clean, "{verification:#?}");
    assert_eq!(verification.report.records, accepted);
    assert_eq!(Reader::open(&path).expect("a log").count() as u64, accepted);
}

fn on_a_disk_of(bytes: u64, test: &str) {
    if role().is_some() {
        let disk = child_directory();
        if let Err(error) = make_mounts_private() {
            return support::not_shown("a small file system", error);
        }
        let mounted =
            Command::new("mount").args(["-o", "loop"]).arg(disk.join("image")).arg(disk.join("mounted")).output();
        match mounted {
            Ok(output) if output.status.success() => fill_and_resume(&disk.join("mounted")),
            Ok(output) => support::not_shown("a small file system", String::from_utf8_lossy(&output.stderr)),
            Err(error) => support::not_shown("a small file system", error),
        }
        return;
    }
    if !is_root() {
        return support::not_shown("a small file system", "only root may mount one");
    }
    let directory = support::directory();
    let image = directory.path().join("image");
    std::fs::File::create(&image).and_then(|file| file.set_len(bytes)).expect("a sparse file");
    std::fs::create_dir(directory.path().join("mounted")).expect("a mount point");
    match Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image).output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!("mkfs.ext4: {}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => return support::not_shown("a small file system", format!("mkfs.ext4: {error}")),
    }
    let mut child = child_command(test, "on a small disk", directory.path());
    // Inherited, so that what the child cannot show is seen.
    let status = child.stdout(Stdio::null()).stderr(Stdio::inherit()).status().expect("a child process");
    assert!(status.success(), "{status}");
}

#[test]
fn of_16_mib() {
    on_a_disk_of(16 << 20, "of_16_mib");
}

#[test]
fn of_48_mib() {
    on_a_disk_of(48 << 20, "of_48_mib");
}
