//! The reader and `verify` agree on every log, however damaged: the same blocks, the same counts, the same verdict, and
//! as many records.

use std::path::Path;

use proptest::prelude::*;

use super::moved::{Fate, Shape, Writer, fate};
use super::*;

/// Something that happens to a log's files. Files and positions are taken modulo what there is.
#[derive(Clone, Debug)]
enum Damage {
    Flip { file: usize, at: usize, bit: u8 },
    Fill { file: usize, block: usize, blocks: usize, with: u8 },
    Cut { file: usize, at: usize },
    Extend { file: usize, bytes: usize, with: u8 },
    Remove { file: usize },
    Rename { from: usize, to: u64 },
    CopyFile { from: usize, to: usize },
    CopyBlock { from: usize, to: usize, block: usize },
}

fn damage() -> impl Strategy<Value = Damage> {
    use Damage::{CopyBlock, CopyFile, Cut, Extend, Fill, Flip, Remove, Rename};
    let file = || 0..8_usize;
    let with = || prop_oneof![2 => Just(0_u8), 1 => Just(7_u8)];
    prop_oneof![
        4 => (file(), any::<usize>(), 0..8_u8).prop_map(|(file, at, bit)| Flip { file, at, bit }),
        4 => (file(), 0..8_usize, 1..4_usize, with())
            .prop_map(|(file, block, blocks, with)| Fill { file, block, blocks, with }),
        2 => (file(), any::<usize>()).prop_map(|(file, at)| Cut { file, at }),
        1 => (file(), 0..9000_usize, with()).prop_map(|(file, bytes, with)| Extend { file, bytes, with }),
        1 => file().prop_map(|file| Remove { file }),
        1 => (file(), 1..10_u64).prop_map(|(from, to)| Rename { from, to }),
        1 => (file(), file()).prop_map(|(from, to)| CopyFile { from, to }),
        2 => (file(), file(), 0..6_usize).prop_map(|(from, to, block)| CopyBlock { from, to, block }),
    ]
}

/// The log's files, in order.
fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> =
        std::fs::read_dir(directory).expect("list").map(|entry| entry.expect("one").path()).collect();
    files.sort();
    files
}

fn apply(directory: &Path, damage: &Damage) {
    let files = files(directory);
    let Some(count) = std::num::NonZeroUsize::new(files.len()) else { return };
    let path = |file: usize| &files[file % count];
    let change = |file: usize, act: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = std::fs::read(path(file)).expect("read");
        if !bytes.is_empty() {
            act(&mut bytes);
            std::fs::write(path(file), bytes).expect("write");
        }
    };
    match *damage {
        Damage::Flip { file, at, bit } => change(file, &|bytes| {
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
        }),
        Damage::Fill { file, block, blocks, with } => change(file, &|bytes| {
            let begin = (4096 * block).min(bytes.len());
            let end = (begin + 4096 * blocks).min(bytes.len());
            bytes[begin..end].fill(with);
        }),
        Damage::Cut { file, at } => change(file, &|bytes| bytes.truncate(at % bytes.len())),
        Damage::Extend { file, bytes: more, with } => change(file, &|bytes| bytes.resize(bytes.len() + more, with)),
        Damage::Remove { file } => std::fs::remove_file(path(file)).expect("remove"),
        Damage::Rename { from, to } => {
            std::fs::rename(path(from), directory.join(format!("{to:08}.dlog"))).expect("rename");
        }
        Damage::CopyFile { from, to } => {
            let bytes = std::fs::read(path(from)).expect("read");
            std::fs::write(path(to), bytes).expect("write");
        }
        Damage::CopyBlock { from, to, block } => {
            let source = std::fs::read(path(from)).expect("read");
            if let Some(block_bytes) = source.get(4096 * block..4096 * (block + 1)) {
                change(to, &|bytes| {
                    bytes.resize(bytes.len().max(4096 * (block + 1)), 0);
                    bytes[4096 * block..4096 * (block + 1)].copy_from_slice(block_bytes);
                });
            }
        }
    }
}

/// What a run is made by.
type Made = (u64, usize, usize, Vec<Fate>, usize);

fn made() -> impl Strategy<Value = Made> {
    (1..9_u64, 1..4_usize, 1..6_usize, prop::collection::vec(fate(), 0..20), 1..20_usize)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(300), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_reader_and_verify_agree(runs in prop::collection::vec(made(), 1..4), damages in prop::collection::vec(damage(), 0..5)) {
        let directory = directory();
        let mut first_index = 1;
        for (name, (blocks, segment_blocks, in_flight, fates, writes)) in (1..).zip(runs) {
            let shape = Shape { blocks, segment_blocks, in_flight };
            let writer = Writer::write_all(name, first_index, shape, fates, writes);
            writer.run.write(directory.path());
            first_index += writer.run.segments.len() as u64;
        }
        for damage in &damages {
            apply(directory.path(), damage);
        }
        match Reader::open(directory.path()) {
            Ok(_) => {
                let (messages, report) = read(directory.path());
                prop_assert_eq!(messages.len() as u64, report.records);
            }
            // Files without a block prove nothing, and are no error to `verify`.
            Err(_) => prop_assert!(verify(directory.path()).is_err()),
        }
    }
}
