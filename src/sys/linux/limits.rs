//! The limits that this process is under: on memory and address space, which `registry` asks for, and on open files,
//! for messages.
//!
//! All are read once, at the call: a limit that changes later is not noticed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};

/// The least memory limit of this process's control groups (version 1 or 2) and of those above them, in bytes. `None`
/// if there is none, or the system does not say.
pub(crate) fn group_memory_bytes() -> Option<u64> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let files = limit_files(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"));
    // A group without a limit holds "max", or in version 1 a number near 2^63.
    let limits = files.iter().filter_map(|file| read_number(file)).filter(|&bytes| bytes < 1 << 60);
    limits.min()
}

/// The least limit on this process's address space and data, in bytes. `None` if there is none.
pub(crate) fn address_space_bytes() -> Option<u64> {
    [Resource::As, Resource::Data].into_iter().filter_map(|resource| getrlimit(resource).current).min()
}

/// Whether the system counts address space as memory, used or not (`vm.overcommit_memory` is 2).
pub(crate) fn counts_address_space() -> bool {
    read_number("/proc/sys/vm/overcommit_memory".as_ref()) == Some(2)
}

/// The limit on this process's open files, if `error` says that it was reached.
pub(crate) fn refused_open_files(error: &io::Error) -> Option<u64> {
    let is_reached = error.raw_os_error() == Some(libc::EMFILE);
    if is_reached { getrlimit(Resource::Nofile).current } else { None }
}

fn read_number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The files that may hold a limit, given the process's control groups and the mounts that it sees.
fn limit_files(groups: &str, mounts: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        // "5:cpu,memory:/path" in version 1, "0::/path" in version 2.
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else { continue };
        let is_version_2 = controllers.is_empty();
        if !is_version_2 && !controllers.split(',').any(|name| name == "memory") {
            continue;
        }
        let file = if is_version_2 { "memory.max" } else { "memory.limit_in_bytes" };
        let Some((root, mount)) = mounts.lines().find_map(|line| group_mount(line, is_version_2)) else { continue };
        // In a container the mount may begin at the container's own group, and the group be named from further up.
        let below = Path::new(group).strip_prefix(root).unwrap_or(Path::new(""));
        files.extend(below.ancestors().map(|group| Path::new(mount).join(group).join(file)));
    }
    files
}

/// The root and the place of a mount of the control groups that limit memory, if the line of `mountinfo` is one.
fn group_mount(line: &str, is_version_2: bool) -> Option<(&str, &str)> {
    let (place, kind) = line.split_once(" - ")?;
    let mut kind = kind.split(' ');
    let (system, options) = (kind.next()?, kind.nth(1)?);
    let is_it = match is_version_2 {
        true => system == "cgroup2",
        false => system == "cgroup" && options.split(',').any(|name| name == "memory"),
    };
    let mut place = place.split(' ').skip(3);
    is_it.then_some((place.next()?, place.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
        25 30 0:23 / /sys rw - sysfs sysfs rw\n\
        26 25 0:24 / /sys/fs/cgroup/cpu rw,nosuid shared:4 - cgroup cgroup rw,cpu\n\
        27 25 0:25 / /sys/fs/cgroup/memory rw,nosuid shared:5 - cgroup cgroup rw,memory\n\
        28 25 0:26 /docker/7 /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n";

    fn files(groups: &str) -> Vec<String> {
        limit_files(groups, MOUNTS).iter().map(|path| path.display().to_string()).collect()
    }

    #[test]
    fn a_group_of_version_1_is_limited_by_itself_and_by_those_above() {
        let base = "/sys/fs/cgroup/memory";
        let expected = [format!("{base}/a/b/memory.limit_in_bytes"), format!("{base}/a/memory.limit_in_bytes")];
        let files = files("9:memory:/a/b\n8:cpu:/c\n");
        assert_eq!(files[..2], expected);
        assert_eq!(files.len(), 3);
    }

    #[test]
    fn a_group_of_version_2_is_named_from_the_root_of_its_mount() {
        let base = "/sys/fs/cgroup/unified";
        assert_eq!(files("0::/docker/7/x\n")[0], format!("{base}/x/memory.max"));
        assert_eq!(files("0::/docker/7\n")[0].replace("//", "/"), format!("{base}/memory.max"));
        assert_eq!(files("0::/elsewhere\n").len(), 1);
    }

    #[test]
    fn what_is_not_understood_limits_nothing() {
        assert!(files("").is_empty() && files("nonsense\n0:\n").is_empty());
        assert!(limit_files("0::/a\n", "").is_empty());
        group_memory_bytes();
    }
}
