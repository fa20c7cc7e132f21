//! The places in a program that log structured records: each has an id, which stands in its records, and a definition,
//! which says what their values are.
//!
//! A macro makes a [`Callsite`], a static. Its first record registers it: it gets an id, and the registry a copy of all
//! that it says, since the library that the static is in may be unloaded. From then on the id is one load away. The
//! writer finds [definitions](definition) by id. `event` calls the rest.
//!
//! A callsite in a generic function is one static for all instances, whose values may be of several types. Each list of
//! types has an id of its own. The static's word has the id of one of them; the others are found through the
//! definitions, which form a ring.
//!
//! # What is shared, and when it is safe
//!
//! A [`Sink`] is told of each definition before anybody knows its id. Ids are found without a lock, by any thread. They
//! are given under a lock, which a thread-local mark keeps a signal handler from taking twice. A forked child has all
//! definitions of its parent, and a lock of its own, since its parent's may be held by a thread that the child does not
//! have. That thread may have been storing a definition, or making the chunk for it: the child never touches that
//! place, see [`Index::default`].
//!
//! | name | release | acquire | carries |
//! |---|---|---|---|
//! | callsite known | `Callsite::register` stores `word` | `Callsite::id` | the definition |
//! | definition linked | `register` stores `next` | `find_from` | the definition after it |

use std::cell::Cell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use crate::format::{CallsiteInfo, FieldType};
use crate::level::Level;
use crate::sync::{Inside, lock};
use crate::sys::PerProcess;

/// One place in a program that logs: the data that its macro gives, and the id of its records.
///
/// Only macros make it.
#[derive(Debug)]
pub struct Callsite {
    /// The id in the low 32 bits, the hash of its values' types in the high ones. 0: not registered. The hash of a list
    /// of types is never 0.
    word: AtomicU64,
    place: UntypedCallsite<'static>,
    names: &'static [&'static str],
    /// The callsite's [`number`](Self::number); 0 if it has none yet.
    number: AtomicU32,
}

/// The part of a callsite that does not depend on the types of its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct UntypedCallsite<'a> {
    pub(crate) level: Level,
    pub(crate) line: u32,
    pub(crate) target: &'a str,
    pub(crate) file: &'a str,
    pub(crate) template: &'a str,
}

impl Callsite {
    /// A callsite without an id.
    pub const fn new(
        level: Level,
        target: &'static str,
        file: &'static str,
        line: u32,
        template: &'static str,
        names: &'static [&'static str],
    ) -> Callsite {
        let place = UntypedCallsite { level, line, target, file, template };
        Callsite { word: AtomicU64::new(0), place, names, number: AtomicU32::new(0) }
    }

    /// The callsite's number among those of which a log has asked whether their target is admitted, from 1. It differs
    /// from the ids in records: a callsite without records has no id. `None` if there are no more numbers.
    #[inline]
    pub(crate) fn number_or_assign(&self) -> Option<u32> {
        number_in(&self.number)
    }

    pub(crate) fn target(&self) -> &'static str {
        self.place.target
    }

    /// The id of the records whose values have the types of `hash`, if it is in the callsite itself.
    #[inline(always)]
    pub(crate) fn id(&self, hash: u32) -> Option<u32> {
        // Acquire: _callsite known_. The id is committed with the record, and the writer looks its definition up.
        let word = self.word.load(Acquire);
        ((word >> 32) as u32 == hash).then_some(word as u32)
    }

    /// The id of the records whose values have `types`, with this `hash`: found, or given now. `None` if a signal
    /// handler has interrupted a registration of its own thread.
    #[cold]
    #[inline(never)]
    pub(crate) fn register(&self, types: &[FieldType], hash: u32) -> Option<u32> {
        let word = self.word.load(Acquire);
        if let Some(definition) = defined(word as u32)
            && let Some(found) = find_from(definition, hash)
        {
            return Some(found);
        }
        let id = register(self.place, self.names, types, hash)?;
        if word == 0 {
            // Release: _callsite known_. If several threads register several lists of types, any one may remain here.
            self.word.store(u64::from(hash) << 32 | u64::from(id), Release);
        }
        Some(id)
    }
}

/// Returns the [`number`](Callsite::number) in `word`, and gives it one if it has none. `None` if there are no more.
#[inline]
pub(crate) fn number_in(word: &AtomicU32) -> Option<u32> {
    // Relaxed: the value is all that is needed.
    match word.load(Relaxed) {
        0 => take_number(word),
        number => Some(number),
    }
}

#[cold]
fn take_number(word: &AtomicU32) -> Option<u32> {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_update(Relaxed, Relaxed, |next| next.checked_add(1)).ok()?;
    // If several threads give a number, the first one's stays, and the others are not used.
    Some(word.compare_exchange(0, number, Relaxed, Relaxed).map_or_else(|first| first, |_| number))
}

