//! The definitions of callsites in a ring file. A recovery has no others.

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

#[cfg(all(test, target_os = "linux", not(any(diolog_portable, loom))))]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::sys::directory::OpenDirectory;
    use crate::sys::test_directory::directory;

    #[test]
    fn definitions_for_which_there_is_no_room_are_counted() {
        let directory = directory();
        let file = OpenDirectory::open(directory.path()).expect("there").create_to_map("file").expect("a file");
        let contents = Contents::begin(file, "file".into(), "tmpfs", Clock::detect(), [0; 16]).expect("room");
        let definitions = Definitions::new(Arc::new(contents));
        let long = "x".repeat(65_535);
        let info = CallsiteInfo {
            id: 1,
            level: 3,
            flags: 0,
            line: 1,
            target: long.as_str().into(),
            file: long.as_str().into(),
            template: long.as_str().into(),
            fields: Box::default(),
            newer: None,
            leading_words: 0,
        };
        let fit = DEFINITIONS_BYTES_MAX / (8 + 12 + 3 * (2 + 65_535_u64)).next_multiple_of(8);
        (0..fit + 3).for_each(|_| definitions.define(&info));
        assert_eq!(definitions.contents.definitions_lost.load(Ordering::Relaxed), 3);
        let mut lost = [0; 8];
        let at = offset_of!(RawHeader, definitions_lost) as u64;
        crate::sys::fill_at(definitions.contents.file(), &mut lost, at).expect("readable");
        assert_eq!(u64::from_le_bytes(lost), 3);
        // A short one still fits.
        definitions.define(&CallsiteInfo { target: "a".into(), file: "b".into(), template: "c".into(), ..info });
        assert_eq!(definitions.contents.definitions_lost.load(Ordering::Relaxed), 3);
    }
}
