//! The library's settings as options of `diolog write` and `diolog run`.
//!
//! The list below is the command line's only one: it declares the options, and `apply` passes them to [`Config`].

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use diolog::{Config, DevicePreference, RotateAt};

use super::values::{device, number, size};
use crate::exit::Failure;

/// Declares an option for each setting, named as its setter in [`Config`].
macro_rules! settings {
    ($($(#[$attribute:meta])* $name:ident: $value:ty,)*) => {
        #[derive(Debug, Args)]
        pub(crate) struct Settings {
            $($(#[$attribute])* pub(crate) $name: Option<$value>,)*
        }

        impl Settings {
            /// The option of the setting `name`, if it has one and was given, or `always`.
            fn option(&self, name: &str, always: bool) -> Option<String> {
                let is_set = [$((stringify!($name), self.$name.is_some()),)*];
                let known = is_set.into_iter().find(|(setting, is_given)| *setting == name && (*is_given || always));
                known.map(|(setting, _)| option_of(setting))
            }

            /// `config` with the settings that were given.
            pub(crate) fn apply(&self, mut config: Config) -> Config {
                $(if let Some(value) = self.$name.clone() { config = config.$name(value); })*
                config
            }
        }
    };
}

/// The option that is named as the setting is.
pub(super) fn option_of(setting: &str) -> String {
    format!("--{}", setting.replace('_', "-"))
}

/// The log that `write` and `run` write, and its settings.
#[derive(Debug, Args)]
pub(crate) struct WrittenLog {
    /// The log's directory; created if it does not exist
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// TOML file with the library's settings; its path, level and overflow are ignored, and options override it
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) settings: Settings,
}

impl WrittenLog {
    /// The failure to open the log. A setting is named as its option; or, if no option sets it and there is a file of
    /// settings, as in the file.
    pub(crate) fn refused(&self, error: diolog::Error) -> Failure {
        Failure::of(error, |setting| match setting {
            "path" => Some("DIR".to_owned()),
            _ => self.settings.option(setting, self.config.is_none()),
        })
    }
}

settings! {
    /// Also create the directories above the log's, if they do not exist
    #[arg(long, num_args = 0, default_missing_value = "true")]
    create_parents: bool,
    /// Name of the service, stored in each segment
    #[arg(long, value_name = "NAME")]
    service: String,
    /// Longest line that is kept whole; longer lines are cut [default: 1 MiB; with --config, --ring-bytes or
    /// --block-bytes: 64 KiB, or what the ring and the block hold]
    #[arg(long, value_name = "SIZE", value_parser = size::<usize>)]
    message_bytes_max: usize,
    /// Size of the ring that buffers lines before the disk [default: 4 MiB, or what the longest line needs]
    #[arg(long, value_name = "SIZE", value_parser = size::<usize>)]
    ring_bytes: usize,
    /// Size of a block, the largest write to the disk [default: 2 MiB, or what the longest line needs]
    #[arg(long, value_name = "SIZE", value_parser = size::<usize>)]
    block_bytes: usize,
    /// Blocks written at the same time [default: 4]
    #[arg(long, value_name = "NUMBER", value_parser = number::<usize>(..))]
    blocks_in_flight: usize,
    /// Size of a segment file [default: 256 MiB]
    #[arg(long, value_name = "SIZE", value_parser = size::<u64>)]
    segment_bytes: u64,
    /// Begin a new segment file when the current one is this old, such as "1 h" [default: by size only]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    rotate_after: Duration,
    /// Begin a new segment file at these times of the wall clock: hourly or daily in UTC, hourly_local or daily_local
    /// in the local time zone [default: by size only]
    #[arg(long, value_name = "TIMES")]
    rotate_at: RotateAt,
    /// Remove the oldest segments if all together are larger than this [default: keep all]
    #[arg(long, value_name = "SIZE", value_parser = size::<u64>)]
    retain_bytes: u64,
    /// Remove the oldest segments if there are more than this [default: keep all]
    #[arg(long, value_name = "NUMBER", value_parser = number::<u64>(..))]
    retain_segments: u64,
    /// Remove segments whose last write is longer ago than this, such as "30 days" [default: keep all]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    retain_for: Duration,
    /// Longest time that a line waits in memory, such as "100 ms" [default: 100 ms]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    flush_interval: Duration,
    /// Pin the writer thread to this CPU, by the kernel's number [default: not pinned]
    #[arg(long, value_name = "CPU", value_parser = number::<usize>(..))]
    writer_core: usize,
    /// How blocks are written: auto takes the best that works; with the others, it is an error if that one does not
    /// work; direct is io_uring, or else pwrite [default: auto]
    #[arg(long, value_name = "DEVICE", value_parser = device())]
    device: DevicePreference,
}
