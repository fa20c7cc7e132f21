//! Listeners that show records as lines on standard error and standard output.
//!
//! If a terminal, or the program at the other end of a pipe, does not read, only the listener's thread waits.

use std::env;
use std::fmt;
use std::io::{self, ErrorKind, IsTerminal, Stderr, Stdout, Write, stderr, stdout};
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use super::line;
use super::listener::Listener;
use super::record::{LiveRecord, Missed};
use crate::delays::Delays;
use crate::grouped::counted;
use crate::sync::lock;

/// As many lines as a person can follow and a terminal can take.
const LINES_A_SECOND: u32 = 1_000;

const SECOND: Duration = Duration::from_secs(1);

/// How long a write waits when a non-blocking stream is full.
const WAITS: Delays = Delays { first: Duration::from_millis(1), longest: Duration::from_millis(32) };

macro_rules! stream_listener {
    ($(#[$about:meta])* $name:ident, $stream:ty, $open:path) => {
        $(#[$about])*
        ///
        /// A line looks as `diolog cat` prints it, with the time in UTC: see [`LiveRecord::write_line`]. Each line is
        /// one write. On a terminal levels have colours, unless `NO_COLOR` is set and not empty, or `TERM` is `dumb`.
        /// At most 1,000 lines a second are shown; of the others, only their number.
        ///
        /// A terminal that does not read, or a full pipe, costs only lines. They are counted.
        pub struct $name {
            shown: Shown<$stream>,
        }

        impl $name {
            /// With colours on a terminal, and at most 1,000 lines a second.
            pub fn new() -> $name {
                $name { shown: Shown::new($open()) }
            }

            /// Sets whether levels have colours, whatever the stream is.
            #[must_use]
            pub fn colours(mut self, colours: bool) -> $name {
                self.shown.colours = colours;
                self
            }

            /// Sets how many lines are shown in a second: at least 1.
            #[must_use]
            pub fn lines_per_second(mut self, lines: u32) -> $name {
                self.shown.lines_a_second = lines.max(1);
                self
            }

            /// Lines that were hidden because there were too many in a second, or that could not be written.
            pub fn hidden(&self) -> u64 {
                self.shown.hidden.load(Relaxed)
            }
        }

        impl Default for $name {
            fn default() -> $name {
                $name::new()
            }
        }

        impl Listener for $name {
            fn record(&self, record: &LiveRecord<'_>) {
                self.shown.record(record);
            }

            fn missed(&self, missed: &Missed<'_>) {
                self.shown.note(&missed.to_string());
            }

            fn flush(&self) {
                self.shown.note_hidden(false);
            }

            fn log_ended(&self) {
                self.shown.note_hidden(true);
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let Shown { colours, lines_a_second, .. } = self.shown;
                f.debug_struct(stringify!($name))
                    .field("colours", &colours)
                    .field("lines_per_second", &lines_a_second)
                    .finish_non_exhaustive()
            }
        }
    };
}

stream_listener! {
    /// Shows records as lines on standard error: `Config::listener(Level::Warn, Arc::new(StderrListener::new()))`.
    StderrListener, Stderr, stderr
}

stream_listener! {
    /// Shows records as lines on standard output, for programs that are expected to log there, as in containers.
    StdoutListener, Stdout, stdout
}

/// A stream, and the rules for showing lines on it.
struct Shown<S> {
    stream: S,
    colours: bool,
    lines_a_second: u32,
    /// Lines hidden or not written. Outside the lock, which a hanging write holds.
    hidden: AtomicU64,
    limit: Mutex<Limit>,
}

/// The lines of the present second.
struct Limit {
    /// When the second began.
    begun: Instant,
    lines: u32,
    /// Lines hidden since the last note.
    hidden: u64,
    /// The line being made.
    line: Vec<u8>,
}

impl<S: IsTerminal> Shown<S>
where
    for<'a> &'a S: Write,
{
    fn new(stream: S) -> Shown<S> {
        let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
        let colours = cfg!(unix) && stream.is_terminal() && !is_set("NO_COLOR") && !is_dumb;
        let limit = Limit { begun: Instant::now(), lines: 0, hidden: 0, line: Vec::new() };
        Shown { stream, colours, lines_a_second: LINES_A_SECOND, hidden: AtomicU64::new(0), limit: Mutex::new(limit) }
    }

    fn record(&self, record: &LiveRecord<'_>) {
        let mut limit = lock(&self.limit);
        if limit.begun.elapsed() >= SECOND {
            self.tell_hidden(&mut limit);
            (limit.begun, limit.lines) = (Instant::now(), 0);
        }
        if limit.lines >= self.lines_a_second {
            limit.hidden += 1;
            self.hidden.fetch_add(1, Relaxed);
            return;
        }
        limit.lines += 1;
        self.write(&mut limit, |out| line::line(record, self.colours, out));
    }

    /// Shows a line without regard to the limit.
    fn note(&self, text: &str) {
        self.write(&mut lock(&self.limit), |out| line::note(text, self.colours, out));
    }

    /// Shows how many lines were hidden, if their second has passed or `now` is set.
    fn note_hidden(&self, now: bool) {
        let mut limit = lock(&self.limit);
        if now || limit.begun.elapsed() >= SECOND {
            self.tell_hidden(&mut limit);
        }
    }

    fn tell_hidden(&self, limit: &mut Limit) {
        let hidden = std::mem::take(&mut limit.hidden);
        if hidden > 0 {
            let text = format!("{} in this second", counted(hidden, "more record"));
            self.write(limit, |out| line::note(&text, self.colours, out));
        }
    }

    fn write(&self, limit: &mut Limit, make: impl FnOnce(&mut Vec<u8>)) {
        limit.line.clear();
        make(&mut limit.line);
        limit.line.push(b'\n');
        if write_whole(&mut &self.stream, &limit.line).is_err() {
            // The stream is closed, so nobody can be told.
            self.hidden.fetch_add(1, Relaxed);
        }
    }
}

/// Writes a line, by one call if the stream takes it whole.
fn write_whole(stream: &mut impl Write, mut line: &[u8]) -> io::Result<()> {
    let mut wait = WAITS.first;
    loop {
        // Standard output keeps the rest after a short write.
        let written = if line.is_empty() { stream.flush().map(|()| 0) } else { stream.write(line) };
        match written {
            Ok(_) if line.is_empty() => return Ok(()),
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => {
                line = &line[written..];
                wait = WAITS.first;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // The stream is non-blocking. Perhaps another process that shares it has set that.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                thread::sleep(wait);
                wait = WAITS.after(wait);
            }
            Err(error) => return Err(error),
        }
    }
}
