//! The definitions of callsites, as the blocks of a log have them.

use crate::block::Definition;
use crate::callsite;

/// The definition of callsite `id`, in `bytes_max` bytes at most. `None` if there is no such callsite.
pub(crate) fn define(id: u32, bytes_max: usize) -> Option<Definition> {
    callsite::definition(id).map(|info| Definition::of(info, bytes_max))
}
