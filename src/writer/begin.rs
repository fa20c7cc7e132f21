//! Begins a log on the writer thread: its buffers and its device are made where they are used.

use std::sync::Arc;

use super::buffers::{Buffers, Pool};
use super::log::LogWriter;
use super::new_log::Begin;
use super::pipeline::Pipeline;
use crate::device::{Device, DeviceReport, DeviceSet};
use crate::error::{Error, Result};
use crate::shared::Shared;

/// What the logs of a writer thread share.
pub(super) struct Resources {
    pub(super) devices: DeviceSet,
    /// `None` for a single log, which has buffers of its own.
    pub(super) pool: Option<Pool>,
}

/// Makes buffers and device on the writer thread, because only this thread uses them. On failure, it removes the files
/// that `open` has made for the run.
pub(super) fn begin_log(begin: Begin, resources: &Resources) -> Result<LogWriter> {
    let (device, buffers) = match make_device(&begin.shared, &begin.device, begin.directory.file_system(), resources) {
        Ok(made) => made,
        Err(error) => {
            begin.undo();
            return Err(error);
        }
    };
    let Begin { shared, publisher, device: _, directory, segments, rings, taps, wrap_device } = begin;
    let device = match wrap_device {
        Some(wrap) => wrap(device),
        None => device,
    };
    taps.begin_log();
    let pipeline = Pipeline::new(Arc::clone(&shared), publisher, device, segments, buffers);
    Ok(LogWriter::new(shared, pipeline, taps, directory, rings))
}

fn make_device(
    shared: &Shared,
    report: &DeviceReport,
    file_system: Option<u64>,
    resources: &Resources,
) -> Result<(Box<dyn Device>, Buffers)> {
    let config = &shared.settings.config;
    // One block is being filled and one waits, while all others are in flight.
    let count = config.blocks_in_flight + 2;
    let buffers = match &resources.pool {
        Some(pool) => pool.share(count, config.block_bytes)?,
        None => Buffers::own(count, config.block_bytes)
            .map_err(|source| Error::io("allocate block buffers for", &config.path, source))?,
    };
    let device = resources
        .devices
        .view(report, config.blocks_in_flight, buffers.made(), file_system)
        .map_err(|source| Error::io("make a device for", &config.path, source))?;
    Ok((device, buffers))
}
