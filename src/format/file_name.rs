//! The names of the files in a log's directory, for the code that makes, finds and removes them.

use std::ffi::OsStr;
use std::fmt::Display;

use super::identity::StoredRunId;

/// The file that the one writer of a log keeps locked.
pub(crate) const LOCK_FILE: &str = "lock";

/// The name of a segment that is being prepared, until it is complete and gets its number.
pub(crate) const SPARE_FILE: &str = "spare.tmp";

/// The name of a segment that is being written without a writer thread, until all of it is durable.
pub(crate) const OFFLINE_FILE: &str = "offline.tmp";

/// The name of a [rings file](rings_file_name) until it is complete.
pub(crate) const RINGS_TEMPORARY_FILE: &str = "rings.tmp";

/// The file that keeps the name of the event that a log belongs to, if the directory has another name.
pub(crate) const EVENT_FILE: &str = "event";

/// The name of that file until it is complete.
pub(crate) const EVENT_TEMPORARY_FILE: &str = "event.tmp";

/// The name of the file that says where the rings of a run are: its identity in hexadecimal, then `.rings`.
pub(crate) fn rings_file_name(run: impl Display) -> String {
    format!("{run}.rings")
}

/// The run in the name of a rings file; `None` for any other name. Each run has one name.
pub(crate) fn run_of_rings_file(file_name: &OsStr) -> Option<StoredRunId> {
    let name = file_name.to_str()?;
    let run = u128::from_str_radix(name.strip_suffix(".rings")?, 16).ok()?;
    let run = StoredRunId(run.to_be_bytes());
    (rings_file_name(run) == name).then_some(run)
}

/// The name of segment `number`: eight digits or more, then `.dlog`.
pub(crate) fn segment_file_name(number: u64) -> String {
    format!("{number:08}.dlog")
}

/// The number in a segment's file name; `None` for any other name. Each number has one name: one with more or fewer
/// leading zeros is not a segment's.
pub(crate) fn segment_number(file_name: &OsStr) -> Option<u64> {
    let name = file_name.to_str()?;
    let number = name.strip_suffix(".dlog")?.parse().ok()?;
    (segment_file_name(number) == name).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_name() {
        for (name, number) in [("00000001.dlog", 1), ("00000012.dlog", 12), ("123456789.dlog", 123_456_789)] {
            assert_eq!(segment_number(OsStr::new(name)), Some(number));
            assert_eq!(segment_file_name(number), name);
        }
        let others = [
            "1.dlog",
            "0000001.dlog",
            "000000001.dlog",
            "00000001.dlog.tmp",
            "+0000001.dlog",
            "-0000001.dlog",
            "99999999999999999999999.dlog",
            "spare.tmp",
            "lock",
            ".dlog",
        ];
        for other in others {
            assert_eq!(segment_number(OsStr::new(other)), None, "{other}");
        }
    }
    #[test]
    fn a_run_has_one_name() {
        let run = StoredRunId(0x0123_4567_89ab_cdef_u128.to_be_bytes());
        let name = "00000000000000000123456789abcdef.rings";
        assert_eq!((rings_file_name(run), run_of_rings_file(OsStr::new(name))), (name.to_owned(), Some(run)));
        for other in ["1.rings", &name.to_uppercase(), &name[..37], &format!("0{name}"), &name[1..], "rings.tmp"] {
            assert_eq!(run_of_rings_file(OsStr::new(other)), None, "{other}");
        }
    }
}
