//! Memory control groups of a test's own: of the version, 1 or 2, whose memory controller this machine has mounted.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A control group with a limit on memory. Its drop removes it, and leaves the group above it as it was.
pub(crate) struct Group {
    directory: PathBuf,
    version: Version,
    _delegation: Option<Delegation>,
}

/// The memory controller of the groups below another one, on while this lives. The drop switches it off again, if it
/// was off.
struct Delegation {
    controllers: PathBuf,
    was_on: bool,
    /// Locked: a test that ends would take the controller from another one's group.
    _parent: fs::File,
}

/// What differs between the two versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// Whether a list of controllers names that of memory.
fn has_memory(controllers: &str) -> bool {
    controllers.split([' ', ',', '\n']).any(|name| name == "memory")
}

impl Version {
    fn is_mounted_by(self, system: &str, mount: &Path, options: &str) -> bool {
        match self {
            Version::One => system == "cgroup" && has_memory(options),
            // A controller that version 1 has is missing here.
            Version::Two => {
                system == "cgroup2"
                    && fs::read_to_string(mount.join("cgroup.controllers")).is_ok_and(|is| has_memory(&is))
            }
        }
    }

    /// Whether a line of `/proc/self/cgroup` names the group of this version that has these controllers.
    fn is_named_by(self, controllers: &str) -> bool {
        match self {
            Version::One => controllers.split(',').any(|name| name == "memory"),
            Version::Two => controllers.is_empty(),
        }
    }

    fn limit(self, directory: &Path, bytes: u64) -> io::Result<()> {
        match self {
            Version::One => fs::write(directory.join("memory.limit_in_bytes"), bytes.to_string()),
            Version::Two => {
                fs::write(directory.join("memory.max"), bytes.to_string())?;
                // The whole group ends, as a container does.
                fs::write(directory.join("memory.oom.group"), "1")
            }
        }
    }

    /// The file that counts kills.
    fn events(self) -> &'static str {
        match self {
            Version::One => "memory.oom_control",
            Version::Two => "memory.events",
        }
    }
}

impl Group {
    /// With a limit of `bytes`. `None`, with a report, if none can be made.
    pub(crate) fn new(bytes: u64) -> Option<Group> {
        let made = own_group().and_then(|(own, version)| Group::make(&own, version, bytes));
        made.inspect_err(|error| super::not_shown("a small control group", error)).ok()
    }

    fn make(own: &Path, version: Version, bytes: u64) -> io::Result<Group> {
        // In version 2, a group that has processes has no groups with controllers below it: the new one stands beside
        // it. The topmost group is an exception.
        let parent = match version {
            Version::Two if own.join("cgroup.type").exists() => own.parent().unwrap_or(own),
            _ => own,
        };
        // Below a service manager it is on already.
        let delegation = if version == Version::Two { Some(Delegation::of(parent)?) } else { None };
        let directory = parent.join(format!("diolog-test-{}", std::process::id()));
        fs::create_dir(&directory)?;
        let group = Group { directory, version, _delegation: delegation };
        version.limit(&group.directory, bytes)?;
        Ok(group)
    }

    /// The group's directory.
    pub(crate) fn path(&self) -> &Path {
        &self.directory
    }

    /// How many of its processes the kernel has killed because of the limit.
    pub(crate) fn kills(&self) -> u64 {
        let events = fs::read_to_string(self.directory.join(self.version.events())).expect("of this version");
        let kills = events.lines().find_map(|line| line.strip_prefix("oom_kill ")).expect("since Linux 4.13");
        kills.parse().expect("a number")
    }
}

impl Delegation {
    fn of(parent: &Path) -> io::Result<Delegation> {
        let directory = fs::File::open(parent)?;
        directory.lock()?;
        let controllers = parent.join("cgroup.subtree_control");
        let was_on = has_memory(&fs::read_to_string(&controllers)?);
        if !was_on {
            // A refusal shows when the limit is set.
            let _ = fs::write(&controllers, "+memory");
        }
        Ok(Delegation { controllers, was_on, _parent: directory })
    }
}

impl Drop for Delegation {
    fn drop(&mut self) {
        if !self.was_on {
            let _ = fs::write(&self.controllers, "-memory");
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The child has ended, or never was in it.
        let _ = fs::remove_dir(&self.directory);
    }
}

/// The directory of this process's control group, of the version that limits memory here.
fn own_group() -> io::Result<(PathBuf, Version)> {
    let (mounts, groups) = (fs::read_to_string("/proc/self/mountinfo")?, fs::read_to_string("/proc/self/cgroup")?);
    for version in [Version::Two, Version::One] {
        let mount = mounts.lines().find_map(|line| {
            let (place, kind) = line.split_once(" - ")?;
            let (mut place, mut kind) = (place.split(' ').skip(3), kind.split(' '));
            let (root, mount) = (place.next()?, Path::new(place.next()?));
            version.is_mounted_by(kind.next()?, mount, kind.nth(1)?).then_some((root, mount))
        });
        let named = groups.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            version.is_named_by(parts.next()?).then(|| parts.next()).flatten()
        });
        if let (Some((root, mount)), Some(named)) = (mount, named) {
            // In a container, the mount may begin at its own group.
            let below = named.strip_prefix(root.trim_end_matches('/')).unwrap_or_default();
            return Ok((mount.join(below.trim_start_matches('/')), version));
        }
    }
    Err(io::Error::other("no control groups of version 1 or 2 that limit memory are mounted"))
}

/// Moves this process into the group with this directory.
pub(crate) fn enter(group: &Path) {
    fs::write(group.join("cgroup.procs"), "0").expect("the test's own group");
}