/// The id of a place that is not a static. Equal places have the same id. `None` as for [`Callsite::register`].
#[cfg(any(all(test, not(loom)), feature = "log", feature = "tracing"))]
pub(crate) fn register_place(place: UntypedCallsite<'_>, fields: &[(&str, FieldType)]) -> Option<u32> {
    let (names, types): (Vec<_>, Vec<_>) = fields.iter().copied().unzip();
    register(place, &names, &types, hash_of(&types))
}

/// The definition of an id; `None` if there is none.
pub(crate) fn definition(id: u32) -> Option<&'static CallsiteInfo> {
    defined(id).map(|definition| &definition.info)
}

/// The name of a field without the mark of a raw identifier, which a macro's caller may write.
pub const fn name(written: &'static str) -> &'static str {
    match written.as_bytes() {
        [b'r', b'#', ..] => written.split_at(2).1,
        _ => written,
    }
}

/// A hash of types, never 0.
pub(crate) const fn hash_of(types: &[FieldType]) -> u32 {
    // FNV-1a, 64 bits, folded.
    let mut hash = 0xCBF2_9CE4_8422_2325_u64;
    let mut at = 0;
    while at < types.len() {
        hash = (hash ^ types[at].code() as u64).wrapping_mul(0x0100_0000_01B3);
        at += 1;
    }
    let folded = (hash ^ hash >> 32) as u32;
    if folded == 0 { 1 } else { folded }
}

/// A definition. It stays at the place of its id for ever.
#[derive(Debug)]
struct Definition {
    info: CallsiteInfo,
    hash: u32,
    /// The id of the next definition that differs only in its types. The last one points to the first.
    next: AtomicU32,
}

/// Finds the definition with the types of `hash` among `first` and those that differ from it only in types.
fn find_from(first: &'static Definition, hash: u32) -> Option<u32> {
    let mut at = first;
    loop {
        if at.hash == hash {
            return Some(at.info.id);
        }
        // Acquire: _definition linked_. In a forked child, a link may lead to a definition that nobody completes.
        at = defined(at.next.load(Acquire))?;
        if std::ptr::eq(at, first) {
            return None;
        }
    }
}

/// Gets all definitions.
pub(crate) trait Sink: Send + Sync {
    /// Gets a definition. Called under the lock of the ids, so it must not log.
    fn define(&self, info: &CallsiteInfo);
}

/// Gives `sink` all definitions that exist, and, as long as `sink` lives, each new one before a record can name it.
pub(crate) fn add_sink(sink: &Arc<impl Sink + 'static>) {
    // If a signal handler on this thread logs from a new place during this call, it is refused.
    let _inside = Inside::enter(&INSIDE);
    let mut index = lock(INDEX.get_or_make());
    (1..=LAST_ID.load(Relaxed)).filter_map(definition).for_each(|info| sink.define(info));
    index.sinks.retain(|sink| sink.strong_count() > 0);
    index.sinks.push(Arc::downgrade(sink) as Weak<dyn Sink>);
}

/// All ids of this process, by content.
static INDEX: PerProcess<Mutex<Index>> = PerProcess::new();

/// Gives an id, or finds that of an equal callsite.
fn register(place: UntypedCallsite<'_>, names: &[&str], types: &[FieldType], hash: u32) -> Option<u32> {
    let _inside = Inside::enter(&INSIDE)?;
    let mut index = lock(INDEX.get_or_make());
    let first = index.by_content.get(&Content { place, names: Names::Of(names) }).copied().and_then(defined);
    if let Some(found) = first.and_then(|first| find_from(first, hash)) {
        return Some(found);
    }
    let id = index.next_id;
    index.next_id = id.checked_add(1)?;
    let fields: Box<[_]> = names.iter().zip(types).map(|(name, field)| ((*name).into(), *field)).collect();
    let info = CallsiteInfo {
        id,
        level: place.level as u8,
        flags: 0,
        line: place.line,
        target: place.target.into(),
        file: place.file.into(),
        template: place.template.into(),
        leading_words: CallsiteInfo::count_leading_words(&fields),
        fields,
        newer: None,
    };
    let next = AtomicU32::new(first.map_or(id, |first| first.next.load(Relaxed)));
    let definition = define(id, Definition { info, hash, next })?;
    index.sinks.iter().filter_map(Weak::upgrade).for_each(|sink| sink.define(&definition.info));
    match first {
        // Release: _definition linked_.
        Some(first) => first.next.store(id, Release),
        None => {
            index.by_content.insert(Content::of(&definition.info), id);
        }
    }
    Some(id)
}

/// The data that equal callsites have in common, whatever the types of their values are.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Content<'a> {
    place: UntypedCallsite<'a>,
    names: Names<'a>,
}

