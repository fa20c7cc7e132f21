//! What the system says that this process has used.

use std::time::Duration;

/// CPU time of all threads that are or were, the kernel's work for them included. Zero where the system does not tell.
pub(crate) fn cpu_time() -> Duration {
    #[cfg(target_os = "linux")]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
    }
    #[cfg(not(target_os = "linux"))]
    Duration::ZERO
}

/// CPU time of the first thread of this process that has `name`; `None` where the system does not tell.
pub(crate) fn thread_cpu_time(name: &str) -> Option<Duration> {
    let threads = std::fs::read_dir("/proc/self/task").ok()?;
    let is_named = |thread: &std::path::PathBuf| {
        std::fs::read_to_string(thread.join("comm")).is_ok_and(|comm| comm.trim_end() == name)
    };
    let thread = threads.flatten().map(|entry| entry.path()).find(is_named)?;
    // The first number is the time on a CPU, in nanoseconds.
    let schedstat = std::fs::read_to_string(thread.join("schedstat")).ok()?;
    schedstat.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}
