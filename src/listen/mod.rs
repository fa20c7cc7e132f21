//! Listeners: code of the program, or of this library, that gets the records of a log while it is written, each on a
//! thread of its own.
//!
//! `listener` is what a listener implements, and `record` what it gets; `list` is the setting. `tap` is the writer's
//! end: it copies the records of a level as it drains them, and never waits. `outlet` is what the writers of all logs
//! and the thread of one listener share; `thread` is that thread; `entry` the bytes between them; `listening` the log's
//! handle, for its figures and its end. `line` makes a line of text of a record, with the time by `when` and without
//! control characters by `escape`; `terminal` has the listeners for standard error and standard output, and `text_file`
//! the one for text files, which `files` names.
//!
//! Nothing here decides what becomes of a record: if all of this failed, the log would be the same.

mod record;
mod listener;
mod list;
mod entry;
mod outlet;
mod tap;
mod thread;
mod listening;
mod when;
mod escape;
mod line;
mod terminal;
mod files;
mod text_file;

pub(crate) use list::Listeners;
pub use listener::Listener;
pub(crate) use listening::Listening;
pub use record::{LiveRecord, Missed};
pub(crate) use tap::{Heard, Taps};
pub use terminal::{StderrListener, StdoutListener};
pub use text_file::TextFileListener;
