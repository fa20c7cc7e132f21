//! The settings of an engine, which all of its logs share.

use super::check::check_ring_memory;
use super::ring_memory::RingMemory;
use super::settings::Config;
#[cfg(feature = "serde")]
use super::words;
use crate::error::{Error, Result};
use crate::format::GRID_BYTES;
use crate::grouped::Size;
use crate::ring::CAPACITY_MIN as RING_BYTES_MIN;

/// The memory of all rings of an engine, by default.
pub(crate) const ENGINE_RINGS_BYTES: usize = 256 << 20;

/// The memory of all blocks of an engine by default, besides two blocks of each log.
pub(crate) const ENGINE_BLOCKS_BYTES: usize = 128 << 20;

/// The settings with which an [`Engine`](crate::Engine) is started. All have a default.
///
/// Each setter takes the value and returns it, so that calls can be chained, as with [`Config`].
///
/// ```
/// use diolog::{Engine, EngineConfig};
///
/// let engine = Engine::start(EngineConfig::new().blocks_bytes_max(64 << 20))?;
/// engine.close()?;
/// # Ok::<(), diolog::Error>(())
/// ```
///
/// # Memory
///
/// An engine with *n* logs takes at most:
///
/// | | bytes |
/// |---|---|
/// | rings | [`rings_bytes_max`](EngineConfig::rings_bytes_max), and twice that if all windows are single ones of 1 MiB |
/// | the common ring, of threads that get none of their own | [`thread_ring_bytes`](Config::thread_ring_bytes) and [`flight_recorder`](Config::flight_recorder) of each log that has such threads |
/// | blocks | [`blocks_bytes_max`](EngineConfig::blocks_bytes_max); without it, 128 MiB + *n* × 2 × [`block_bytes`](Config::block_bytes) |
/// | listeners that are slower than their logs | 2 × [`listener_queue_bytes`](Config::listener_queue_bytes) for each listener of each log |
/// | producers | 4 KiB and four times its name for each that is alive |
/// | everything else | 8 MiB + *n* × 512 KiB |
///
/// An idle log takes less: it has no block, and each of its rings has only its window.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a configuration does nothing until an engine is started with it"]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields, default))]
pub struct EngineConfig {
    pub(crate) writer_core: Option<usize>,
    #[cfg_attr(feature = "serde", serde(with = "words::bytes"))]
    pub(crate) rings_bytes_max: usize,
    #[cfg_attr(feature = "serde", serde(with = "words::some_bytes"))]
    pub(crate) blocks_bytes_max: Option<usize>,
    #[cfg_attr(feature = "serde", serde(with = "words::ring_memory"))]
    pub(crate) ring_memory: RingMemory,
}

impl Default for EngineConfig {
    fn default() -> EngineConfig {
        EngineConfig {
            writer_core: None,
            rings_bytes_max: ENGINE_RINGS_BYTES,
            blocks_bytes_max: None,
            ring_memory: RingMemory::Private,
        }
    }
}

/// The size of the smallest ring. An engine needs at least one.
const RINGS_BYTES_MAX_MIN: usize = RING_BYTES_MIN;

/// Two blocks of the smallest size. Each log needs two.
const BLOCKS_BYTES_MAX_MIN: usize = 2 * GRID_BYTES;

impl EngineConfig {
    /// The default settings.
    pub fn new() -> EngineConfig {
        EngineConfig::default()
    }

    /// The CPU, by the kernel's number, to which the engine's writer thread is pinned: not pinned by default.
    ///
    /// If the CPU does not exist or the kernel refuses it, `start` fails and lists the possible ones.
    /// [`Config::writer_core`] of a log on the engine must be left out, or name the same CPU.
    pub fn writer_core(mut self, cpu: usize) -> EngineConfig {
        self.writer_core = Some(cpu);
        self
    }

    /// Bytes of memory for all rings of all logs together: at least 4096; 256 MiB by default.
    ///
    /// Memory is counted as for [`Config::rings_bytes_max`], which still limits each single log. A window of 1 MiB (the
    /// default) that no other one of its log shares a huge page with takes 2 MiB and counts as one: if each log has one
    /// producer, the engine may take twice this limit; smaller windows do not. In a control group
    /// with a memory limit, the limit is at most a quarter of that. Too small: threads share a ring, and bursts are
    /// dropped. Too large: many busy logs take much memory at once.
    pub fn rings_bytes_max(mut self, bytes: usize) -> EngineConfig {
        self.rings_bytes_max = bytes;
        self
    }

    /// Bytes of memory for the blocks of all logs together, including blocks on their way to the disk: at least two
    /// blocks for each open log, and at least 8192. By default two blocks for each open log, and 128 MiB besides.
    ///
    /// Each log always has two blocks, and takes up to [`blocks_in_flight`](Config::blocks_in_flight) + 2 while there
    /// is room. If you set a limit, opening a log is refused if a log would not get its two. Memory that was allocated
    /// once is kept for later blocks. Too small: busy logs write fewer blocks at once, and throughput falls. Too large:
    /// a burst allocates memory that stays allocated, although the disk is no faster.
    pub fn blocks_bytes_max(mut self, bytes: usize) -> EngineConfig {
        self.blocks_bytes_max = Some(bytes);
        self
    }

    /// Where the rings of all logs are: in private memory of the process by default.
    ///
    /// [`Config::ring_memory`] says when to choose which. The shared rings of all logs are in one file, which exists
    /// while any of the logs is open. A log's own setting must be left out, or be the same.
    pub fn ring_memory(mut self, memory: RingMemory) -> EngineConfig {
        self.ring_memory = memory;
        self
    }

    /// Checks all settings.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for the first one that is invalid.
    pub(crate) fn check(&self) -> Result<()> {
        for (setting, bytes, min) in [
            ("rings_bytes_max", self.rings_bytes_max, RINGS_BYTES_MAX_MIN),
            ("blocks_bytes_max", self.blocks_bytes_max.unwrap_or(usize::MAX), BLOCKS_BYTES_MAX_MIN),
        ] {
            if bytes < min {
                let remedy = format!("use at least {}, for all logs of the engine together", Size(min as u64));
                return Err(Error::invalid(setting, Size(bytes as u64), remedy));
            }
        }
        check_ring_memory(&self.ring_memory)
    }

    /// Checks that a log with `config` can be opened on the engine.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for a setting of the log that contradicts the engine's.
    pub(crate) fn check_log(&self, config: &Config) -> Result<()> {
        match &config.ring_memory {
            RingMemory::Shared(path) if config.ring_memory != self.ring_memory => {
                let engines = match &self.ring_memory {
                    RingMemory::Private => "memory of the process".to_owned(),
                    RingMemory::Shared(own) => own.display().to_string(),
                };
                let remedy = format!(
                    "the engine has the rings of all of its logs in {engines}: leave it out, or start the engine with \
                     it"
                );
                return Err(Error::invalid("ring_memory", path.display(), remedy));
            }
            RingMemory::Private | RingMemory::Shared(_) => {}
        }
        match config.writer_core {
            Some(core) if self.writer_core != Some(core) => {
                let engines = match self.writer_core {
                    None => "is not pinned".to_owned(),
                    Some(own) => format!("is pinned to CPU {own}"),
                };
                let remedy = format!(
                    "the engine's writer thread serves all of its logs, and {engines}: leave it out, or start the \
                     engine with it"
                );
                Err(Error::invalid("writer_core", core, remedy))
            }
            _ => Ok(()),
        }
    }
}
