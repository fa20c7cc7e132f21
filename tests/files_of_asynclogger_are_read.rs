//! Files of asynclogger, the Go logger that diolog descends from: every entry is read, whatever is damaged around it,
//! and nothing else is.

use std::io::{self, Cursor, Read, Seek, SeekFrom, Write as _};

use diolog::asynclogger::{DamageKind, Reader, Report};
use proptest::prelude::*;

/// A file as the Go program wrote it: each of `blocks` with zeros up to its capacity, cut to `length`.
fn sample(mut blocks: &[u8], length: usize) -> Vec<u8> {
    let mut file = Vec::new();
    while let Some((header, rest)) = blocks.split_first_chunk::<8>() {
        let [capacity, valid] = [&header[..4], &header[4..]].map(number);
        let end = file.len() + capacity;
        let valid = valid.min(rest.len());
        file.extend_from_slice(header);
        file.extend_from_slice(&rest[..valid]);
        file.resize(end, 0);
        blocks = &rest[valid..];
    }
    assert!(file.len() >= length, "the sample has all bytes");
    file.truncate(length);
    file
}

macro_rules! sample {
    ($name:literal, $length:literal) => {
        sample(include_bytes!(concat!("asynclogger/", $name, ".blocks")), $length)
    };
}

fn number(bytes: &[u8]) -> usize {
    u32::from_le_bytes(bytes.try_into().expect("four bytes")) as usize
}

/// All entries of `file` and the report. Each entry's bytes are those of the file.
fn read(file: &[u8]) -> (Vec<(u64, Vec<u8>)>, Report) {
    let mut reader = Reader::new(Cursor::new(file), "in memory").expect("a length");
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry().expect("memory can be read") {
        let at = entry.offset() as usize;
        assert_eq!(number(&file[at..at + 4]), entry.message().len());
        assert_eq!(&file[at + 4..at + 4 + entry.message().len()], entry.message());
        entries.push((entry.offset(), entry.message().to_vec()));
    }
    assert_eq!(reader.report().entries, entries.len() as u64);
    (entries, reader.report().clone())
}

fn messages(file: &[u8]) -> Vec<String> {
    read(file).0.into_iter().map(|(_, message)| String::from_utf8(message).expect("text")).collect()
}

