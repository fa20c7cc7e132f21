//! The command that `diolog run` runs: a child process that gets the signals which this one gets.
//!
//! A signal is never sent to a process that merely has the child's old number: the child is waited for under the lock
//! that a sender holds.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{self, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

use super::event::Event;
use crate::exit::{Failure, Status};
use crate::input::signals::ignored_signals;

/// The signals that are passed on, unless this process was started with them ignored, as by `nohup`: the command
/// ignores those too then.
const PASSED_ON: [i32; 6] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2];

/// The status of a command that cannot be run, and of one that does not exist, as shells give them.
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;

/// The command, running or ended.
pub(super) struct Child {
    pid: Pid,
    /// Held while a signal is sent, and while the ended child is taken from the kernel, which frees its number.
    state: Mutex<State>,
}

struct State {
    child: process::Child,
    has_ended: bool,
}

/// The reading ends of the command's pipes.
pub(super) struct Outputs {
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
}

/// Checks that `command`, which is not empty, names a program, by the search of execvp(3). A log that is opened for a
/// mistyped name would get a run without records. Only the start itself shows whether the program starts.
///
/// # Errors
/// As [`Child::start`].
pub(super) fn find(command: &[OsString]) -> Result<(), Failure> {
    let [program, ..] = command else { unreachable!("the arguments are checked") };
    let mut refused = Errno::NOENT;
    for file in candidates(program) {
        match accessat(CWD, &file, Access::EXEC_OK, AtFlags::EACCESS) {
            Ok(()) if file.is_dir() => refused = Errno::ACCESS,
            Err(Errno::ACCESS) => refused = Errno::ACCESS,
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            // Also if the question cannot be asked here: a sandbox may refuse it.
            Ok(()) | Err(_) => return Ok(()),
        }
    }
    Err(cannot_run(program, &refused.into()))
}

/// The files that the program's name may stand for.
fn candidates(program: &OsString) -> Vec<PathBuf> {
    if program.as_bytes().contains(&b'/') {
        return vec![program.into()];
    }
    // Without PATH, the C library searches these.
    let path = env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    let directories = env::split_paths(&path).filter(|_| !program.is_empty());
    directories.map(|directory| directory.join(program)).collect()
}

impl Child {
    /// Starts `command`, which is not empty, with this process's standard input.
    ///
    /// # Errors
    /// A [`Failure`] with the status 127 if there is no such program, and 126 if it cannot be run.
    pub(super) fn start(command: &[OsString]) -> Result<(Child, Outputs), Failure> {
        let [program, arguments @ ..] = command else { unreachable!("the arguments are checked") };
        let mut child = Command::new(program)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| cannot_run(program, &error))?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            unreachable!("both are piped");
        };
        let pid = Pid::from_child(&child);
        let state = Mutex::new(State { child, has_ended: false });
        Ok((Child { pid, state }, Outputs { stdout, stderr }))
    }

    /// Waits for the child's end. Returns its exit status, or 128 and the signal that killed it.
    pub(super) fn wait(&self) -> u8 {
        // Leaves the child with the kernel, which keeps its number for it. An error leaves it to the next `wait`.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let _ = rustix::io::retry_on_intr(|| waitid(WaitId::Pid(self.pid), options));
        let mut state = self.lock();
        state.has_ended = true;
        state.child.wait().map_or(CANNOT_RUN, status_of)
    }

    /// Sends `signal` to the child. Returns whether the child is there to get it.
    fn pass_on(&self, signal: i32) -> bool {
        let state = self.lock();
        if let Some(signal) = Signal::from_named_raw(signal).filter(|_| !state.has_ended) {
            // Fails if the child has taken other rights: then the signal is not for this process to send.
            let _ = kill_process(self.pid, signal);
        }
        !state.has_ended
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Receives the signals that are to be passed on, from now on.
pub(super) fn receive_signals() -> io::Result<Signals> {
    let ignored = ignored_signals();
    Signals::new(PASSED_ON.into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0))
}

/// Passes signals on to the child; once it has ended, they are [`Event::Stop`].
pub(super) fn pass_signals_on(mut signals: Signals, child: Arc<Child>, events: Sender<Event>) -> io::Result<()> {
    let pass_on = move || {
        for signal in signals.forever() {
            // The terminal sends Ctrl-C and Ctrl-\ to the command itself. Twice could mean something else to it.
            let from_terminal = matches!(signal, SIGINT | SIGQUIT) && is_in_foreground();
            let passed_on = if from_terminal { !child.lock().has_ended } else { child.pass_on(signal) };
            if !passed_on && events.send(Event::Stop).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("diolog-signals".into()).spawn(pass_on).map(drop)
}

/// The status that a shell gives.
fn status_of(ended: ExitStatus) -> u8 {
    let signal = || 128 + ended.signal().unwrap_or_default();
    u8::try_from(ended.code().unwrap_or_else(signal)).unwrap_or(u8::MAX)
}

fn cannot_run(program: &OsString, error: &io::Error) -> Failure {
    let name = if program.is_empty() { "\"\"".into() } else { program.to_string_lossy() };
    let (message, status) = match error.kind() {
        io::ErrorKind::NotFound if !name.contains('/') => (format!("cannot run {name}: not found in PATH"), NOT_FOUND),
        io::ErrorKind::NotFound => (format!("cannot run {name}: {error}"), NOT_FOUND),
        _ => (format!("cannot run {name}: {error}"), CANNOT_RUN),
    };
    Failure { message, status: Status::Command(status) }
}

/// Whether this process belongs to the process group that its terminal sends signals to.
fn is_in_foreground() -> bool {
    // After the name, which is in parentheses: state, parent, group, session, terminal, the terminal's foreground
    // group.
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    fields.len() > 5 && fields[2] == fields[5]
}
