//! The definitions of callsites in a ring file. There may be very many, so memory has only their places: a definition
//! is read when a record needs it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;

use zerocopy::FromBytes;

use super::ring_file::DeadRingFile;
use crate::block::CallsiteTable;
use crate::crash::layout::{DEFINITIONS_BYTES_MAX, DEFINITIONS_OFFSET, RawDefinition};
use crate::format::{CallsiteInfo, CallsiteParts, checksum, padded};

/// The highest id of a callsite. Ids are given from 1 on, and a recovery keeps a table up to the highest one that a
/// record has, with some 100 bytes for each.
const CALLSITES_MAX: u32 = 1 << 18;

/// How many bytes of the file are kept as definitions, which take a small multiple of that.
const KEPT_BYTES_MAX: u64 = 256 << 10;

/// The definitions of callsites.
pub(super) struct FoundDefinitions<'a> {
    file: &'a DeadRingFile,
    /// By id, the distance from the first one; those before one that is damaged.
    places: HashMap<u32, u32>,
    /// Some that have been read.
    kept: RefCell<Kept>,
    /// What could not be read, if something.
    damage: RefCell<Option<String>>,
}

#[derive(Default)]
struct Kept {
    infos: HashMap<u32, Rc<CallsiteInfo>>,
    bytes: u64,
}

impl<'a> FoundDefinitions<'a> {
    /// Finds the definitions in `file`.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn find_in(file: &'a DeadRingFile) -> io::Result<FoundDefinitions<'a>> {
        let (mut places, mut at) = (HashMap::new(), DEFINITIONS_OFFSET);
        let end = file.definitions_end();
        let mut has_end = at == end;
        // One that was being added may be beyond the end.
        while let Some((info, next)) = read(file, at)? {
            if info.id <= CALLSITES_MAX {
                places.insert(info.id, (at - DEFINITIONS_OFFSET) as u32);
            }
            at = next;
            has_end |= at == end;
        }
        let what = || format!("the definition of a callsite at offset {at} is damaged, as are those after it");
        let damage = RefCell::new((!has_end).then(what));
        Ok(FoundDefinitions { file, places, kept: RefCell::default(), damage })
    }

    /// What could not be read so far, if something.
    pub(super) fn damage(&self) -> Option<String> {
        self.damage.borrow().clone()
    }

    /// The definition of callsite `id`, if there is one.
    pub(super) fn get(&self, id: u32) -> Option<Rc<CallsiteInfo>> {
        let at = DEFINITIONS_OFFSET + u64::from(*self.places.get(&id)?);
        let mut kept = self.kept.borrow_mut();
        if let Some(info) = kept.infos.get(&id) {
            return Some(Rc::clone(info));
        }
        match read(self.file, at) {
            Ok(Some((info, next))) if info.id == id => {
                if kept.bytes + (next - at) > KEPT_BYTES_MAX {
                    *kept = Kept::default();
                }
                kept.bytes += next - at;
                let info = Rc::new(info);
                kept.infos.insert(id, Rc::clone(&info));
                Some(info)
            }
            _ => {
                let what = || format!("the definition of a callsite at offset {at} cannot be read again");
                self.damage.borrow_mut().get_or_insert_with(what);
                None
            }
        }
    }

    /// Adds the callsite of a structured record with this `payload` to `table`, if it is not there.
    pub(super) fn define(&self, payload: &[u8], table: &mut CallsiteTable) {
        let Some(id) = payload.first_chunk().map(|id| u32::from_le_bytes(*id)) else { return };
        if !table.knows(id) {
            self.get(id).into_iter().for_each(|info| table.add(&info));
        }
    }
}

/// The definition at `at`, and the offset after it; `None` if it is damaged.
fn read(file: &DeadRingFile, at: u64) -> io::Result<Option<(CallsiteInfo, u64)>> {
    let mut raw = [0; size_of::<RawDefinition>()];
    file.read_at(at, &mut raw)?;
    let Ok(raw) = RawDefinition::read_from_bytes(&raw) else { return Ok(None) };
    let begin = at + size_of::<RawDefinition>() as u64;
    let bytes = raw.bytes.get() as usize;
    // No byte is beyond the file's: a shorter one has been refused.
    let end = DEFINITIONS_OFFSET + DEFINITIONS_BYTES_MAX;
    if begin > end || bytes as u64 > end - begin || bytes > CallsiteParts::BYTES_MAX {
        return Ok(None);
    }
    let mut payload = vec![0; bytes];
    file.read_at(begin, &mut payload)?;
    let info = CallsiteInfo::decode(&payload).filter(|_| checksum(&payload) == raw.crc.get());
    Ok(info.map(|info| (info, begin + padded(bytes) as u64)))
}
