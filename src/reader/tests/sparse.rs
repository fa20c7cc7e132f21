//! A sparse file with a segment's name: its holes are stepped over, however large they are.

use std::os::unix::fs::FileExt;

use super::*;
use crate::reader::test_log::reseal;
use crate::sys::test_report::not_shown;

const TEBIBYTE: u64 = 1 << 40;

/// Makes the file of this number a tebibyte long, without writing it. `None` if it has no holes here.
fn stretch(directory: &std::path::Path, number: u64) -> Option<std::fs::File> {
    let path = directory.join(format!("{number:08}.dlog"));
    let file = std::fs::File::options().write(true).read(true).create(true).truncate(false).open(path).expect("open");
    let stretched = file.set_len(TEBIBYTE).and_then(|()| crate::sys::file::next_data(&file, TEBIBYTE / 2));
    match stretched {
        Ok(None) => Some(file),
        other => {
            not_shown("a sparse file of a tebibyte", format!("{other:?}"));
            None
        }
    }
}

#[test]
fn blocks_far_apart_in_a_sparse_file_are_all_read() {
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 0, "0"));
    let far: Vec<_> = (1..6_u64).map(|n| (n, run.make(&Block::new().record(1, 10 * n, n.to_string())))).collect();
    let directory = written(&[&run]);
    let Some(file) = stretch(directory.path(), 1) else { return };
    for (n, mut block) in far {
        let offset = n * (TEBIBYTE / 8) + n * 4096;
        let id = run.last().id;
        reseal(&mut block, offset as usize, |header| header.segment_id = id.into());
        file.write_all_at(&block, offset).expect("write");
    }
    let (messages, report) = read(directory.path());
    assert_eq!(messages, ["0", "1", "2", "3", "4", "5"]);
    assert_eq!((report.blocks.torn, report.blocks.lost, report.blocks.stray), (0, 0, 0), "{report:#?}");
    assert_eq!(info(directory.path()).expect("info").segments[0].blocks, 6);
    let last = ReadOptions::new().at_least_last(1).open(directory.path()).expect("open");
    assert_eq!(last.last().expect("one").expect("read").message(), b"5");
}

#[test]
fn an_empty_sparse_file_is_a_prepared_one() {
    let mut run = TestRun::with_segment(1);
    let directory = written(&[run.block(Block::new().record(1, 0, "0"))]);
    if stretch(directory.path(), 2).is_none() {
        return;
    }
    let (messages, report) = read(directory.path());
    assert_eq!((messages.len(), report.prepared_files, report.findings.len()), (1, 1, 0), "{report:#?}");
}
