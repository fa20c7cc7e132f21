//! What a filter leaves out: records by their callsites, shards that hold no wanted record, and blocks of other times.

use super::*;
use crate::format::test_values::put_value;
use crate::format::{CallsiteParts, FieldType, Kind, LossCause, Type, Value};
use crate::{EntryRef, Filter, Level};

const UNSIGNED: FieldType = FieldType::new(Type::Unsigned);

fn number(value: u64) -> Vec<u8> {
    let mut plain = Vec::new();
    put_value(UNSIGNED, Value::Unsigned(value), &mut plain);
    plain
}

/// What a reader with the filter gives: messages, and gaps as sentences; and its report.
fn selected(directory: &Path, filter: Filter) -> (Vec<String>, Report) {
    let mut reader = ReadOptions::new().filter(filter).open(directory).expect("open");
    let mut given = Vec::new();
    while let Some(entry) = reader.next_entry().expect("read") {
        given.push(match entry {
            EntryRef::Record(record) => String::from_utf8_lossy(record.message()).into_owned(),
            EntryRef::Gap(gap) => gap.to_string(),
        });
    }
    let mut without_gaps = ReadOptions::new().filter(Filter::new()).open(directory).expect("open");
    assert!(without_gaps.next_record().expect("read").is_some(), "a filter that asks for nothing takes all");
    (given, reader.report().clone())
}

/// A log of callsite 7, `order {id}` with a field `id` of target `shop::orders`, callsite 8, `{n}`, and messages.
fn log() -> tempfile::TempDir {
    let mut run = TestRun::with_segment(1);
    run.block(
        Block::new()
            .packed(1, 10, 7, &[UNSIGNED], &number(1))
            .packed(1, 20, 8, &[UNSIGNED], &number(2))
            .packed(2, 30, 0, &[], b"a message")
            .packed(2, 40, 7, &[UNSIGNED], &number(3))
            .define(7, "order {id}", &[("id", UNSIGNED)])
            .define(8, "{n}", &[("n", UNSIGNED)]),
    );
    run.block(Block::new().record(3, 50, "plain"));
    written(&[run.close()])
}

#[test]
fn records_are_taken_by_level_target_producer_fields_and_text() {
    let directory = log();
    let given = |filter: Filter| selected(directory.path(), filter).0;
    let is_large = |value: &Value<'_>| matches!(value, Value::Unsigned(number) if *number > 1);
    let all = ["order 1", "2", "a message", "order 3", "plain"];
    assert_eq!(given(Filter::new()), all);
    assert_eq!(given(Filter::new().level(Level::Info)), all);
    assert_eq!(given(Filter::new().level(Level::Warn)), [""; 0]);
    assert_eq!(given(Filter::new().target("shop::orders")), ["order 1", "2", "order 3"]);
    assert_eq!(given(Filter::new().target("other").target("shop")), ["order 1", "2", "order 3"]);
    assert_eq!(given(Filter::new().target("shop::")), ["order 1", "2", "order 3"]);
    for other in ["shop::orders::more", "shop::order", "sho", ""] {
        assert_eq!(given(Filter::new().target(other)), [""; 0], "{other:?} is no whole part of the target's path");
    }
    assert_eq!(given(Filter::new().producer("worker-2")), ["a message", "order 3"]);
    assert_eq!(given(Filter::new().producer("#1").producer("worker-3")), ["order 1", "2", "plain"]);
    assert_eq!(given(Filter::new().field("id", is_large)), ["order 3"]);
    assert_eq!(given(Filter::new().field("n", is_large)), ["2"]);
    assert_eq!(given(Filter::new().field("id", is_large).field("n", is_large)), [""; 0]);
    assert_eq!(given(Filter::new().message(|text| text.contains(&b'r'))), ["order 1", "order 3"]);
    assert_eq!(given(Filter::new().message(|text| text.ends_with(b"3")).producer("worker-2")), ["order 3"]);
}

