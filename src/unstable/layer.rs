//! A layer on a log's device: it changes some of the calls, and the device below gets the others as they are.

use std::time::Duration;

use crate::device::{BlockWrite, Completion, Device, DeviceReport};

/// What a layer does with the calls of a [`Device`]. A call that it does not change goes to the device `below`.
pub trait DeviceLayer {
    /// As [`Device::submit`].
    fn submit(&mut self, below: &mut dyn Device, write: BlockWrite) {
        below.submit(write);
    }

    /// As [`Device::reap`].
    fn reap(&mut self, below: &mut dyn Device, completions: &mut Vec<Completion>) {
        below.reap(completions);
    }

    /// As [`Device::wait`].
    fn wait(&mut self, below: &mut dyn Device, timeout: Duration) {
        below.wait(timeout);
    }
}

/// A device with a layer on it.
pub(super) struct Layered<L> {
    pub(super) layer: L,
    pub(super) below: Box<dyn Device>,
}

impl<L: DeviceLayer> Device for Layered<L> {
    fn submit(&mut self, write: BlockWrite) {
        self.layer.submit(&mut *self.below, write);
    }

    fn reap(&mut self, completions: &mut Vec<Completion>) {
        self.layer.reap(&mut *self.below, completions);
    }

    fn wait(&mut self, timeout: Duration) {
        self.layer.wait(&mut *self.below, timeout);
    }

    fn in_flight_max(&self) -> usize {
        self.below.in_flight_max()
    }

    fn report(&self) -> &DeviceReport {
        self.below.report()
    }

    fn abandon(self: Box<Self>) {
        self.below.abandon();
    }
}
