//! Where the rings are: in private memory of the process, or in a file that outlives it.

use std::env;
use std::path::PathBuf;

use crate::sys;

/// Where a log's rings are. The rings hold the records that are accepted and not durable yet.
///
/// ```no_run
/// use diolog::{Config, Level, Logger, RingMemory};
///
/// # fn main() -> diolog::Result<()> {
/// let logger = Logger::open(Config::new("/var/log/app/orders").ring_memory(RingMemory::shared()))?;
/// logger.log(Level::Info, "survives kill -9 from now on");
/// logger.close()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RingMemory {
    /// In private memory of the process. This is the default. When the process ends, records that are accepted and not
    /// durable are lost.
    #[default]
    Private,
    /// In a mapped file in this directory. Whatever ends the process, accepted records stay there as long as the
    /// machine runs. The next open of the log writes them to the log. See
    /// [`Config::ring_memory`](crate::Config::ring_memory).
    Shared(PathBuf),
}

impl RingMemory {
    /// [`Shared`](RingMemory::Shared), in this user's directory: `diolog` in `$XDG_RUNTIME_DIR`, or
    /// `/dev/shm/diolog-UID` if that is not set. Both are on tmpfs. The runtime directory is removed when the user's
    /// last login session ends: for a program that runs longer, name another directory.
    pub fn shared() -> RingMemory {
        let of_session = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
        RingMemory::Shared(match of_session {
            Some(directory) => directory.join("diolog"),
            None => format!("/dev/shm/diolog-{}", sys::process::user()).into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, EngineConfig};
    use super::*;

    #[test]
    fn the_directory_for_shared_rings_is_absolute_and_the_users_own() {
        let RingMemory::Shared(path) = RingMemory::shared() else { panic!("private") };
        let path = path.to_str().expect("text");
        assert!(path.ends_with("/diolog") || path == format!("/dev/shm/diolog-{}", sys::process::user()), "{path}");
    }

    #[test]
    fn shared_rings_need_a_directory_and_linux() {
        let is_possible = cfg!(all(target_os = "linux", not(any(diolog_portable, loom))));
        let refusal = |path: &str| {
            let memory = RingMemory::Shared(path.into());
            let of_log = Config::new("a").ring_memory(memory.clone()).validate().err().map(|error| error.to_string());
            let of_engine = EngineConfig::new().ring_memory(memory).check().err().map(|error| error.to_string());
            assert_eq!(of_log, of_engine);
            of_log
        };
        let nowhere = "ring_memory is /dev/shm/x: shared rings need Linux; use RingMemory::Private".to_owned();
        assert_eq!(refusal("/dev/shm/x"), (!is_possible).then_some(nowhere));
        assert!(refusal("").is_some_and(|why| why.starts_with("ring_memory is ")));
    }
}