/// FNV-1a over each entry's length and bytes.
fn hash(entries: &[(u64, Vec<u8>)]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for (_, entry) in entries {
        for byte in (entry.len() as u32).to_le_bytes().iter().chain(entry) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
    hash
}

/// A block of `entries` with stale bytes after them.
fn block(capacity: usize, entries: &[&str], stale: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    for entry in entries {
        data.extend_from_slice(&(entry.len() as u32).to_le_bytes());
        data.extend_from_slice(entry.as_bytes());
    }
    let mut block = Vec::new();
    block.extend_from_slice(&(capacity as u32).to_le_bytes());
    block.extend_from_slice(&(data.len() as u32).to_le_bytes());
    block.extend_from_slice(&data);
    block.extend_from_slice(&stale[..stale.len().min(capacity - block.len())]);
    block.resize(capacity, 0);
    block
}

/// Three blocks of 512 bytes with ten entries.
fn small() -> Vec<u8> {
    let mut file = block(512, &["one\n", "two\n", "three\n", "four\n"], b"");
    file.extend(block(512, &["five\n", "six\n", "seven, which is a little longer than the others\n"], b""));
    file.extend(block(512, &["eight\n", "nine\n", "ten\n"], b""));
    file
}

#[test]
fn every_entry_of_the_files_of_both_versions_is_read_in_order() {
    for (file, capacity, expected) in [
        (sample!("v32b4ac6-2flushes", 264_192), 66_048, 0xcd46_c6b7_7694_5970),
        (sample!("v68cc6ef-2flushes", 278_528), 69_632, 0x56ee_3cb7_c3fa_03ca),
    ] {
        let (entries, report) = read(&file);
        assert_eq!((entries.len(), hash(&entries)), (360, expected));
        assert_eq!((report.blocks, report.unused_bytes), (4, 0));
        assert!(report.is_undamaged(), "{report:?}");
        let blocks: Vec<_> = entries.iter().map(|(offset, _)| offset / capacity).collect();
        let of_block = |block| blocks.iter().filter(|of| **of == block).count();
        assert_eq!([0, 1, 2, 3].map(of_block), [120, 120, 60, 60]);
    }
}

#[test]
fn the_entries_before_a_cut_are_read() {
    for (file, entries_before, expected) in [
        (sample!("v32b4ac6-trunc-shard2", 72_983), 221, 0x43ce_c28a_872b_2073),
        (sample!("v68cc6ef-trunc-shard2", 76_567), 228, 0xfb86_1847_590e_ccc0),
    ] {
        let (entries, report) = read(&file);
        assert_eq!((entries.len(), hash(&entries)), (entries_before, expected));
        assert!(report.is_cut && !report.is_undamaged());
        let [cut] = &report.damage[..] else { panic!("one damaged place: {report:?}") };
        assert_eq!((cut.kind, cut.offset + cut.bytes), (DamageKind::Cut, file.len() as u64));
    }
}

/// The entries that are whole in the first `length` bytes.
fn whole_in(entries: &[(u64, Vec<u8>)], length: usize) -> &[(u64, Vec<u8>)] {
    let whole = |(offset, message): &&(u64, Vec<u8>)| *offset as usize + 4 + message.len() <= length;
    &entries[..entries.iter().take_while(whole).count()]
}

#[test]
fn a_file_cut_at_any_offset_gives_the_entries_before_it() {
    for file in [small(), sample!("v32b4ac6-trunc-shard2", 72_983)] {
        let (all, _) = read(&file);
        let capacity = number(&file[..4]);
        for length in 0..file.len() {
            let (entries, report) = read(&file[..length]);
            assert!(entries == whole_in(&all, length), "cut to {length} bytes: {report:?}");
            // The lowest byte of a capacity is 0, and a zero alone may be room that was never written to.
            assert_eq!(report.is_cut, length % capacity > 1, "cut to {length} bytes: {report:?}");
            assert!(report.damage.iter().all(|damage| damage.kind == DamageKind::Cut), "{report:?}");
        }
    }
}

#[test]
fn stale_entries_after_the_valid_bytes_are_not_read() {
    // What an earlier use of the buffer has left: it goes on with whole entries exactly where the valid ones end.
    let stale = &block(512, &["stale\n"; 40], b"")[8..];
    let mut file = block(512, &["one\n", "two\n"], stale);
    file.extend(block(512, &["three\n"], stale));
    assert_eq!(messages(&file), ["one\n", "two\n", "three\n"]);
    assert!(read(&file).1.is_undamaged());
    // Also if the next block is missing, or its header is zeros.
    file[512..520].fill(0);
    assert_eq!(messages(&file), ["one\n", "two\n"]);
    assert_eq!(messages(&file[..512]), ["one\n", "two\n"]);
}

#[test]
fn a_block_begins_after_the_capacity_of_the_one_before_and_not_after_its_valid_bytes() {
    let mut file = block(4096, &["one\n"], b"");
    // Where a reader would look that goes on after the valid bytes.
    file[512..1024].copy_from_slice(&block(512, &["no block\n"], b""));
    file.extend(block(4096, &["two\n"], b""));
    assert_eq!(messages(&file), ["one\n", "two\n"]);
}

#[test]
fn entries_that_fill_their_block_are_read() {
    let long = "x".repeat(512 - 8 - 4 - 1);
    for message in [&long[..], "x"] {
        let mut file = block(512, &[message], b"");
        file.extend(block(512, &["last"], b""));
        assert_eq!(messages(&file), [message, "last"]);
        assert!(read(&file).1.is_undamaged());
    }
}

#[test]
fn zeros_are_no_entries_and_no_damage() {
    for length in [0, 1, 7, 8, 511, 512, 513, 100_000] {
        let (entries, report) = read(&vec![0; length]);
        assert!(entries.is_empty() && report.is_undamaged());
        assert_eq!((report.blocks, report.unused_bytes), (0, length as u64));
        let mut file = small();
        file.resize(file.len() + length, 0);
        let (entries, report) = read(&file);
        assert_eq!((entries.len(), report.unused_bytes, report.is_undamaged()), (10, length as u64, true));
    }
}

#[test]
fn zeros_in_place_of_a_block_are_damage_and_the_blocks_after_them_are_read() {
    for block in [0, 1] {
        let mut file = small();
        let (all, _) = read(&file);
        file[block * 512..][..512].fill(0);
        let (entries, report) = read(&file);
        let others: Vec<_> = all.into_iter().filter(|(offset, _)| *offset as usize / 512 != block).collect();
        assert_eq!(entries, others);
        let [damage] = &report.damage[..] else { panic!("{report:?}") };
        assert_eq!((damage.kind, damage.offset, damage.bytes), (DamageKind::NoBlock, block as u64 * 512, 512));
    }
}

#[test]
fn a_write_that_was_flushed_unfinished_costs_the_rest_of_its_block() {
    // The writer waits for other threads only so long: a length that was not written yet is zero.
    let mut file = small();
    file[8 + 8..8 + 12].fill(0);
    let (entries, report) = read(&file);
    let text = messages(&file);
    assert_eq!(text[..2], ["one\n", "five\n"]);
    assert_eq!((entries.len(), report.damaged_blocks), (7, 1));
    assert_eq!(report.damage[0].kind, DamageKind::Length);
    assert_eq!((report.damage[0].offset, report.damaged_bytes), (16, 27));
}

#[test]
fn a_length_beyond_the_block_costs_the_rest_of_its_block() {
    for wrong in [500_u32, 1 << 20, u32::MAX] {
        let mut file = small();
        file[8..12].copy_from_slice(&wrong.to_le_bytes());
        let (entries, report) = read(&file);
        assert_eq!((entries.len(), report.damaged_blocks, report.damage[0].kind), (6, 1, DamageKind::Length));
    }
}

#[test]
fn a_wrong_capacity_hides_no_other_block() {
    // With one bit flipped, some of these lead to the beginning of a later block, some beyond the file, some nowhere.
    for (capacity, blocks) in [(512, 8), (4096, 5), (65_536, 4)] {
        let names: Vec<_> = (0..blocks).map(|number| format!("entry {number}\n")).collect();
        let file: Vec<u8> = names.iter().flat_map(|name| block(capacity, &[name, name], b"")).collect();
        for damaged in 0..blocks {
            for bit in 0..32 {
                let mut file = file.clone();
                file[damaged * capacity + bit / 8] ^= 1 << (bit % 8);
                let (entries, report) = read(&file);
                let others = names.iter().enumerate().filter(|(number, _)| *number != damaged);
                let others: Vec<_> = others.flat_map(|(_, name)| [name.clone(), name.clone()]).collect();
                let of_others: Vec<_> = entries
                    .into_iter()
                    .filter(|(offset, _)| *offset as usize / capacity != damaged)
                    .map(|(_, message)| String::from_utf8(message).expect("text"))
                    .collect();
                assert_eq!(of_others, others, "bit {bit} of block {damaged} of {blocks}: {report:?}");
                assert!(!report.is_undamaged(), "bit {bit} of block {damaged} of {blocks}");
            }
        }
    }
}

#[test]
fn blocks_of_several_capacities_in_one_file_are_no_damage() {
    let mut file = block(512, &["one\n"], b"");
    file.extend(block(4096, &["two\n"], b""));
    file.extend(block(1024, &["three\n"], b""));
    assert_eq!(messages(&file), ["one\n", "two\n", "three\n"]);
    assert!(read(&file).1.is_undamaged());
}

#[test]
fn an_entry_that_is_too_long_is_left_out_and_takes_no_memory() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("app.log");
    let mut file = std::fs::File::create(&path).expect("a file");
    let long = Reader::ENTRY_BYTES_MAX + 1;
    let capacity = (long + 4096).next_multiple_of(512);
    let header = [capacity as u32, (4 + long + 4 + 6) as u32, long as u32].map(u32::to_le_bytes).concat();
    file.write_all(&header).expect("written");
    file.seek(SeekFrom::Start(12 + long as u64)).expect("a place");
    file.write_all(b"\x06\0\0\0after\n").expect("written");
    file.set_len(capacity as u64).expect("a hole");
    let mut reader = Reader::open(&path).expect("a file");
    assert_eq!(reader.next_entry().expect("readable").expect("an entry").message(), b"after\n");
    assert!(reader.next_entry().expect("readable").is_none());
    let report = reader.report();
    assert_eq!((report.entries, report.damaged_blocks, report.damage[0].kind), (1, 1, DamageKind::TooLong));
}