#[test]
fn shards_without_a_wanted_callsite_or_message_are_not_decoded() {
    let mut run = TestRun::with_segment(1);
    // Values that are none of the callsite's: a reader notices when it decodes the shard.
    run.block(Block::new().packed(1, 10, 7, &[], b"").define(7, "order {id}", &[("id", UNSIGNED)]));
    run.block(Block::new().packed(1, 20, 8, &[UNSIGNED], &number(2)).define(8, "{n}", &[("n", UNSIGNED)]));
    let directory = written(&[run.close()]);
    let unreadable = |filter: Filter| {
        let (given, report) = selected(directory.path(), filter);
        (given.len(), report.unreadable)
    };
    assert_eq!(unreadable(Filter::new()), (1, 1));
    assert_eq!(unreadable(Filter::new().field("n", |_| true)), (1, 0));
    assert_eq!(unreadable(Filter::new().field("id", |_| true)), (0, 1));
    assert_eq!(unreadable(Filter::new().level(Level::Error)), (0, 0));
    assert_eq!(unreadable(Filter::new().target("elsewhere")), (0, 0));
    assert_eq!(unreadable(Filter::new().producer("nobody")), (0, 0));
}

#[test]
fn a_record_whose_callsite_is_not_defined_is_taken_where_a_filter_cannot_decide() {
    let mut run = TestRun::with_segment(1);
    let block = |at, id| {
        let block =
            Block::new().packed(1, at, 17, &[UNSIGNED], &number(1)).packed(1, at + 1, id, &[UNSIGNED], &number(2));
        block.define(id, "order {id}", &[("id", UNSIGNED)])
    };
    run.block(block(10, 7).plain(2, 15, 18, b""));
    let directory = written(&[run.close()]);
    let given = |filter: Filter| selected(directory.path(), filter);
    let all = ["callsite 17 is not defined", "order 2", "callsite 18 is not defined"];
    for filter in [
        Filter::new(),
        Filter::new().level(Level::Info),
        Filter::new().target("shop"),
        Filter::new().field("id", |value| *value == Value::Unsigned(2)),
    ] {
        let (given, report) = given(filter);
        assert_eq!(given, all);
        assert_eq!(report.findings.len(), 1, "{report:#?}");
    }
    assert_eq!(given(Filter::new().level(Level::Info).message(|text| text.ends_with(b"defined"))).0, [all[0], all[2]]);
    assert_eq!(given(Filter::new().level(Level::Info).producer("worker-2")).0, [all[2]]);
    // No record of this shard is wanted by what the block defines, so it is not decoded.
    assert_eq!(given(Filter::new().target("elsewhere").producer("worker-1")).0, [""; 0]);
}

#[test]
fn fields_with_names_of_their_own_are_found() {
    let fields = FieldType::new(Type::Fields);
    let content = [&b"\x01k\x03"[..], &5_u64.to_le_bytes()].concat();
    let plain = [&((content.len() as u32) << 1).to_le_bytes(), &content[..]].concat();
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().packed(1, 10, 7, &[fields], &plain).define(7, "x", &[("more", fields)]));
    let directory = written(&[run.close()]);
    let given =
        |name: &str| selected(directory.path(), Filter::new().field(name, |value| *value == Value::Unsigned(5))).0;
    assert_eq!(given("k"), ["x k=5"]);
    assert_eq!(given("l"), [""; 0]);
}

#[test]
fn a_record_whose_callsite_has_no_target_names_it_in_a_field() {
    let fields = FieldType::new(Type::Fields);
    // A length, a name, a type, and a text with its length.
    let text = |name: &str, value: &str| {
        let type_of_str = FieldType::new(Type::Str).code();
        let length = ((value.len() as u32) << 1).to_le_bytes();
        [&[name.len() as u8], name.as_bytes(), &[type_of_str], &length, value.as_bytes()].concat()
    };
    let plain = |content: &[u8]| [&((content.len() as u32) << 1).to_le_bytes(), content].concat();
    let mut definition = Vec::new();
    CallsiteParts { id: 7, level: 3, line: 0, target: "", file: "", template: "x", fields: &[("more", fields)] }
        .encode(4096, &mut definition);
    let mut run = TestRun::with_segment(1);
    run.block(
        Block::new()
            .packed(1, 10, 7, &[fields], &plain(&text("target", "shop::a")))
            .packed(1, 20, 7, &[fields], &plain(&text("target", "bank")))
            // A field of the event, and after it the place.
            .packed(1, 30, 7, &[fields], &plain(&[text("target", "bank"), text("target", "shop::b")].concat()))
            .packed(1, 40, 7, &[fields], &plain(&text("other", "shop")))
            .packed(1, 50, 8, &[], b"")
            .note(Kind::Callsite as u8, &definition)
            .define(8, "of a callsite with a target", &[]),
    );
    let directory = written(&[run.close()]);
    let given = |filter: Filter| selected(directory.path(), filter).0;
    let expected = ["x target=shop::a", "x target=bank target=shop::b", "of a callsite with a target"];
    assert_eq!(given(Filter::new().target("shop")), expected);
    assert_eq!(given(Filter::new().target("bank")), ["x target=bank"]);
    assert_eq!(given(Filter::new().target("shop").level(Level::Warn)), [""; 0]);
    assert_eq!(given(Filter::new().target("")), ["x other=shop"], "the record that names none");
}

