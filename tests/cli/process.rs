//! Running `diolog` as a child process, on logs in temporary directories.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

#[cfg(target_os = "linux")]
pub(crate) use rustix::process::Signal;
use tempfile::TempDir;

use crate::support;

/// A directory for a log, removed when the test ends.
pub(crate) struct Place {
    directory: TempDir,
}

impl Place {
    pub(crate) fn new() -> Place {
        Place { directory: support::directory() }
    }

    /// The log's directory, which does not exist yet.
    pub(crate) fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A log of `lines`, written by `diolog write`.
    pub(crate) fn with_log(lines: &[u8]) -> Place {
        let place = Place::new();
        let output = run([OsStr::new("write"), place.log().as_os_str()], lines);
        assert_eq!(status(&output), 0, "{}", stderr(&output));
        place
    }

    /// A log of `lines` whose writer was killed after they had become durable.
    pub(crate) fn with_killed_log(lines: &[u8]) -> Place {
        let place = Place::new();
        let log = place.log();
        let log = log.to_str().expect("UTF-8");
        let (mut child, _stdin) = start_writer_of(log, lines);
        child.kill().expect("killed");
        child.wait().expect("its end");
        place
    }

    /// The log's segment files, in order.
    pub(crate) fn segments(&self) -> Vec<PathBuf> {
        let entries = self.log().read_dir().expect("the log");
        let mut segments: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        segments.retain(|path| path.extension().is_some_and(|extension| extension == "dlog"));
        segments.sort();
        segments
    }
}

/// `diolog write` into the log at `log`, which makes each line durable soon, and its input.
pub(crate) fn start_writer(log: &str) -> (Child, ChildStdin) {
    let mut writer = diolog(["write", "--flush-interval", "1 ms", log]).stdin(Stdio::piped()).spawn().expect("a child");
    let input = writer.stdin.take().expect("piped");
    (writer, input)
}

/// The same, after `lines` have become durable.
pub(crate) fn start_writer_of(log: &str, lines: &[u8]) -> (Child, ChildStdin) {
    let (writer, mut input) = start_writer(log);
    input.write_all(lines).expect("written");
    while !run(["cat", "--format", "message", log], b"").stdout.ends_with(lines) {}
    (writer, input)
}

/// The program, without the parts of the environment that would change its behaviour.
pub(crate) fn diolog<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(arguments: I) -> Command {
    // A child inherits what is ignored: these two, if a shell has started the tests in the background.
    #[cfg(target_os = "linux")]
    [libc::SIGINT, libc::SIGQUIT].into_iter().for_each(support::os::reset_signal);
    let mut command = Command::new(env!("CARGO_BIN_EXE_diolog"));
    command.args(arguments).env_remove("DIOLOG_LEVEL").env("TZ", "UTC");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the program with `input` until it ends.
pub(crate) fn run<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(arguments: I, input: &[u8]) -> Output {
    let mut child = diolog(arguments).stdin(Stdio::piped()).spawn().expect("a child");
    let mut stdin = child.stdin.take().expect("piped");
    thread::scope(|scope| {
        // Fails if the program refuses its arguments: it does not read its input then.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().expect("its end")
    })
}

/// The exit status. Fails the test if the program panicked or was killed by a signal.
pub(crate) fn status(output: &Output) -> i32 {
    assert!(!stderr(output).contains("panicked"), "{}", stderr(output));
    output.status.code().unwrap_or_else(|| panic!("ended by {}", output.status))
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// The messages of the log, as `diolog cat --format message` prints them.
pub(crate) fn messages(place: &Place) -> Vec<u8> {
    let output = run(["cat", "--format", "message", place.log().to_str().expect("UTF-8")], b"");
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    output.stdout
}

/// Sends the signal of Ctrl-C.
#[cfg(target_os = "linux")]
pub(crate) fn interrupt(child: &Child) {
    signal(child, Signal::INT);
}

/// Sends a signal.
#[cfg(target_os = "linux")]
pub(crate) fn signal(child: &Child, signal: Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).expect("a signal");
}

/// A mask of a process's signals, by its name in proc(5).
#[cfg(target_os = "linux")]
pub(crate) fn signal_mask(process: &str, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("procfs");
    let mask = status.lines().find_map(|line| line.strip_prefix(name)).expect("in proc(5)");
    u64::from_str_radix(mask.trim(), 16).expect("hexadecimal")
}

/// Whether `signal` is in a mask of the process, by the mask's name in proc(5).
#[cfg(target_os = "linux")]
fn is_in_mask(process: &str, name: &str, signal: Signal) -> bool {
    signal_mask(process, name) >> (signal.as_raw() - 1) & 1 == 1
}

/// Whether a child of this process would get the signal: one that is ignored, as under `nohup`, stays ignored.
#[cfg(target_os = "linux")]
pub(crate) fn is_received(wanted: Signal) -> bool {
    let received = !is_in_mask("self", "SigIgn:", wanted);
    if !received {
        support::not_shown("a signal's end", "this process was started with the signal ignored");
    }
    received
}

/// Whether the program handles signals, as it does soon after its start. SIGQUIT is the last one that it gets a handler
/// for: one that is caught may not be handled yet, but those before it are.
#[cfg(target_os = "linux")]
pub(crate) fn handles_signals(child: &Child) -> bool {
    is_in_mask(&child.id().to_string(), "SigCgt:", Signal::QUIT)
}

/// Sets whether reads and writes of a descriptor fail with EAGAIN instead of waiting.
#[cfg(target_os = "linux")]
pub(crate) fn make_non_blocking(descriptor: impl std::os::fd::AsFd) {
    rustix::io::ioctl_fionbio(descriptor, true).expect("a pipe or a socket");
}

/// The lines of a stream, read by a thread of its own.
pub(crate) fn lines_of(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (send, lines) = channel();
    thread::spawn(move || {
        BufReader::new(stream).lines().map_while(Result::ok).try_for_each(|line| send.send(line)).ok();
    });
    lines
}