/// A source that fails once, at an offset.
struct Failing {
    source: Cursor<Vec<u8>>,
    fails_at: u64,
}

impl Read for Failing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let at = self.source.position();
        if at >= self.fails_at {
            self.fails_at = u64::MAX;
            return Err(io::Error::other("a bad sector"));
        }
        let limit = buffer.len().min((self.fails_at - at) as usize);
        self.source.read(&mut buffer[..limit])
    }
}

impl Seek for Failing {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.source.seek(to)
    }
}

#[test]
fn an_error_of_the_disk_names_the_place_and_the_next_call_tries_again() {
    let file = small();
    for fails_at in 0..file.len() as u64 {
        let source = Failing { source: Cursor::new(file.clone()), fails_at };
        let mut reader = Reader::new(source, "app.log").expect("a length");
        let (mut entries, mut errors) = (0, 0);
        loop {
            match reader.next_entry() {
                Ok(Some(_)) => entries += 1,
                Ok(None) => break,
                Err(error) => {
                    errors += 1;
                    assert!(error.to_string().starts_with("cannot read app.log at offset "), "{error}");
                }
            }
        }
        assert_eq!(entries, 10, "an error at {fails_at}");
        assert!(errors <= 1 && reader.report().is_undamaged(), "an error at {fails_at}");
    }
}

