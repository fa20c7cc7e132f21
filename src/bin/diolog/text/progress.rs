//! The progress of a long command: on a terminal only, and not in its first second.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::text::units;

/// A command that ends sooner draws no line.
const SILENT: Duration = Duration::from_secs(1);

/// The time between two drawings: looks alive, costs nothing.
const INTERVAL: Duration = Duration::from_millis(200);

/// A line on standard error that is drawn again and again, and erased when this is dropped.
pub(crate) struct Progress {
    doing: &'static str,
    total_bytes: u64,
    next: Option<Instant>,
    drawn: bool,
}

impl Progress {
    /// The progress of `doing`, such as "verifying", over `total_bytes`.
    pub(crate) fn new(doing: &'static str, total_bytes: u64) -> Progress {
        let next = io::stderr().is_terminal().then(|| Instant::now() + SILENT);
        Progress { doing, total_bytes, next, drawn: false }
    }

    /// Draws the line if [`INTERVAL`] has passed. Reads the clock: do not call it for each record.
    pub(crate) fn update(&mut self, bytes: u64) {
        if self.is_due() {
            self.draw(&self.line(bytes));
        }
    }

    /// [`Progress::update`] with a line of the caller's own.
    pub(crate) fn show(&mut self, line: impl FnOnce() -> String) {
        if self.is_due() {
            self.draw(&line());
        }
    }

    fn is_due(&self) -> bool {
        self.next.is_some_and(|next| Instant::now() >= next)
    }

    fn draw(&mut self, line: &str) {
        self.next = Some(Instant::now() + INTERVAL);
        self.drawn = true;
        let _ = write!(io::stderr(), "\r\x1b[K{line}");
    }

    fn line(&self, bytes: u64) -> String {
        let percent = bytes.min(self.total_bytes) as f64 * 100.0 / self.total_bytes.max(1) as f64;
        format!("{}: {percent:.0} % of {}", self.doing, units::bytes(self.total_bytes))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// The size of the file at `path`, or of all files in that directory. A file that cannot be examined counts as empty.
pub(crate) fn log_bytes(path: &Path) -> u64 {
    let size = |path: &Path| path.metadata().map_or(0, |file| if file.is_file() { file.len() } else { 0 });
    match path.read_dir() {
        Ok(entries) => entries.flatten().map(|entry| size(&entry.path())).sum(),
        Err(_) => size(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_the_work_and_its_percentage() {
        let progress = Progress::new("verifying", 2 << 30);
        assert_eq!(progress.line(1 << 29), "verifying: 25 % of 2.0 GiB");
        assert_eq!(progress.line(u64::MAX), "verifying: 100 % of 2.0 GiB");
        assert_eq!(Progress::new("reading", 0).line(0), "reading: 0 % of 0 B");
    }
}
