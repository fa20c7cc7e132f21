//! Small ext4 file systems in a file, mounted in a mount namespace that only the test sees.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use diolog::{Config, Level, Logger, Outcome, Overflow, Producer};

use super::child::{child_command, child_directory, role};
use super::os::{is_root, make_mounts_private};

/// Runs `on_mount` in a child process, on a fresh file system of `bytes` mounted with `options`. `test` is the name of
/// the calling test. Reports it with [`not_shown`](super::not_shown) if this machine cannot mount one.
pub(crate) fn on_a_disk(bytes: u64, options: &str, test: &str, on_mount: impl FnOnce(&Path)) {
    let make = |image: &Path| {
        std::fs::File::create(image).and_then(|file| file.set_len(bytes)).expect("a sparse file");
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(image))
    };
    on_an_image("a small file system", options, test, make, on_mount);
}

/// As [`on_a_disk`], on a compressed file system that cannot be written, with the files that `fill` makes in a
/// directory.
pub(crate) fn on_a_squashfs(test: &str, fill: impl FnOnce(&Path), on_mount: impl FnOnce(&Path)) {
    let make = |image: &Path| {
        let contents = image.with_file_name("contents");
        std::fs::create_dir(&contents).expect("a directory");
        fill(&contents);
        run(Command::new("mksquashfs").args([&contents, image]).args(["-quiet", "-no-progress"]))
    };
    on_an_image("a squashfs", "ro", test, make, on_mount);
}

fn on_an_image(
    what: &str,
    options: &str,
    test: &str,
    make: impl FnOnce(&Path) -> Result<(), String>,
    on_mount: impl FnOnce(&Path),
) {
    if role().is_some() {
        let disk = child_directory();
        if let Err(error) = make_mounts_private() {
            return super::not_shown(what, error);
        }
        let (image, mounted) = (disk.join("image"), disk.join("mounted"));
        let options = format!("loop,{options}");
        match run(Command::new("mount").args(["-o", &options]).arg(image).arg(&mounted)) {
            Ok(()) => on_mount(&mounted),
            Err(why) => super::not_shown(what, why),
        }
        return;
    }
    if !is_root() {
        return super::not_shown(what, "only root may mount one");
    }
    let directory = super::directory();
    std::fs::create_dir(directory.path().join("mounted")).expect("a mount point");
    if let Err(why) = make(&directory.path().join("image")) {
        return super::not_shown(what, why);
    }
    let mut child = child_command(test, "on a small disk", directory.path());
    // Inherited, so that the child's reports of `not_shown` are visible.
    let status = child.stdout(Stdio::null()).stderr(Stdio::inherit()).status().expect("a child process");
    assert!(status.success(), "{status}");
}

/// The number of records that [`begun_log`] logs.
pub(crate) const BEGUN_RECORDS: usize = 100;

/// A time after which `close` gives up on a disk that does not work.
pub(crate) const SHORT: Duration = Duration::from_millis(200);

/// A log at `path` with [`BEGUN_RECORDS`] durable records, and their producer. It drops records if its ring is full.
pub(crate) fn begun_log(path: &Path, close_deadline: Duration) -> (Logger, Producer) {
    let config = Config::new(path).overflow(Overflow::DropNewest).close_deadline(close_deadline);
    let logger = Logger::open(config).expect("a log");
    let producer = logger.producer().expect("a producer");
    (0..BEGUN_RECORDS).for_each(|_| assert_eq!(log_kilobyte(&producer), Outcome::Written));
    logger.flush().expect("a disk that works");
    (logger, producer)
}

/// Logs a record of a thousand bytes.
pub(crate) fn log_kilobyte(producer: &Producer) -> Outcome {
    producer.log(Level::Info, [b'x'; 1000])
}

/// A frozen file system: writes to it wait until this is dropped.
pub(crate) struct Frozen<'a>(&'a Path);

impl Frozen<'_> {
    /// Freezes the file system mounted at `disk`.
    ///
    /// # Errors
    /// The reason that the file system cannot be frozen.
    pub(crate) fn new(disk: &Path) -> Result<Frozen<'_>, String> {
        run(Command::new("fsfreeze").arg("--freeze").arg(disk)).map(|()| Frozen(disk))
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        run(Command::new("fsfreeze").arg("--unfreeze").arg(self.0)).expect("a frozen file system thaws");
    }
}

/// Runs a command to its end.
///
/// # Errors
/// What it printed as an error if it failed.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(text(&output)),
        Err(error) => Err(format!("{}: {error}", command.get_program().display())),
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Shuts down the file system mounted at `disk`, as if its disk had vanished: everything fails with EIO from now on.
///
/// # Errors
/// The reason that it cannot be shut down.
pub(crate) fn shut_down(disk: &Path) -> Result<(), String> {
    super::os::shut_down_file_system(disk).map_err(|error| error.to_string())
}

/// Mounts the image of [`on_a_disk`] again in the place of the one that was shut down.
pub(crate) fn mount_again(disk: &Path) {
    while_unmounted(disk, |_| ());
}

/// Unmounts the file system of [`on_a_disk`], calls `change` with its image, and mounts it again.
pub(crate) fn while_unmounted<R>(disk: &Path, change: impl FnOnce(&Path) -> R) -> R {
    run(Command::new("umount").arg("--lazy").arg(disk)).expect("it is mounted");
    let image = disk.parent().expect("beside the image").join("image");
    let changed = change(&image);
    run(Command::new("mount").args(["-o", "loop"]).arg(image).arg(disk)).expect("it was mounted before");
    changed
}