const SECOND: u64 = 1_000_000_000;

/// A block of one record at this second of the monotonic clock, whose text that is, of `producer`.
fn block_at(second: u64, producer: u32) -> Block {
    Block::new().record(producer, second * SECOND, format!("{second}"))
}

/// A block that begins with an anchor: the wall clock shows `wall_s`.
fn anchored(second: u64, wall_s: i64) -> Block {
    Block::new().anchor(second * SECOND, wall_s * SECOND as i64).record(1, second * SECOND, format!("{second}"))
}

/// A hundred seconds of a wall clock that shows 10,000 at their beginning, with an anchor each ten.
fn hundred_seconds(run: &mut TestRun) -> &mut TestRun {
    for second in 100..200 {
        run.block(match second % 10 {
            0 => anchored(second, 10_000 + second as i64 - 100),
            _ => block_at(second, 1 + (second % 2) as u32),
        });
    }
    run
}

fn between(since_s: i64, until_s: i64) -> Filter {
    Filter::new().since(since_s * SECOND as i64).until(until_s * SECOND as i64)
}

#[test]
fn blocks_of_other_times_are_not_read_and_nothing_is_called_lost() {
    let mut run = TestRun::with_segment(1);
    let directory = written(&[hundred_seconds(&mut run).close()]);
    let (given, report) = selected(directory.path(), between(10_050, 10_053));
    assert_eq!(given, ["150", "151", "152"]);
    assert_eq!(report.verdict(), Verdict::Clean, "{report:#?}");
    // Three blocks hold records, one on each side may; the first has the anchor that is not known, the last two end the
    // run.
    assert!((100 - 3 - 4 - 1..=97).contains(&report.unread_blocks), "{}", report.unread_blocks);
    assert_eq!(report.blocks.good + report.unread_blocks, 102);
    let whole = read(directory.path()).1;
    assert!(report.bytes < whole.bytes / 8, "{} of {} bytes", report.bytes, whole.bytes);
    let (given, report) = selected(directory.path(), Filter::new().since(10_098 * SECOND as i64));
    assert_eq!((given, report.verdict()), (vec!["198".to_owned(), "199".to_owned()], Verdict::Clean));
    let (given, report) = selected(directory.path(), Filter::new().until(10_001 * SECOND as i64));
    assert_eq!((given, report.verdict()), (vec!["100".to_owned()], Verdict::Clean), "{report:#?}");
}

#[test]
fn a_clock_that_was_set_leaves_no_record_unread() {
    let mut run = TestRun::with_segment(1);
    hundred_seconds(&mut run);
    // It is set back by 50 s, and later forward by 100.
    for second in 200..300 {
        let wall = if second < 250 { second as i64 + 9_850 } else { second as i64 + 9_950 };
        run.block(if second % 10 == 0 { anchored(second, wall) } else { block_at(second, 1) });
    }
    let directory = written(&[run.close()]);
    for (since, until) in [(10_050, 10_053), (10_090, 10_110), (10_150, 10_170), (10_215, 10_230), (10_260, 10_300)] {
        let (given, report) = selected(directory.path(), between(since, until));
        let mut expected = Vec::new();
        for record in Reader::open(directory.path()).expect("open") {
            let record = record.expect("read");
            let wall = record.unix_ns().expect("an anchor").div_euclid(SECOND as i64);
            expected
                .extend((since..until).contains(&wall).then(|| String::from_utf8_lossy(record.message()).into_owned()));
        }
        assert_eq!(given, expected, "{since} to {until}");
        assert!(report.unread_blocks > 120, "{} of 202", report.unread_blocks);
        assert_eq!(report.verdict(), Verdict::Clean, "{report:#?}");
    }
}

