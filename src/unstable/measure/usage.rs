//! CPU time that this process has used, as the system reports it.

use std::time::Duration;

/// CPU time of all threads, ended ones included, in user and kernel mode. Zero if the system does not report it.
pub fn cpu_time() -> Duration {
    #[cfg(target_os = "linux")]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
    }
    #[cfg(not(target_os = "linux"))]
    Duration::ZERO
}

/// CPU time of the writer thread of this process's first log; `None` if the system does not report it.
pub fn writer_cpu_time() -> Option<Duration> {
    let threads = std::fs::read_dir("/proc/self/task").ok()?;
    let is_writer = |thread: &std::path::PathBuf| {
        std::fs::read_to_string(thread.join("comm")).is_ok_and(|comm| comm.trim_end() == "diolog-writer")
    };
    let thread = threads.flatten().map(|entry| entry.path()).find(is_writer)?;
    // The first number is the time on a CPU, in nanoseconds.
    let schedstat = std::fs::read_to_string(thread.join("schedstat")).ok()?;
    schedstat.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}
