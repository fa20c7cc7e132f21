//! `Producer::claim`: a record is composed in the ring's own memory. Before its commit nobody sees it, and a claim that
//! is never committed stands in nobody's way.
#![cfg(feature = "unstable")]

mod support;

use std::path::PathBuf;

use diolog::{Config, Error, Level, Logger, LossCause, Outcome, Overflow, Producer, Reader};
use support::device::Control;

struct Rig {
    control: Control,
    logger: Logger,
    producer: Producer,
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl Rig {
    /// A log with a ring of 4096 bytes without anything behind or kept, as `change` makes it.
    fn new(change: impl FnOnce(Config) -> Config) -> Rig {
        let directory = support::directory();
        let path = directory.path().join("log");
        let control = Control::default();
        let config = support::config_of_ring(&path, 4096);
        let logger = control.hooks().open(change(config)).expect("a log");
        let producer = logger.producer().expect("a ring");
        Rig { control, logger, producer, path, _directory: directory }
    }

    /// Claims, fills, and commits.
    fn compose(&mut self, message: &[u8]) -> Outcome {
        match self.producer.claim(Level::Info, message.len()) {
            Ok(mut claim) => {
                claim.copy_from_slice(message);
                claim.commit()
            }
            Err(outcome) => outcome,
        }
    }

    /// The sequences and messages in the files, after close.
    fn records(&self) -> Vec<(u64, Vec<u8>)> {
        self.control.release();
        self.logger.close().expect("a clean end");
        let records = Reader::open(&self.path).expect("a log").map(|record| record.expect("readable"));
        records.map(|record| (record.sequence(), record.message().to_vec())).collect()
    }
}

#[test]
fn a_claim_is_zero_at_first_and_what_is_committed_is_in_the_files() {
    let mut rig = Rig::new(|config| config);
    let lengths = [0, 1, 7, 8, 100, 128, 129, 1000, 2024];
    let mut expected = Vec::new();
    // Many rounds of the ring, which then holds bytes of old records everywhere.
    for round in 0..200_u64 {
        let length = lengths[round as usize % lengths.len()];
        let mut claim = rig.producer.claim(Level::Info, length).expect("room");
        assert!(claim.len() == length && claim.iter().all(|byte| *byte == 0), "round {round}: {claim:?}");
        claim.fill(b'a' + (round % 26) as u8);
        assert_eq!(claim.commit(), Outcome::Written);
        expected.push((round, vec![b'a' + (round % 26) as u8; length]));
        rig.logger.flush().expect("durable");
    }
    assert_eq!(rig.records(), expected);
}

#[test]
#[allow(clippy::forget_non_drop, reason = "that a claim has no drop is what this shows")]
fn a_claim_that_is_dropped_or_forgotten_takes_no_number_and_leaves_no_trace() {
    let mut rig = Rig::new(|config| config);
    for _ in 0..100 {
        rig.producer.claim(Level::Info, 500).expect("room").fill(b'd');
        let mut claim = rig.producer.claim(Level::Info, 700).expect("room");
        claim.fill(b'f');
        std::mem::forget(claim);
    }
    assert_eq!(rig.producer.next_sequence(), 0);
    assert_eq!(rig.compose(b"composed"), Outcome::Written);
    assert_eq!(rig.producer.log(Level::Info, "logged"), Outcome::Written);
    assert_eq!(rig.records(), [(0, b"composed".to_vec()), (1, b"logged".to_vec())]);
    let stats = rig.logger.stats();
    assert_eq!((stats.attempted, stats.dropped, stats.refused), (2, 0, 0));
}

#[test]
fn a_claim_that_is_shortened_is_a_shorter_record() {
    let mut rig = Rig::new(|config| config);
    let mut claim = rig.producer.claim(Level::Info, 1000).expect("room");
    claim[..5].copy_from_slice(b"short");
    claim.truncate(2000);
    assert_eq!(claim.len(), 1000);
    claim.truncate(5);
    assert_eq!(claim[..], *b"short");
    assert_eq!(claim.commit(), Outcome::Written);
    assert_eq!(rig.compose(b"next"), Outcome::Written);
    assert_eq!(rig.records(), [(0, b"short".to_vec()), (1, b"next".to_vec())]);
}

#[test]
fn close_does_not_wait_for_a_claim_and_its_commit_is_refused_afterwards() {
    let mut rig = Rig::new(|config| config);
    assert_eq!(rig.producer.log(Level::Info, "before"), Outcome::Written);
    let mut claim = rig.producer.claim(Level::Info, 4).expect("room");
    claim.copy_from_slice(b"late");
    let report = rig.logger.close().expect("a clean end, while the claim is out");
    assert_eq!(report.durable, 1);
    claim.copy_from_slice(b"more");
    assert_eq!(claim.commit(), Outcome::Closed);
    assert_eq!(rig.producer.claim(Level::Info, 4).map(|_| ()), Err(Outcome::Closed));
    assert_eq!(rig.records(), [(0, b"before".to_vec())]);
    assert_eq!((rig.logger.stats().attempted, rig.logger.stats().refused_by.closed), (1, 2));
}

#[test]
fn a_level_that_is_not_admitted_is_refused_at_the_claim_and_at_the_commit() {
    let mut rig = Rig::new(|config| config);
    assert_eq!(rig.producer.claim(Level::Debug, 4).map(|_| ()), Err(Outcome::Filtered));
    let claim = rig.producer.claim(Level::Info, 4).expect("room");
    rig.logger.set_level(Level::Warn);
    assert_eq!(claim.commit(), Outcome::Filtered);
    assert_eq!(rig.producer.next_sequence(), 0);
    assert_eq!(rig.records(), []);
}

#[test]
fn a_claim_that_is_too_long_is_an_error_of_the_caller_and_no_loss_of_the_log() {
    let mut rig = Rig::new(|config| config.flight_recorder(64 << 10));
    let longest = rig.producer.message_bytes_max();
    assert!(rig.producer.claim(Level::Info, longest).is_ok());
    assert_eq!(rig.producer.claim(Level::Info, longest + 1).map(|_| ()), Err(Outcome::TooLong));
    assert_eq!(rig.producer.claim(Level::Info, usize::MAX).map(|_| ()), Err(Outcome::TooLong));
    assert_eq!(rig.producer.claim(Level::Trace, longest + 1).map(|_| ()), Err(Outcome::TooLong), "for the recorder");
    let stats = rig.logger.stats();
    assert_eq!((stats.attempted, stats.dropped, stats.refused), (0, 0, 0));
    assert_eq!(Outcome::TooLong.to_string(), "refused: a claim of more than message_bytes_max");
    assert!(Outcome::TooLong.is_lost());
    assert_eq!(rig.compose(b"next"), Outcome::Written);
    assert_eq!(rig.records(), [(0, b"next".to_vec())]);
}

#[test]
fn a_full_ring_refuses_a_claim_as_its_policy_says() {
    for (overflow, cause) in [
        (Overflow::DropNewest, LossCause::RingFull),
        (Overflow::BlockFor(std::time::Duration::from_millis(1)), LossCause::TimedOut),
    ] {
        let mut rig = Rig::new(|config| config.overflow(overflow));
        rig.control.hold();
        while rig.compose(&[b'x'; 1000]) == Outcome::Written {}
        let written = rig.producer.next_sequence() - 1;
        assert!(written >= 3, "{written} records fit");
        assert_eq!(rig.producer.claim(Level::Info, 1000).map(|_| ()), Err(Outcome::Dropped));
        let stats = rig.logger.stats();
        assert_eq!((stats.dropped, stats.dropped_by.count(cause)), (2, 2));
        rig.control.release();
        rig.logger.flush().expect("durable");
        assert_eq!(rig.compose(b"room again"), Outcome::Written);
        let sequences: Vec<_> = rig.records().into_iter().map(|(sequence, _)| sequence).collect();
        assert_eq!(sequences, (0..written).chain([written + 2]).collect::<Vec<_>>());
    }
}

#[test]
fn a_severe_claim_takes_the_room_that_is_kept_for_such() {
    let mut rig = Rig::new(|config| config.severe_only_eighths(2));
    rig.control.hold();
    while rig.compose(&[b'x'; 200]) == Outcome::Written {}
    let mut claim = rig.producer.claim(Level::Error, 6).expect("the room that is kept");
    claim.copy_from_slice(b"severe");
    assert_eq!(claim.commit(), Outcome::Written);
    assert!(rig.records().iter().any(|(_, message)| message == b"severe"));
}

#[test]
fn a_claim_waits_under_block_and_overwrites_the_oldest_under_that_policy() {
    let mut rig = Rig::new(|config| config.overflow(Overflow::Block));
    for number in 0..2_000_u64 {
        assert_eq!(rig.compose(&[number.to_le_bytes(); 25].concat()), Outcome::Written);
    }
    let records = rig.records();
    assert!(records.iter().map(|(sequence, _)| *sequence).eq(0..2_000), "{} records", records.len());
    assert!(records.iter().all(|(sequence, message)| message[192..] == sequence.to_le_bytes()));

    let mut rig = Rig::new(|config| config.overflow(Overflow::OverwriteOldest));
    rig.control.hold();
    for number in 0..2_000_u64 {
        let outcome = rig.compose(&[number.to_le_bytes(); 25].concat());
        // The writer may be copying just then.
        assert!(matches!(outcome, Outcome::Written | Outcome::Dropped), "{outcome:?}");
    }
    let records = rig.records();
    assert!(records.iter().all(|(sequence, message)| message[192..] == sequence.to_le_bytes()));
    let stats = rig.logger.stats();
    assert_eq!(records.len() as u64 + stats.overwritten + stats.dropped, 2_000);
}

#[test]
#[allow(clippy::forget_non_drop, reason = "that a claim has no drop is what this shows")]
fn a_claim_in_a_burst_goes_by_way_of_a_buffer_into_the_reserve_in_order() {
    let mut rig = Rig::new(|config| config.reserve_bytes(1 << 20));
    rig.control.hold();
    let mut in_buffer = 0;
    for number in 0..500_u64 {
        let mut claim = rig.producer.claim(Level::Info, 800).expect("room");
        assert!(claim.iter().all(|byte| *byte == 0), "record {number}");
        in_buffer += u64::from(format!("{claim:?}").contains("is_in_ring: false"));
        if number % 5 == 4 {
            // Given up: as if it had not been.
            claim.fill(0xFF);
            std::mem::forget(claim);
            continue;
        }
        claim.fill(b'b');
        claim[..8].copy_from_slice(&number.to_le_bytes());
        claim.truncate(600);
        assert_eq!(claim.commit(), Outcome::Written);
    }
    assert!(in_buffer > 400, "{in_buffer} were in the buffer");
    let numbers = rig.records().into_iter().map(|(_, message)| {
        assert_eq!(message.len(), 600);
        u64::from_le_bytes(message[..8].try_into().expect("eight bytes"))
    });
    assert!(numbers.eq((0..500).filter(|number| number % 5 != 4)));
}

#[test]
fn a_severe_record_asks_for_a_flush_by_its_commit() {
    let mut rig = Rig::new(|config| config.flush_on(Level::Error).flush_interval(std::time::Duration::from_secs(3600)));
    let mut claim = rig.producer.claim(Level::Error, 6).expect("room");
    claim.copy_from_slice(b"severe");
    assert_eq!(claim.commit(), Outcome::Written);
    rig.control.wait_for_message(b"severe");
    rig.logger.close().expect("a clean end");
}

#[test]
fn a_logger_without_a_log_has_claims_too() -> Result<(), Error> {
    let (logger, log) = Logger::in_memory();
    let mut producer = logger.producer()?;
    let mut claim = producer.claim(Level::Debug, 6).expect("memory");
    assert_eq!(claim[..], [0; 6]);
    claim.copy_from_slice(b"memory");
    assert_eq!((claim.commit(), log.messages()), (Outcome::Written, vec!["memory".to_owned()]));
    assert_eq!(producer.claim(Level::Info, 1 << 20).map(|_| ()), Err(Outcome::TooLong));
    logger.close()?;
    assert_eq!(producer.claim(Level::Info, 1).map(|_| ()), Err(Outcome::Closed));
    let mut nowhere = Logger::disabled().producer()?;
    assert!(nowhere.claim(Level::Error, 1).is_err());
    Ok(())
}