#[test]
fn a_time_that_was_shown_selects_its_record_and_is_shown_again() {
    let mut run = TestRun::with_segment(1);
    // The clock is slewed: each anchor agrees with the one before it, but for some milliseconds.
    for second in 100..200 {
        let wall_ns = (second + 9_900) * SECOND + (second - 100) * 500_000;
        let block = Block::new();
        let block = if second % 10 == 0 { block.anchor(second * SECOND, wall_ns as i64) } else { block };
        run.block(block.record(1, second * SECOND, format!("{second}")));
    }
    let directory = written(&[run.close()]);
    let times = |filter: Filter| {
        let mut times = Vec::new();
        let mut reader = ReadOptions::new().filter(filter).open(directory.path()).expect("open");
        while let Some(record) = reader.next_record().expect("read") {
            times.push((record.message().to_vec(), record.unix_ns().expect("an anchor")));
        }
        (times, reader.report().unread_blocks)
    };
    let (all, _) = times(Filter::new());
    assert_eq!(all.len(), 100);
    for (at, &(_, unix_ns)) in all.iter().enumerate().step_by(7) {
        let (since, unread) = times(Filter::new().since(unix_ns));
        assert!(since == all[at..] && unread + 5 >= at as u64, "since {at}: {:?}, {unread} unread", since.first());
        let (until, unread) = times(Filter::new().until(unix_ns + 1));
        assert!(
            until == all[..=at] && unread + 5 >= 100 - at as u64,
            "until {at}: {:?}, {unread} unread",
            until.last()
        );
    }
}

#[test]
fn an_anchor_that_is_not_at_the_start_or_damaged_is_read_with_its_block() {
    let mut run = TestRun::with_segment(1);
    run.block(block_at(100, 1).anchor(100 * SECOND, 10_000 * SECOND as i64));
    run.block(block_at(200, 1));
    let damaged = run.segments.len();
    run.block(anchored(300, 10_200));
    run.block(block_at(400, 1));
    run.close();
    assert_eq!(damaged, 1);
    // A byte of the second anchor's wall time, which the block's checksum guards and the header's does not.
    run.last().block(3)[64 + 32 + 16 + 8 + 6] ^= 0x40;
    let directory = written(&[&run]);
    let (given, report) = selected(directory.path(), Filter::new().since(10_290 * SECOND as i64));
    assert_eq!(given.last().map(String::as_str), Some("400"), "{given:?}");
    assert_eq!((report.unread_blocks, report.blocks.lost), (1, 1), "{report:#?}");
}

/// Bytes that this thread has asked files for; `None` if the system does not say.
fn read_bytes() -> Option<u64> {
    let io = std::fs::read_to_string("/proc/thread-self/io").ok()?;
    io.lines().find_map(|line| line.strip_prefix("rchar: ")?.parse().ok())
}

#[test]
fn the_last_records_that_a_filter_takes_are_looked_for_from_the_end() {
    let mut run = TestRun::new(1);
    let (mut wanted, mut ns) = (0, 0);
    for index in 1..=20 {
        run.segment(index);
        for _ in 0..10 {
            let mut block = Block::new();
            for _ in 0..50 {
                ns += 1;
                let is_wanted = ns % 100 == 0;
                wanted += u64::from(is_wanted);
                let text = if is_wanted { format!("wanted {wanted}") } else { "another".repeat(100) };
                block = block.record(1 + (ns % 3) as u32, ns, text);
            }
            run.block(block);
        }
    }
    let directory = written(&[run.close()]);
    let all: u64 = run.segments.iter().map(|image| image.bytes.len() as u64).sum();
    // Five are in a segment, and the reader begins with one before that of the first.
    for (last, segments) in [(1, 2), (5, 2), (6, 3), (18, 5), (99, 20), (1000, 20)] {
        let before = read_bytes();
        let filter = Filter::new().message(|text| text.starts_with(b"wanted"));
        let mut reader = ReadOptions::new().at_least_last(last).filter(filter).open(directory.path()).expect("open");
        let given: Vec<_> = rows(&mut reader).into_iter().map(|row| row.0).collect();
        let expected: Vec<_> = (1..=wanted).map(|number| format!("wanted {number}")).collect();
        assert!(given.len() as u64 >= last.min(wanted), "{last}: {given:?}");
        assert!(given == expected[expected.len() - given.len()..], "{last}: {given:?}");
        let report = reader.report();
        assert_eq!((report.verdict(), report.runs[0].segments), (Verdict::Clean, segments), "{last}: {report:#?}");
        // These segments are read twice, with 4 KiB at the head of a block once more; of the others the beginning is.
        let most = all * segments / 20 * 5 / 2 + 20 * (16 << 10);
        if let (Some(before), Some(after)) = (before, read_bytes()) {
            assert!(after - before <= most, "{last}: {} bytes, at most {most} of {all}", after - before);
        }
    }
}

