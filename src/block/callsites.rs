//! The callsites of a log: each one's definition and types, found by its id without a search.
//!
//! The table belongs to the log, and grows as callsites are first used. Which definitions a block holds belongs to the
//! block; an entry only remembers the last block that defined its callsite. So a record costs one look at one cache
//! line here. A definition is encoded once for each log, and copied into each block that uses it.

use std::fmt;

use super::mark::BlockMark;
use crate::format::{
    CallsiteInfo, CallsiteParts, FieldType, GRID_BYTES, PackedCode, RECORD_HEADER_BYTES, WORDS_MAX, Word,
    definition_bytes_max,
};

// The smallest block has room for the types of any callsite.
const _: () = assert!(definition_bytes_max(GRID_BYTES) - RECORD_HEADER_BYTES >= CallsiteParts::BYTES_MIN);

/// A callsite's definition, as a log's blocks store it.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    /// The payload of the definition record.
    pub(crate) payload: Box<[u8]>,
    /// The types of its values.
    pub(crate) types: Box<[FieldType]>,
}

impl Definition {
    /// Encodes the definition of a callsite, in at most `bytes_max` bytes.
    pub(crate) fn of(info: &CallsiteInfo, bytes_max: usize) -> Definition {
        let mut payload = Vec::new();
        info.encode(bytes_max, &mut payload);
        Definition { payload: payload.into(), types: info.fields.iter().map(|(_, of)| *of).collect() }
    }
}

/// [`CallsiteTable::shrink`] forgets callsites that take more than this.
const SHRINK_ABOVE_BYTES: usize = 1 << 20;

/// Finds a callsite by its id, and encodes its definition in at most as many bytes as the second argument says.
pub(crate) type Lookup = fn(u32, usize) -> Option<Definition>;

/// The callsites of one log.
pub(crate) struct CallsiteTable {
    /// Whether records of callsites are packed.
    packs: bool,
    lookup: Lookup,
    /// The most bytes of a definition's payload.
    payload_bytes_max: usize,
    /// By id. An id is a small number: callsites are numbered from 1.
    entries: Vec<TableEntry>,
    /// By id.
    definitions: Vec<Option<Definition>>,
    /// About how many bytes the definitions take.
    definitions_bytes: usize,
}

/// What adding a record needs to know about its callsite.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct TableEntry {
    /// The last block that has the callsite's definition.
    defined_in: BlockMark,
    pub(super) code: PackedCode,
    /// Bytes of the plain values, if all of them are words; otherwise [`NO_WORDS`](TableEntry::NO_WORDS).
    words_bytes: u32,
    words: [Word; WORDS_MAX],
}

const _: () = assert!(size_of::<TableEntry>() == 64);

impl TableEntry {
    /// Larger than any record.
    const NO_WORDS: u32 = u32::MAX;

    fn new(id: u32, types: &[FieldType]) -> TableEntry {
        let mut words = [Word::Unsigned; WORDS_MAX];
        let all = types.len() <= WORDS_MAX
            && types.iter().zip(&mut words).all(|(&of, word)| Word::of(of).map(|of| *word = of).is_some());
        let words_bytes = if all { 8 * types.len() as u32 } else { TableEntry::NO_WORDS };
        TableEntry { defined_in: BlockMark::NONE, code: PackedCode::new(id), words_bytes, words }
    }

    /// The types of the values and the values, if all of them are words and `plain` has the right length.
    #[inline(always)]
    pub(super) fn words<'a>(&self, plain: &'a [u8]) -> Option<(&[Word; WORDS_MAX], &'a [[u8; 8]])> {
        (plain.len() == self.words_bytes as usize).then_some((&self.words, plain.as_chunks().0))
    }
}

impl CallsiteTable {
    /// For a log with blocks of `block_bytes`.
    pub(crate) fn new(packs: bool, block_bytes: usize, lookup: Lookup) -> CallsiteTable {
        let payload_bytes_max = definition_bytes_max(block_bytes) - RECORD_HEADER_BYTES;
        CallsiteTable {
            packs,
            lookup,
            payload_bytes_max,
            entries: Vec::new(),
            definitions: Vec::new(),
            definitions_bytes: 0,
        }
    }

    /// Whether records of callsites are packed.
    #[inline(always)]
    pub(crate) fn packs(&self) -> bool {
        self.packs
    }

    /// Callsite `id`, if `block` has its definition already.
    #[inline(always)]
    pub(super) fn entry_in(&self, id: u32, block: BlockMark) -> Option<&TableEntry> {
        self.entries.get(id as usize).filter(|entry| entry.defined_in == block)
    }

    /// The definition of callsite `id`, if it was looked up before.
    pub(super) fn definition(&self, id: u32) -> Option<&Definition> {
        self.definitions.get(id as usize)?.as_ref()
    }

    /// The definition of callsite `id`, looked up if needed; `None` if no callsite has this id.
    pub(super) fn find(&mut self, id: u32) -> Option<&Definition> {
        if self.definition(id).is_none() {
            let found = (self.lookup)(id, self.payload_bytes_max)?;
            self.insert(id, found);
        }
        self.definition(id)
    }

    /// Whether callsite `id` was looked up or added.
    pub(crate) fn knows(&self, id: u32) -> bool {
        self.definition(id).is_some()
    }

    /// Forgets all callsites if they take much memory. Not while a block is being filled: it would be defined there
    /// again.
    pub(crate) fn shrink(&mut self) {
        if self.definitions_bytes > SHRINK_ABOVE_BYTES {
            self.entries.clear();
            self.definitions.clear();
            self.definitions_bytes = 0;
        }
    }

    /// Adds a callsite that the lookup does not know.
    pub(crate) fn add(&mut self, info: &CallsiteInfo) {
        self.insert(info.id, Definition::of(info, self.payload_bytes_max));
    }

    fn insert(&mut self, id: u32, definition: Definition) {
        let index = id as usize;
        if self.entries.len() <= index {
            self.entries.resize(index + 1, TableEntry::new(0, &[]));
            self.definitions.resize(index + 1, None);
        }
        self.definitions_bytes += definition.payload.len() + size_of::<Definition>();
        self.entries[index] = TableEntry::new(id, &definition.types);
        self.definitions[index] = Some(definition);
    }

    /// Notes that `block` has the definition of callsite `id`.
    pub(super) fn note_defined(&mut self, id: u32, block: BlockMark) {
        if let Some(entry) = self.entries.get_mut(id as usize) {
            entry.defined_in = block;
        }
    }
}

impl fmt::Debug for CallsiteTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.definitions.iter().flatten().count();
        f.debug_struct("CallsiteTable").field("packs", &self.packs).field("known", &known).finish()
    }
}
