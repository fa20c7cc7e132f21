//! The entries that the writer passes to a listener's thread, as bytes in a buffer. One process writes and reads them.
//!
//! A producer's entry comes before its records, so that each buffer can be read alone.

/// An entry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Entry<'a> {
    /// The records that follow are from this producer.
    Producer { id: u32, name: &'a str },
    /// A record of the last producer.
    Record(RecordEntry<'a>),
    /// This many records did not fit.
    Missed(u64),
    /// The log has ended.
    End,
}

/// A record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RecordEntry<'a> {
    pub(super) kind: u8,
    pub(super) level: u8,
    pub(super) flags: u8,
    pub(super) sequence: u64,
    pub(super) timestamp_ns: u64,
    pub(super) payload: &'a [u8],
}

const PRODUCER: u8 = 1;
const RECORD: u8 = 2;
const MISSED: u8 = 3;
const END: u8 = 4;

/// Bytes of a record's entry without its payload.
pub(super) const RECORD_ENTRY_BYTES: usize = 1 + 3 + 8 + 8 + 4;

impl Entry<'_> {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Entry::Producer { id, name } => {
                out.push(PRODUCER);
                out.extend_from_slice(&id.to_le_bytes());
                put(name.as_bytes(), out);
            }
            Entry::Record(RecordEntry { kind, level, flags, sequence, timestamp_ns, payload }) => {
                out.extend_from_slice(&[RECORD, kind, level, flags]);
                out.extend_from_slice(&sequence.to_le_bytes());
                out.extend_from_slice(&timestamp_ns.to_le_bytes());
                put(payload, out);
            }
            Entry::Missed(records) => {
                out.push(MISSED);
                out.extend_from_slice(&records.to_le_bytes());
            }
            Entry::End => out.push(END),
        }
    }
}

/// Appends the length of `bytes`, and the bytes.
fn put(bytes: &[u8], out: &mut Vec<u8>) {
    // A record in a ring is shorter than 2^32 bytes.
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Reads entries from a buffer. Ends at the first one that is not whole.
pub(super) struct Entries<'a>(pub(super) &'a [u8]);

impl<'a> Entries<'a> {
    fn take<const BYTES: usize>(&mut self) -> Option<[u8; BYTES]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn take_bytes(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_le_bytes(self.take()?) as usize;
        let (first, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(first)
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let [what] = self.take()?;
        Some(match what {
            PRODUCER => {
                let id = u32::from_le_bytes(self.take()?);
                Entry::Producer { id, name: std::str::from_utf8(self.take_bytes()?).ok()? }
            }
            RECORD => {
                let [kind, level, flags] = self.take()?;
                let (sequence, timestamp_ns) = (u64::from_le_bytes(self.take()?), u64::from_le_bytes(self.take()?));
                Entry::Record(RecordEntry { kind, level, flags, sequence, timestamp_ns, payload: self.take_bytes()? })
            }
            MISSED => Entry::Missed(u64::from_le_bytes(self.take()?)),
            END => Entry::End,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_they_were_written_and_none_is_read_from_a_part_of_one() {
        let record = RecordEntry { kind: 2, level: 3, flags: 1, sequence: 7, timestamp_ns: 9, payload: b"payload" };
        let entries = [
            Entry::Producer { id: 4, name: "orders" },
            Entry::Record(record),
            Entry::Record(RecordEntry { payload: b"", ..record }),
            Entry::Missed(u64::MAX),
            Entry::End,
        ];
        let mut bytes = Vec::new();
        for entry in &entries {
            let before = bytes.len();
            entry.encode(&mut bytes);
            if let Entry::Record(record) = entry {
                assert_eq!(bytes.len() - before, RECORD_ENTRY_BYTES + record.payload.len());
            }
            for length in 0..bytes.len() - before {
                assert_eq!(Entries(&bytes[before..][..length]).next(), None, "{entry:?}, {length} bytes");
            }
        }
        assert_eq!(Entries(&bytes).collect::<Vec<_>>(), entries);
    }
}