#[test]
fn a_filter_that_asks_for_times_looks_at_all_headers_for_the_last_records() {
    let mut run = TestRun::with_segment(1);
    hundred_seconds(&mut run).segment(2);
    let directory = written(&[run.close()]);
    let mut reader =
        ReadOptions::new().at_least_last(1).filter(between(10_050, 10_053)).open(directory.path()).expect("open");
    let given: Vec<_> = rows(&mut reader).into_iter().map(|row| row.0).collect();
    assert_eq!(given, ["150", "151", "152"]);
    assert!(reader.report().unread_blocks > 90);
}

#[test]
fn gaps_are_given_by_their_time_and_their_producer() {
    let mut run = TestRun::with_segment(1);
    run.block(anchored(100, 10_000));
    for (second, producer) in [(110, 1), (120, 2), (130, 1)] {
        run.block(
            Block::new()
                .lose(producer, 5)
                .gap(producer, if second == 130 { 7 } else { u64::from(producer == 1) }, 5, LossCause::RingFull)
                .record(producer, second * SECOND, format!("{second}")),
        );
    }
    let directory = written(&[run.close()]);
    let given = |filter: Filter| selected(directory.path(), filter).0;
    let (one, two) = ("5 records of worker-1 dropped: ring full", "5 records of worker-2 dropped: ring full");
    let all = given(Filter::new());
    assert_eq!(all.len(), 7, "{all:?}");
    let (one, two) = (
        all.iter().find(|gap| gap.contains("worker-1")).unwrap_or(&one.to_owned()).clone(),
        all.iter().find(|gap| gap.contains("worker-2")).unwrap_or(&two.to_owned()).clone(),
    );
    assert_eq!(given(Filter::new().producer("worker-2")), [two.as_str(), "120"]);
    assert_eq!(
        given(Filter::new().message(|text| text == b"110").producer("worker-1")),
        [one.as_str(), "110", one.as_str()]
    );
    assert_eq!(given(between(10_025, 10_040)), [one.as_str(), "130"]);
}

#[test]
fn what_follows_is_taken_too_and_what_does_not_fit_does_not_wake_the_follower() {
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 10, "a 1"));
    let directory = written(&[&run]);
    let filter = Filter::new().message(|text| text.starts_with(b"a"));
    let mut reader = ReadOptions::new().filter(filter).open(directory.path()).expect("open");
    assert_eq!(reader.next_record().expect("read").expect("one").message(), b"a 1");
    assert!(reader.next_record().expect("read").is_none());
    run.block(Block::new().record(1, 20, "b 2"));
    run.write(directory.path());
    assert!(!reader.follow(Duration::ZERO).expect("read"));
    run.block(Block::new().record(1, 30, "a 3"));
    run.write(directory.path());
    assert!(reader.follow(Duration::ZERO).expect("read"));
    assert_eq!(reader.next_record().expect("read").expect("one").message(), b"a 3");
}

#[test]
fn what_a_newer_diolog_wrote_is_noticed_by_every_filter() {
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 0, "0")).block(Block::new().encodings(0, 9).record(1, 10, "1")).close();
    let directory = written(&[&run]);
    for filter in [Filter::new().target("shop"), Filter::new().producer("nobody"), Filter::new().level(Level::Error)] {
        let (records, report) = selected(directory.path(), filter.clone());
        assert_eq!((records, report.newer_records), (Vec::new(), 1), "{filter:?}");
        assert_eq!(report.verdict(), Verdict::Newer, "{filter:?}");
    }
}
