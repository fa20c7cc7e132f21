//! Memory control groups of a test's own.

use std::path::{Path, PathBuf};

/// A memory control group below this process's, in version 1. Its drop removes it.
pub(crate) struct Group(PathBuf);

impl Group {
    /// With a limit of `bytes`. `None`, with a report, if none can be made.
    pub(crate) fn new(bytes: u64) -> Option<Group> {
        let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let own = groups.lines().find_map(|line| line.split_once(":memory:")).map(|(_, path)| path.to_owned());
        let Some(own) = own else {
            super::not_shown("a small control group", "no control group of version 1 limits memory here");
            return None;
        };
        let path = Path::new("/sys/fs/cgroup/memory").join(own.trim_start_matches('/'));
        let group = Group(path.join(format!("diolog-test-{}", std::process::id())));
        let made = std::fs::create_dir(&group.0)
            .and_then(|()| std::fs::write(group.0.join("memory.limit_in_bytes"), bytes.to_string()));
        match made {
            Ok(()) => Some(group),
            Err(error) => {
                super::not_shown("a small control group", error);
                None
            }
        }
    }

    /// The group's directory.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// How many of its processes the kernel has killed because of the limit.
    pub(crate) fn kills(&self) -> u64 {
        let control = std::fs::read_to_string(self.0.join("memory.oom_control")).expect("in version 1");
        let kills = control.lines().find_map(|line| line.strip_prefix("oom_kill ")).expect("since Linux 4.13");
        kills.parse().expect("a number")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The child has ended, or never was in it.
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// Moves this process into the group with this directory.
pub(crate) fn enter(group: &Path) {
    std::fs::write(group.join("cgroup.procs"), "0").expect("the test's own group");
}
