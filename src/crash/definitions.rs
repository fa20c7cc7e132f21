//! The definitions of callsites in a ring file: recovery knows no other ones.

use std::mem::offset_of;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use zerocopy::IntoBytes;
use zerocopy::little_endian::U32;

use super::contents::Contents;
use super::layout::{DEFINITIONS_BYTES_MAX, DEFINITIONS_OFFSET, RawDefinition, RawHeader};
use crate::callsite::Sink;
use crate::format::{CallsiteInfo, checksum};
use crate::sync::lock;

/// Writes each definition into the file before a record can name it.
pub(super) struct Definitions {
    contents: Arc<Contents>,
    /// The offset after the last one.
    end: Mutex<u64>,
}

impl Definitions {
    /// For a file that has none.
    pub(super) fn new(contents: Arc<Contents>) -> Definitions {
        Definitions { contents, end: Mutex::new(DEFINITIONS_OFFSET) }
    }

    /// Appends an encoded definition. Returns whether there was room.
    fn append(&self, payload: &[u8]) -> bool {
        let mut end = lock(&self.end);
        let raw = RawDefinition { bytes: U32::new(payload.len() as u32), crc: U32::new(checksum(payload)) };
        let mut bytes = [raw.as_bytes(), payload].concat();
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        let new_end = *end + bytes.len() as u64;
        let written = new_end <= DEFINITIONS_OFFSET + DEFINITIONS_BYTES_MAX
            && self.contents.write(*end, &bytes).is_ok()
            && self.contents.write(offset_of!(RawHeader, definitions_end) as u64, &new_end.to_le_bytes()).is_ok();
        if written {
            *end = new_end;
        }
        written
    }
}

impl Sink for Definitions {
    fn define(&self, info: &CallsiteInfo) {
        if !self.contents.is_own() {
            return;
        }
        let mut payload = Vec::new();
        // As long as it is: recovery cuts it to what fits a block.
        info.encode(usize::MAX, &mut payload);
        if !self.append(&payload) {
            let lost = self.contents.definitions_lost.fetch_add(1, Ordering::Relaxed) + 1;
            // The page is there, so that the write is not refused.
            let _ = self.contents.write(offset_of!(RawHeader, definitions_lost) as u64, &lost.to_le_bytes());
        }
    }
}