#[test]
fn a_file_that_is_not_there_is_an_error_with_its_path() {
    let error = Reader::open("no/such/file.log").expect_err("no file");
    assert!(error.to_string().starts_with("cannot open the file no/such/file.log: "), "{error}");
}

#[test]
fn a_report_names_a_hundred_damaged_places_and_counts_the_others() {
    let mut file: Vec<u8> = (0..150).flat_map(|_| block(512, &["one\n", "two\n"], b"")).collect();
    for number in 0..150 {
        file[number * 512 + 16..][..4].fill(0);
    }
    let (entries, report) = read(&file);
    assert_eq!((entries.len(), report.damaged_blocks), (150, 150));
    assert_eq!((report.damage.len(), report.damage_omitted), (100, 50));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_bytes_cost_at_most_the_entries_of_their_own_block(
        damaged in 0..4_usize,
        changes in proptest::collection::vec((0..70_000_usize, any::<u8>()), 1..20),
        near_the_beginning in any::<bool>(),
    ) {
        let mut file = sample!("v68cc6ef-2flushes", 278_528);
        let (all, _) = read(&file);
        let room = if near_the_beginning { 64 } else { 69_632 };
        for (at, byte) in changes {
            file[damaged * 69_632 + at % room] = byte;
        }
        let (entries, report) = read(&file);
        let others = |entries: Vec<(u64, Vec<u8>)>| {
            entries.into_iter().filter(|(offset, _)| *offset as usize / 69_632 != damaged).collect::<Vec<_>>()
        };
        prop_assert!(others(entries) == others(all), "{report:?}");
    }

    #[test]
    fn any_bytes_are_read_to_their_end(
        numbers in proptest::collection::vec(prop_oneof![0..40_u32, (0..10_u32).prop_map(|n| n * 512), any::<u32>()], 0..2_000),
        cut in 0..4_usize,
    ) {
        let mut file: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        file.truncate(file.len().saturating_sub(cut));
        // It ends, without a panic, and gives only bytes of the file.
        let (entries, _) = read(&file);
        prop_assert!(entries.windows(2).all(|two| two[0].0 < two[1].0), "no entry comes twice");
    }
}
