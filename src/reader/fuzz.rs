//! Bytes read as one block, without a file and whatever its checksums are: the way in for fuzzing. Used by `unstable`.

use super::callsites::KnownCallsites;
use super::content::{Content, Text};
use super::scan::{Loaded, ShardRecord, ShardRecords};
use crate::format::MESSAGE_CODE;

/// Reads `bytes` as a block, and everything in it: rows, definitions, and each record with its text and its fields.
pub(crate) fn read_block(bytes: &[u8]) {
    let mut block = Loaded::default();
    let Some(header) = block.read_resealed(bytes) else { return };
    block.take_apart(&header, &mut KnownCallsites::default());
    for shard in &block.shards {
        let (mut records, mut record) = (ShardRecords::of(shard), ShardRecord::default());
        while records.next(&block, &mut record) {
            let bytes = &block.payload()[record.start..record.start + record.length];
            let text = Text::default();
            let content = if record.callsite == MESSAGE_CODE {
                Content::Message(bytes)
            } else {
                let callsite = block.callsites.at(record.callsite_at);
                Content::Structured { id: record.callsite, callsite, values: bytes, layout: record.layout, text: &text }
            };
            let mut written = Vec::new();
            content.write_message(&mut written);
            assert_eq!(content.message(), written, "a text is the same however it is asked for");
            let owned = content.to_owned();
            assert_eq!(content.fields().count(), owned.borrow().fields().count());
            content.write_json_members(&mut written);
        }
    }
}
