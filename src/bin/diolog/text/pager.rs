//! The pager: a program that shows standard output a page at a time, as git uses one.
//!
//! It is `$DIOLOG_PAGER`, else `$PAGER`, else `less`. An empty name or `cat` means none.

use std::env;
use std::io::{self, IsTerminal as _, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGQUIT};

/// What `less` is told if `LESS` is not set: end if all fits on the screen, show colours, leave the text there.
const LESS: &str = "FRX";

/// Characters that only a shell understands: git's list.
const OF_SHELL: &str = "|&;<>()$`\\\"' \t\n*?[#~=%";

/// A running pager. Waits for its end when it is dropped.
pub(crate) struct Pager {
    child: Child,
    // `drop` takes it.
    input: Option<ChildStdin>,
}

impl Pager {
    /// Starts the pager if standard output is a terminal. A pager that cannot be started is not used.
    pub(crate) fn start() -> Option<Pager> {
        let pager = ["DIOLOG_PAGER", "PAGER"].iter().find_map(env::var_os);
        let pager = pager.map_or_else(|| "less".to_owned(), |pager| pager.to_string_lossy().into_owned());
        if matches!(pager.trim(), "" | "cat") || !io::stdout().is_terminal() {
            return None;
        }
        let mut command = if pager.contains(|letter| OF_SHELL.contains(letter)) {
            let mut shell = Command::new("sh");
            shell.args(["-c", &pager]);
            shell
        } else {
            Command::new(&pager)
        };
        if env::var_os("LESS").is_none() {
            command.env("LESS", LESS);
        }
        let mut child = command.stdin(Stdio::piped()).spawn().ok()?;
        let input = child.stdin.take();
        // Ctrl-C is the pager's: it would otherwise be left alone with the terminal.
        for signal in [SIGINT, SIGQUIT] {
            // Without a handler, the signal ends this process as usual.
            let _ = signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)));
        }
        Some(Pager { child, input })
    }

    fn input(&self) -> &ChildStdin {
        self.input.as_ref().expect("taken when this is dropped")
    }
}

impl Write for Pager {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.input().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.input().flush()
    }
}

impl AsFd for Pager {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.input().as_fd()
    }
}

impl Drop for Pager {
    fn drop(&mut self) {
        self.input = None;
        // It belongs to this process, so that waiting works.
        let _ = self.child.wait();
    }
}