impl Content<'_> {
    fn of(info: &CallsiteInfo) -> Content<'_> {
        let CallsiteInfo { line, target, file, template, .. } = info;
        let level = Level::from_u8(info.level).unwrap_or(Level::Error);
        Content {
            place: UntypedCallsite { level, line: *line, target, file, template },
            names: Names::In(&info.fields),
        }
    }
}

/// The names of fields, borrowed from a callsite or a definition.
#[derive(Clone, Copy)]
enum Names<'a> {
    Of(&'a [&'a str]),
    In(&'a [(Box<str>, FieldType)]),
}

impl Names<'_> {
    fn count(self) -> usize {
        match self {
            Names::Of(names) => names.len(),
            Names::In(fields) => fields.len(),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.count()).map(move |at| match self {
            Names::Of(names) => names[at],
            Names::In(fields) => &*fields[at].0,
        })
    }
}

impl PartialEq for Names<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Names<'_> {}

impl Hash for Names<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.iter().for_each(|name| name.hash(state));
    }
}

/// Gives ids. Each process has one; a forked child makes its own.
struct Index {
    next_id: u32,
    /// One id of each ring of definitions. The hash has fixed keys: std panics if the system refuses random ones.
    by_content: HashMap<Content<'static>, u32, BuildHasherDefault<DefaultHasher>>,
    /// Empty in a forked child, because the sinks are its parent's.
    sinks: Vec<Weak<dyn Sink>>,
}

impl Default for Index {
    /// The index of all definitions that there are: in a forked child, those of its parent. The parent's last id may
    /// have been on its way into the table when it forked, in a chunk that was on its way too. Its place stays unused,
    /// and so does its chunk if that is not there.
    fn default() -> Index {
        let last = LAST_ID.load(Acquire);
        let next_id = match last {
            0 => 1,
            _ if TABLE[place_of(last).chunk].get().is_some() => last.saturating_add(1),
            _ => first_of_chunk(place_of(last).chunk + 1),
        };
        let mut by_content = HashMap::default();
        for Definition { info, .. } in (1..=last).filter_map(defined) {
            // The first definition is in its ring. The last one may not be, if the parent was about to link it.
            by_content.entry(Content::of(info)).or_insert(info.id);
        }
        Index { next_id, by_content, sinks: Vec::new() }
    }
}

/// Definitions by id, in chunks. Each chunk is twice as long as the one before, and none is ever moved.
static TABLE: [OnceLock<Box<[OnceLock<Definition>]>>; CHUNKS] = [const { OnceLock::new() }; CHUNKS];

/// The largest id that was given, or that is being given.
static LAST_ID: AtomicU32 = AtomicU32::new(0);

/// How many definitions are in the first chunk.
pub(crate) const FIRST_CHUNK: u64 = 64;

/// Enough chunks for all ids.
pub(crate) const CHUNKS: usize = 33 - FIRST_CHUNK.ilog2() as usize;

const _: () = assert!(place_of(u32::MAX).chunk == CHUNKS - 1);

/// A place in a table of chunks.
pub(crate) struct InTable {
    pub(crate) chunk: usize,
    pub(crate) at: usize,
}

/// The place of an id, or of another number from 1 on.
#[inline]
pub(crate) const fn place_of(id: u32) -> InTable {
    let number = id as u64 - 1 + FIRST_CHUNK;
    let chunk = number.ilog2() - FIRST_CHUNK.ilog2();
    InTable { chunk: chunk as usize, at: (number - (FIRST_CHUNK << chunk)) as usize }
}

/// The first id of a chunk. The last id is in no chunk.
const fn first_of_chunk(chunk: usize) -> u32 {
    let first = (FIRST_CHUNK << chunk) - FIRST_CHUNK + 1;
    if first > u32::MAX as u64 { u32::MAX } else { first as u32 }
}

fn defined(id: u32) -> Option<&'static Definition> {
    let InTable { chunk, at } = place_of(id.max(1));
    TABLE[chunk].get()?.get(at)?.get().filter(|_| id > 0)
}

/// Stores a definition at the place of its id, which is the next id. Called under the lock.
fn define(id: u32, definition: Definition) -> Option<&'static Definition> {
    // Release: a forked child reads it, whichever thread forks.
    LAST_ID.store(id, Release);
    let InTable { chunk, at } = place_of(id);
    let chunk = TABLE[chunk].get_or_init(|| (0..FIRST_CHUNK << chunk).map(|_| OnceLock::new()).collect());
    let place = chunk.get(at)?;
    let _ = place.set(definition);
    place.get()
}

