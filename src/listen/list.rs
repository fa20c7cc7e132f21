//! The listeners of a log, as configured.

use std::fmt;
use std::sync::Arc;

use super::listener::Listener;
use crate::level::Level;

/// Listeners, each with the least severe level that it gets. Two lists are equal if they contain the same listeners.
#[derive(Clone, Default)]
pub(crate) struct Listeners(Vec<(Level, Arc<dyn Listener>)>);

impl Listeners {
    pub(crate) fn add(&mut self, level: Level, listener: Arc<dyn Listener>) {
        self.0.push((level, listener));
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (Level, &Arc<dyn Listener>)> {
        self.0.iter().map(|(level, listener)| (*level, listener))
    }
}

impl PartialEq for Listeners {
    fn eq(&self, other: &Self) -> bool {
        let is_same = |((level, one), (other_level, other)): (&(Level, Arc<_>), &(Level, Arc<_>))| {
            level == other_level && is_same(one, other)
        };
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(is_same)
    }
}

impl Eq for Listeners {}

/// Whether both are the same object.
pub(super) fn is_same(one: &Arc<dyn Listener>, other: &Arc<dyn Listener>) -> bool {
    // Not `Arc::ptr_eq`: it also compares the addresses of vtables, and the compiler may make several of one.
    std::ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(other))
}

impl fmt::Debug for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(level, _)| level)).finish()
    }
}
