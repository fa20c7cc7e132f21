//! Losses since the last call of a callback, as [`Logger::on_loss`](crate::Logger::on_loss) hands them over.

use std::fmt;

use super::RefusedBy;
use super::words::write_losses;
use crate::format::DroppedBy;

/// What was lost since the last call. It prints as one sentence, such as "1,012 dropped (ring full); 5 overwritten".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Losses {
    /// The producers that have lost records, in no order. One that has ended meanwhile is among them.
    pub producers: Vec<ProducerLosses>,
    /// Appends refused without a sequence number, by cause.
    pub refused_by: RefusedBy,
}

/// What one producer has lost since the last call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProducerLosses {
    /// The producer's id, as in the files.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Attempts that found no room, by cause.
    pub dropped_by: DroppedBy,
    /// Records that newer ones replaced before the writer read them.
    pub overwritten: u64,
}

impl Losses {
    /// All lost records.
    pub fn total(&self) -> u64 {
        let (dropped_by, overwritten) = self.of_producers();
        dropped_by.total() + overwritten + self.refused_by.total()
    }

    fn of_producers(&self) -> (DroppedBy, u64) {
        self.producers.iter().fold(Default::default(), |(dropped_by, overwritten): (DroppedBy, u64), producer| {
            (dropped_by.plus(producer.dropped_by), overwritten + producer.overwritten)
        })
    }
}

impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dropped_by, overwritten) = self.of_producers();
        write_losses(f, "", dropped_by, overwritten, self.refused_by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_one_sentence_over_all_producers() {
        let producer = |id, ring_full, overwritten| ProducerLosses {
            id,
            name: String::new(),
            dropped_by: DroppedBy { ring_full, ..DroppedBy::default() },
            overwritten,
        };
        let mut losses = Losses { producers: vec![producer(1, 1_000, 0), producer(2, 12, 5)], ..Losses::default() };
        assert_eq!((losses.to_string().as_str(), losses.total()), ("1,012 dropped (ring full); 5 overwritten", 1_017));
        losses.producers.clear();
        losses.refused_by.no_ring = 2;
        assert_eq!((losses.to_string().as_str(), losses.total()), ("2 refused (no ring)", 2));
    }
}