thread_local! {
    /// Whether this thread holds the lock, or waits for it. A signal handler on this thread must not take it then.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::format::Type;

    const UNSIGNED: [FieldType; 1] = [FieldType::new(Type::Unsigned)];
    const TEXT: [FieldType; 1] = [FieldType::new(Type::Str)];
    const OPTIONAL: [FieldType; 1] = [FieldType::new(Type::Str).optional()];

    const fn callsite(line: u32) -> Callsite {
        Callsite::new(Level::Info, "callsite::tests", file!(), line, "{id}", &["id"])
    }

    fn register(callsite: &Callsite, types: &[FieldType]) -> u32 {
        callsite.register(types, hash_of(types)).expect("outside")
    }

    #[test]
    fn a_callsite_is_registered_once_and_its_definition_says_what_it_does() {
        let site = callsite(line!());
        assert_eq!(site.id(hash_of(&UNSIGNED)), None);
        let id = register(&site, &UNSIGNED);
        assert_eq!((site.id(hash_of(&UNSIGNED)), register(&site, &UNSIGNED)), (Some(id), id));
        let info = definition(id).expect("defined");
        assert_eq!((info.id, info.level, &*info.target, &*info.template), (id, 3, "callsite::tests", "{id}"));
        assert_eq!(*info.fields, [("id".into(), UNSIGNED[0])]);
        assert!(definition(0).is_none() && definition(u32::MAX).is_none());
    }

    #[test]
    fn each_list_of_types_has_an_id_and_an_equal_callsite_the_same_ones() {
        let (site, reloaded) = (callsite(7), callsite(7));
        let ids = [&UNSIGNED, &TEXT, &OPTIONAL].map(|types| register(&site, types));
        assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
        assert_eq!(site.id(hash_of(&UNSIGNED)), Some(ids[0]), "the first stays");
        assert_eq!([&OPTIONAL, &UNSIGNED, &TEXT].map(|types| register(&reloaded, types)), [ids[2], ids[0], ids[1]]);
        assert_eq!([&UNSIGNED, &TEXT, &OPTIONAL].map(|types| register(&site, types)), ids);
        assert_ne!(register(&callsite(8), &UNSIGNED), ids[0], "another line");
        let place = site.place;
        assert_eq!(register_place(place, &[("id", TEXT[0])]), Some(ids[1]));
        assert_ne!(register_place(place, &[("other", TEXT[0])]), Some(ids[1]), "another name");
    }

    #[test]
    fn a_registration_within_a_registration_is_refused() {
        let outer = Inside::enter(&INSIDE);
        assert_eq!(callsite(line!()).register(&UNSIGNED, hash_of(&UNSIGNED)), None);
        drop(outer);
        assert!(callsite(line!()).register(&UNSIGNED, hash_of(&UNSIGNED)).is_some());
    }

    #[test]
    fn threads_that_register_at_the_same_time_agree() {
        let sites: Vec<_> = (0..200).map(|line| callsite(1_000_000 + line)).collect();
        let ids = std::thread::scope(|scope| {
            let threads = [(); 4].map(|()| {
                scope.spawn(|| sites.iter().map(|site| [register(site, &TEXT), register(site, &UNSIGNED)]).collect())
            });
            threads.map(|thread| thread.join().expect("no panic"))
        });
        let first: &Vec<[u32; 2]> = &ids[0];
        assert!(ids.iter().all(|ids| ids == first));
        for ([text, unsigned], site) in first.iter().zip(&sites) {
            assert_eq!(definition(*text).expect("defined").line, site.place.line);
            assert_eq!(definition(*unsigned).expect("defined").fields[0].1, UNSIGNED[0]);
        }
    }

    #[test]
    fn places_in_the_table_follow_each_other() {
        let mut expected = (0, 0);
        for id in 1..=100_000 {
            let InTable { chunk, at } = place_of(id);
            assert_eq!((chunk, at), expected, "{id}");
            if at == 0 {
                assert_eq!(first_of_chunk(chunk), id);
            }
            expected = if at as u64 + 1 == FIRST_CHUNK << chunk { (chunk + 1, 0) } else { (chunk, at + 1) };
        }
        assert_eq!(first_of_chunk(CHUNKS), u32::MAX);
    }

    #[test]
    fn an_index_made_anew_knows_all_definitions_and_leaves_the_last_place_alone() {
        let site = callsite(line!());
        let id = register(&site, &UNSIGNED);
        let index = Index::default();
        assert!(index.next_id > id);
        let content = Content { place: site.place, names: Names::Of(site.names) };
        assert_eq!(index.by_content.get(&content), Some(&id));
    }
}
