//! How many records of a block a filter takes: of a reader that wants the last ones, this decides where it begins.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;

use super::content::Text;
use super::filter::{Filter, Selection};
use super::record::{ProducerIdentity, RecordRef, RunContext, RunId};
use super::scan::{Loaded, ShardRecord, ShardRecords};

/// Counts the records that a filter takes, which must not ask for times: the blocks come from the end backwards, and
/// what the wall clock showed is not known.
pub(super) struct TakenCounter {
    selection: Selection,
    context: RunContext,
    text: Text,
}

impl TakenCounter {
    pub(super) fn by(filter: Filter) -> TakenCounter {
        let context = RunContext::new(RunId::unknown(0));
        TakenCounter { selection: Selection::new(filter), context, text: Text::default() }
    }

    /// The number of records in a block of the run that the filter takes.
    pub(super) fn count(&mut self, run: RunId, block: &Loaded) -> u64 {
        if self.context.id != run {
            self.context = RunContext::new(run);
        }
        let may_take_callsite = OnceCell::new();
        let mut producers: HashMap<u32, Arc<ProducerIdentity>> =
            block.rows.iter().map(|row| (row.id, Arc::new(ProducerIdentity::of(row)))).collect();
        let mut taken = 0;
        for shard in &block.shards {
            let id = shard.producer;
            let nameless = || Arc::new(ProducerIdentity { id, ..ProducerIdentity::default() });
            let producer = producers.entry(id).or_insert_with(nameless);
            let any = || *may_take_callsite.get_or_init(|| self.selection.may_take_callsite(&block.callsites));
            if !self.selection.takes_shard(shard, producer, any) {
                continue;
            }
            let (mut records, mut record) = (ShardRecords::of(shard), ShardRecord::default());
            while records.next(block, &mut record) {
                self.text.clear();
                let record = RecordRef::of(&record, block, producer, &self.text, &self.context);
                taken += u64::from(self.selection.takes(&record));
            }
        }
        taken
    }
}
