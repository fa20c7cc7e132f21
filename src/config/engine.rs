//! The settings of an engine: what its logs share.

use super::settings::Config;
use crate::error::{Error, Result};

/// The settings that an [`Engine`](crate::Engine) is started with. All have a default.
///
/// Each setter takes the value and returns it, so that calls chain, as those of [`Config`] do.
///
/// ```
/// use diolog::{Engine, EngineConfig};
///
/// let engine = Engine::start(EngineConfig::new())?;
/// engine.close()?;
/// # Ok::<(), diolog::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a configuration does nothing until an engine is started with it"]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields, default))]
pub struct EngineConfig {
    pub(crate) writer_core: Option<usize>,
}

impl EngineConfig {
    /// The defaults.
    pub fn new() -> EngineConfig {
        EngineConfig::default()
    }

    /// The CPU, by the kernel's number, to which the engine's writer thread is pinned: not pinned by default.
    ///
    /// If the CPU does not exist or the kernel refuses it, starting fails and lists the possible ones.
    /// [`Config::writer_core`] of a log that is opened on the engine must be left out, or name the same CPU.
    pub fn writer_core(mut self, cpu: usize) -> EngineConfig {
        self.writer_core = Some(cpu);
        self
    }

    /// Checks that a log with `config` can be one of the engine's.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for a setting of the log that contradicts the engine's.
    pub(crate) fn check_log(&self, config: &Config) -> Result<()> {
        match config.writer_core {
            Some(core) if self.writer_core != Some(core) => {
                let engines = match self.writer_core {
                    None => "is not pinned".to_owned(),
                    Some(own) => format!("is pinned to CPU {own}"),
                };
                Err(Error::InvalidConfig {
                    setting: "writer_core",
                    value: core.to_string(),
                    remedy: format!(
                        "the engine's writer thread serves all of its logs, and {engines}: leave it out, or start the \
                         engine with it"
                    ),
                })
            }
            _ => Ok(()),
        }
    }
}
