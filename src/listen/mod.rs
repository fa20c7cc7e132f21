//! Listeners: code of the program, or of this library, that gets the records of a log while it is written. Each
//! listener has its own thread.
//!
//! `listener` has the trait that a listener implements, and `record` the value that it gets; `list` is the setting.
//! `tap` is the writer's end: it copies the records of a level while the writer drains them, and never waits. `outlet`
//! is the state that the writers of all logs share with the thread of one listener; `thread` is that thread; `entry`
//! encodes what passes between them. `listening` is the log's handle, for its figures and its end. `line` makes a
//! record a line of text, with `when` for the time. `terminal` has the listeners for standard error and standard
//! output; `text_file` has the one for text files, and `files` names these.
//!
//! Nothing here affects the log: if all listeners failed, the log would be the same.

mod record;
mod listener;
mod list;
mod entry;
mod outlet;
mod tap;
mod thread;
mod listening;
mod when;
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
