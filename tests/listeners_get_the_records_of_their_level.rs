//! A listener gets each record of its level and above, in order and whole, whatever the log's policy and its rings. One
//! that is slow, panics, logs or closes the log costs its own records, which are counted, and nothing of the log's.

mod support;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::Duration;

use diolog::{
    Config, Engine, EngineConfig, EventLogs, Level, Listener, LiveRecord, Logger, Missed, Outcome, Overflow, Producer,
    Reader, Value, Verdict,
};

/// A record, as a listener got it or as the files have it.
#[derive(Clone, Debug, PartialEq)]
struct Got {
    level: Level,
    timestamp_ns: u64,
    producer: (u32, String),
    sequence: u64,
    message: String,
    target: Option<String>,
    fields: Vec<(String, String)>,
    truncated: bool,
}

/// Keeps what it gets.
#[derive(Default)]
struct Keeps {
    records: Mutex<Vec<Got>>,
    missed: AtomicU64,
    unix_ns: AtomicU64,
    ended: AtomicU64,
}

impl Keeps {
    fn messages(&self) -> Vec<String> {
        self.records.lock().expect("no panic").iter().map(|record| record.message.clone()).collect()
    }

    /// Waits until it has got this many records.
    fn wait_for(&self, records: usize) {
        while self.records.lock().expect("no panic").len() < records {
            std::thread::yield_now();
        }
    }
}

impl Listener for Keeps {
    fn record(&self, record: &LiveRecord<'_>) {
        self.unix_ns.store(record.unix_ns() as u64, SeqCst);
        self.records.lock().expect("no panic").push(Got {
            level: record.level(),
            timestamp_ns: record.timestamp_ns(),
            producer: (record.producer_id(), record.producer_name().to_owned()),
            sequence: record.sequence(),
            message: record.text().into_owned(),
            target: record.callsite().map(|callsite| callsite.target().to_owned()),
            fields: record.fields().map(|field| (field.name.to_owned(), format!("{:?}", field.value))).collect(),
            truncated: record.is_truncated(),
        });
    }

    fn missed(&self, missed: &Missed<'_>) {
        self.missed.fetch_add(missed.records(), SeqCst);
    }

    fn log_ended(&self) {
        self.ended.fetch_add(1, SeqCst);
    }
}

/// The records in the files, by producer and sequence.
fn in_files(path: &Path) -> Vec<Got> {
    let mut records: Vec<_> = Reader::open(path)
        .expect("a log")
        .map(|record| {
            let record = record.expect("readable");
            Got {
                level: record.level().expect("known"),
                timestamp_ns: record.timestamp_ns(),
                producer: (record.producer_id(), record.producer_name().to_owned()),
                sequence: record.sequence(),
                message: String::from_utf8_lossy(record.message()).into_owned(),
                target: record.callsite().map(|callsite| callsite.target().to_owned()),
                fields: record.fields().map(|field| (field.name.to_owned(), format!("{:?}", field.value))).collect(),
                truncated: record.is_truncated(),
            }
        })
        .collect();
    records.sort_by_key(|record| (record.producer.0, record.sequence));
    records
}

/// Logs messages and structured records from several threads, of all levels.
fn log_everything(logger: &Logger) {
    std::thread::scope(|scope| {
        for thread in 0..3_u64 {
            scope.spawn(move || {
                let producer = logger.producer_named(&format!("thread {thread}")).expect("a ring");
                for number in 0..400_u64 {
                    let level =
                        [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace][number as usize % 5];
                    assert!(producer.log(level, format!("message {number}")).is_accepted());
                    let outcome = match number % 3 {
                        0 => {
                            diolog::warn!(producer, "order {id} at {price:.2}", id = number, price = 1.5, side = "buy")
                        }
                        1 => diolog::info!(producer, target: "matching", "{price} of {id}", id = number, price = 2.5),
                        _ => diolog::debug!(producer, "number {number}", %number),
                    };
                    assert!(outcome.is_accepted());
                }
                assert_eq!(producer.log(Level::Warn, vec![b'x'; 100_000]), Outcome::Truncated);
            });
        }
    });
}

#[test]
fn a_listener_gets_what_the_files_have_of_its_level_for_every_policy() {
    for overflow in [Overflow::Block, Overflow::DropNewest, Overflow::OverwriteOldest] {
        for packing in [true, false] {
            let directory = support::directory();
            let path = directory.path().join("log");
            let (warnings, all) = (Arc::new(Keeps::default()), Arc::new(Keeps::default()));
            let config = support::config(&path).overflow(overflow).packing(packing).level(Level::Trace);
            // Large enough that nothing is missed.
            let config = config.ring_bytes(1 << 20).listener_queue_bytes(64 << 20);
            let config = config.listener(Level::Warn, warnings.clone()).listener(Level::Trace, all.clone());
            let logger = Logger::open(config.listener(Level::Off, Arc::new(Panics))).expect("a log");
            log_everything(&logger);
            logger.close().expect("closed");

            let expected = in_files(&path);
            assert!(expected.len() > 2_000);
            let mut got = all.records.lock().expect("no panic").clone();
            // Stable: the records of a producer stay in the order in which they came.
            got.sort_by_key(|record| record.producer.0);
            assert_eq!(got, expected, "{overflow:?}, packing {packing}");
            let severe: Vec<_> = expected.into_iter().filter(|record| record.level <= Level::Warn).collect();
            let mut got = warnings.records.lock().expect("no panic").clone();
            got.sort_by_key(|record| record.producer.0);
            assert_eq!(got, severe, "{overflow:?}, packing {packing}");

            let stats = logger.stats().listeners;
            assert_eq!(stats.len(), 2, "{stats:?}");
            assert_eq!((stats[0].level, stats[0].given, stats[0].missed), (Level::Warn, severe.len() as u64, 0));
            assert_eq!((stats[1].missed, stats[1].waiting, all.ended.load(SeqCst)), (0, 0, 1));
        }
    }
}

/// Panics whenever it is called.
struct Panics;

impl Listener for Panics {
    fn record(&self, record: &LiveRecord<'_>) {
        panic!("a bug in a listener, which gets {:?}", record.text());
    }

    fn flush(&self) {
        panic!("another bug in a listener");
    }
}

#[test]
fn a_listener_that_panics_disturbs_neither_the_log_nor_another_listener() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let other = Arc::new(Keeps::default());
    let config = support::config(&path).listener(Level::Info, Arc::new(Panics)).listener(Level::Info, other.clone());
    let logger = Logger::open(config).expect("a log");
    let logged: Vec<_> = (0..100).map(|number| format!("message {number}")).collect();
    logged.iter().for_each(|message| assert_eq!(logger.log(Level::Info, message), Outcome::Written));
    logger.close().expect("closed");
    assert_eq!(other.messages(), logged);
    let stats = logger.stats().listeners;
    assert_eq!((stats[0].given, stats[0].missed, stats[1].given), (0, 100, 100));
    assert_eq!(diolog::verify(&path).expect("a log").verdict, Verdict::Clean);
}

/// Waits in its first record until it may go on.
#[derive(Default)]
struct Waits {
    keeps: Keeps,
    is_inside: AtomicBool,
    goes_on: Mutex<bool>,
    changed: Condvar,
}

impl Waits {
    fn wait_until_inside(&self) {
        while !self.is_inside.load(SeqCst) {
            std::thread::yield_now();
        }
    }

    fn go_on(&self) {
        *self.goes_on.lock().expect("no panic") = true;
        self.changed.notify_all();
    }
}

impl Listener for Waits {
    fn record(&self, record: &LiveRecord<'_>) {
        self.is_inside.store(true, SeqCst);
        let may = self.goes_on.lock().expect("no panic");
        drop(self.changed.wait_while(may, |goes_on| !*goes_on).expect("no panic"));
        self.keeps.record(record);
    }

    fn missed(&self, missed: &Missed<'_>) {
        self.keeps.missed(missed);
    }

    fn log_ended(&self) {
        self.keeps.log_ended();
    }
}

#[test]
fn what_a_slow_listener_misses_is_counted_and_told_and_the_log_has_it() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let slow = Arc::new(Waits::default());
    let config = support::config(&path).overflow(Overflow::Block).listener(Level::Info, slow.clone());
    let logger = Logger::open(config.listener_queue_bytes(64 << 10)).expect("a log");
    let producer = logger.producer().expect("a ring");
    assert_eq!(producer.log(Level::Info, "first"), Outcome::Written);
    slow.wait_until_inside();
    (0..2_000).for_each(|_| assert_eq!(producer.log(Level::Info, [b'x'; 100]), Outcome::Written));
    // The writer goes on although the listener hangs.
    logger.flush().expect("durable");
    let stats = logger.stats().listeners[0];
    assert!(stats.missed > 1_000 && stats.waiting > 100, "{stats:?}");
    assert_eq!(stats.given + stats.missed + stats.waiting, 2_001);
    slow.go_on();
    logger.close().expect("closed");

    let stats = logger.stats().listeners[0];
    assert_eq!((stats.given + stats.missed, stats.waiting), (2_001, 0), "{stats:?}");
    assert_eq!(slow.keeps.missed.load(SeqCst), stats.missed);
    assert_eq!(slow.keeps.messages().len() as u64, stats.given);
    assert_eq!(in_files(&path).len(), 2_001);
}

/// Shows something about a log that closes within a short deadline, although a listener hangs; with longer ones as long
/// as the disk is too slow to end the log within it, which `show` returns.
fn with_short_deadline(show: impl Fn(Duration) -> diolog::Result<()>) {
    let mut deadlines = [300, 3_000, 30_000, 300_000].map(Duration::from_millis).into_iter();
    while let Err(error) = show(deadlines.next().expect("a disk that writes a block in five minutes")) {
        assert!(matches!(error, diolog::Error::CloseIncomplete { .. }), "{error}");
    }
}

#[test]
fn a_listener_that_hangs_holds_close_no_longer_than_its_deadline() {
    with_short_deadline(|deadline| {
        let directory = support::directory();
        let path = directory.path().join("log");
        let hangs = Arc::new(Waits::default());
        let config = support::config(&path).listener(Level::Info, hangs.clone()).close_deadline(deadline);
        let logger = Logger::open(config).expect("a log");
        (0..5).for_each(|_| assert_eq!(logger.log(Level::Info, "message"), Outcome::Written));
        // Before the close: at its deadline the listener may not have begun, and then it gets nothing any more.
        hangs.wait_until_inside();
        let closed = logger.close();
        let at_close = logger.stats().listeners[0];
        hangs.go_on();
        assert_eq!(closed?.durable, 5);
        assert_eq!((at_close.given, at_close.missed, at_close.waiting), (0, 5, 0), "{at_close:?}");
        while hangs.keeps.ended.load(SeqCst) == 0 {
            std::thread::yield_now();
        }
        assert_eq!(logger.stats().listeners[0], at_close, "the end of its call changes nothing");
        assert_eq!(diolog::verify(&path).expect("a log").verdict, Verdict::Clean);
        Ok(())
    });
}

/// Logs to the log that it listens to, and closes it at one message.
#[derive(Default)]
struct Logs {
    logger: OnceLock<Logger>,
    keeps: Keeps,
}

impl Listener for Logs {
    fn record(&self, record: &LiveRecord<'_>) {
        self.keeps.record(record);
        let logger = self.logger.get().expect("set before the first record");
        let _ = logger.log(Level::Error, format!("heard: {}", record.text()));
        let _ = diolog::error!(logger, "heard", sequence = record.sequence());
        if record.message() == b"close" {
            let _ = logger.close();
        }
    }
}

#[test]
fn what_a_listener_logs_is_in_the_log_and_given_to_no_listener() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let (logs, other) = (Arc::new(Logs::default()), Arc::new(Keeps::default()));
    let config = support::config(&path).listener(Level::Info, logs.clone()).listener(Level::Info, other.clone());
    let logger = Logger::open(config).expect("a log");
    logs.logger.set(logger.clone()).expect("once");
    (0..50).for_each(|_| assert_eq!(logger.log(Level::Info, "message"), Outcome::Written));
    logs.keeps.wait_for(50);
    logger.close().expect("closed");
    assert_eq!((logs.keeps.messages().len(), other.messages().len()), (50, 50));
    let messages: Vec<_> = in_files(&path).into_iter().map(|record| record.message).collect();
    assert!(messages.iter().filter(|message| *message == "heard: message").count() >= 49);
    assert!(messages.iter().filter(|message| message.starts_with("heard sequence=")).count() >= 49);
}

/// Logs through a producer of another thread, and makes one for another thread.
#[derive(Default)]
struct Exchanges {
    logger: OnceLock<Logger>,
    given: Mutex<Option<Producer>>,
    made: Mutex<Option<Producer>>,
    keeps: Keeps,
}

impl Listener for Exchanges {
    fn record(&self, record: &LiveRecord<'_>) {
        let mut given = self.given.lock().expect("no panic");
        let producer = given.as_mut().expect("set before the first record");
        assert_eq!(producer.log(Level::Info, "heard"), Outcome::Written);
        assert_eq!(diolog::info!(producer, "heard {sequence}", sequence = record.sequence()), Outcome::Written);
        assert_eq!(producer.log_args(Level::Info, format_args!("heard {}", record.sequence())), Outcome::Written);
        let mut claim = producer.claim(Level::Info, 5).expect("room");
        claim.copy_from_slice(b"heard");
        assert_eq!(claim.commit(), Outcome::Written);
        let logger = self.logger.get().expect("set before the first record");
        let mut made = self.made.lock().expect("no panic");
        made.get_or_insert_with(|| logger.producer_named("made on the listener's thread").expect("a ring"));
        self.keeps.record(record);
    }
}

#[test]
fn the_thread_that_logs_a_record_decides_whether_listeners_get_it_and_not_the_one_that_made_the_producer() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let exchanges = Arc::new(Exchanges::default());
    let logger = Logger::open(support::config(&path).listener(Level::Info, exchanges.clone())).expect("a log");
    *exchanges.given.lock().expect("no panic") = Some(logger.producer_named("made elsewhere").expect("a ring"));
    exchanges.logger.set(logger.clone()).expect("once");
    (0..20).for_each(|_| assert_eq!(logger.log(Level::Info, "message"), Outcome::Written));
    exchanges.keeps.wait_for(20);
    let made = exchanges.made.lock().expect("no panic").take().expect("made at the first record");
    assert_eq!(made.log(Level::Info, "by a thread of the program"), Outcome::Written);
    let given = exchanges.given.lock().expect("no panic");
    let producer = given.as_ref().expect("set above");
    assert_eq!(producer.log(Level::Info, "by a thread of the program"), Outcome::Written);
    drop(given);
    exchanges.keeps.wait_for(22);
    logger.close().expect("closed");
    let mut heard = exchanges.keeps.messages();
    assert_eq!(heard.split_off(20), ["by a thread of the program"; 2]);
    assert_eq!(heard, ["message"; 20]);
    let messages: Vec<_> = in_files(&path).into_iter().map(|record| record.message).collect();
    assert_eq!(messages.iter().filter(|message| message.starts_with("heard")).count(), 22 * 4);
}

#[test]
fn a_listener_may_close_the_log() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logs = Arc::new(Logs::default());
    let logger = Logger::open(support::config(&path).listener(Level::Info, logs.clone())).expect("a log");
    logs.logger.set(logger.clone()).expect("once");
    assert_eq!(logger.log(Level::Info, "close"), Outcome::Written);
    while logger.log(Level::Info, "later") != Outcome::Closed {
        std::thread::yield_now();
    }
    logger.close().expect("closed");
    assert_eq!(logs.keeps.messages()[0], "close");
}

#[test]
fn one_listener_of_two_logs_hears_both() {
    let directory = support::directory();
    let both = Arc::new(Keeps::default());
    let open = |name: &str| {
        let config = support::config(directory.path().join(name)).listener(Level::Info, both.clone());
        Logger::open(config).expect("a log")
    };
    let (one, other) = (open("one"), open("other"));
    assert_eq!(one.log(Level::Info, "of one"), Outcome::Written);
    assert_eq!(other.log(Level::Info, "of the other"), Outcome::Written);
    one.close().expect("closed");
    other.close().expect("closed");
    let mut messages = both.messages();
    messages.sort();
    assert_eq!((messages, both.ended.load(SeqCst)), (vec!["of one".to_owned(), "of the other".to_owned()], 2));
}

#[test]
fn the_time_of_a_record_is_that_of_the_wall_clock_and_its_values_keep_their_types() {
    struct Checks(Keeps);
    impl Listener for Checks {
        fn record(&self, record: &LiveRecord<'_>) {
            assert_eq!(record.field("id"), Some(Value::Unsigned(7)));
            assert_eq!(record.field("none"), None);
            assert_eq!((record.service(), record.log().file_name()), ("orders", Some("log".as_ref())));
            let callsite = record.callsite().expect("a structured record");
            assert_eq!((callsite.file(), callsite.template()), (file!(), "order {id}"));
            let mut line = Vec::new();
            record.write_line(&mut line);
            let line = String::from_utf8(line).expect("UTF-8");
            assert!(
                line.ends_with("Z WARN  main listeners_get_the_records_of_their_level: order 7 note=\"a\\nb\""),
                "{line}"
            );
            self.0.record(record);
        }
    }
    let directory = support::directory();
    let checks = Arc::new(Checks(Keeps::default()));
    let config = support::config(directory.path().join("log")).service("orders").listener(Level::Info, checks.clone());
    let before = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_nanos() as u64;
    let logger = Logger::open(config).expect("a log");
    let producer = logger.producer_named("main").expect("a ring");
    assert_eq!(diolog::warn!(producer, "order {id}", id = 7_u64, note = "a\nb"), Outcome::Written);
    logger.close().expect("closed");
    assert_eq!(logger.stats().listeners[0].given, 1, "its assertions hold");
    let unix_ns = checks.0.unix_ns.load(SeqCst);
    let second = 1_000_000_000;
    assert!((before - second..=before + 60 * second).contains(&unix_ns), "{unix_ns}, after {before}");
}

#[test]
fn configurations_are_equal_if_their_listeners_are_the_same() {
    let (one, other): (Arc<dyn Listener>, Arc<dyn Listener>) = (Arc::new(Panics), Arc::new(Waits::default()));
    let with = |listener: &Arc<dyn Listener>| Config::new("log").listener(Level::Info, Arc::clone(listener));
    assert_eq!(with(&one), with(&one).clone());
    assert_ne!(with(&one), with(&other));
    assert_ne!(with(&one), Config::new("log"));
    assert!(format!("{:?}", with(&one)).contains("Info"));
}

#[test]
fn a_listener_that_hangs_holds_no_other_log_of_its_engine_and_no_other_listener() {
    with_short_deadline(|deadline| {
        let directory = support::directory();
        let engine = Engine::start(EngineConfig::new()).expect("an engine");
        let (hangs, other) = (Arc::new(Waits::default()), Arc::new(Keeps::default()));
        let config = |name: &str| support::config(directory.path().join(name)).close_deadline(deadline);
        let with_both = config("one").listener(Level::Info, hangs.clone()).listener(Level::Info, other.clone());
        let one = engine.open(with_both).expect("a log");
        let two = engine.open(config("two").listener(Level::Info, other.clone())).expect("a log");
        assert_eq!(one.log(Level::Info, "hangs"), Outcome::Written);
        hangs.wait_until_inside();
        for number in 0..100 {
            assert_eq!(one.log(Level::Info, format!("one {number}")), Outcome::Written);
            assert_eq!(two.log(Level::Info, format!("two {number}")), Outcome::Written);
        }
        [&one, &two].into_iter().for_each(|logger| logger.flush().expect("durable"));
        other.wait_for(201);
        let closed = [one.close(), two.close()];
        hangs.go_on();
        let [one, two] = closed;
        assert_eq!((one?.durable, two?.durable), (101, 100));
        Ok(())
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_listener_of_many_logs_has_one_thread_which_ends_with_the_last_of_them() {
    const TEST: &str = "a_listener_of_many_logs_has_one_thread_which_ends_with_the_last_of_them";
    if support::child::ran_in_child(TEST) {
        return;
    }
    let engine = Engine::start(EngineConfig::new()).expect("an engine");
    let (heard, alone) = (Arc::new(Keeps::default()), Arc::new(Keeps::default()));
    let config = |name: String| support::config(support::child_directory().join(name)).first_segment_bytes(1 << 20);
    let open = |name: String| engine.open(config(name).listener(Level::Info, heard.clone())).expect("a log");
    let logs: Vec<_> = (0..10).map(|number| open(format!("log {number}"))).collect();
    let other = engine.open(config("other".to_owned()).listener(Level::Info, alone.clone())).expect("a log");
    for log in &logs {
        assert_eq!(log.log(Level::Info, "one"), Outcome::Written);
        log.flush().expect("durable");
    }
    heard.wait_for(10);
    assert_eq!(other.log(Level::Info, "one"), Outcome::Written);
    other.flush().expect("durable");
    while alone.messages().is_empty() {
        std::thread::yield_now();
    }
    assert_eq!(support::os::threads_named("diolog-listener").len(), 2);
    engine.close().expect("closed");
    assert_eq!((heard.ended.load(SeqCst), alone.ended.load(SeqCst)), (10, 1));
    support::os::wait_for_threads("diolog-listener", 0);
}

#[test]
fn what_a_listener_logs_through_the_ring_that_threads_share_is_not_given_to_it() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logs = Arc::new(Logs::default());
    // Room for the ring of one thread: the listener's has none.
    let config = support::config(&path).ring_bytes(4096).thread_ring_bytes(4096).rings_bytes_max(4096).reserve_bytes(0);
    let config = config.message_bytes_max(1000).overflow(Overflow::Block);
    let logger = Logger::open(config.listener(Level::Info, logs.clone())).expect("a log");
    logs.logger.set(logger.clone()).expect("once");
    (0..20).for_each(|_| assert_eq!(logger.log(Level::Info, "message"), Outcome::Written));
    logs.keeps.wait_for(20);
    logger.flush().expect("durable");
    assert!(logger.stats().producers.iter().any(|producer| producer.name == "(common)" && producer.attempted > 0));
    logger.close().expect("closed");
    assert_eq!(logs.keeps.messages(), vec!["message"; 20]);
}

#[test]
fn a_listener_gets_records_again_after_a_panic() {
    /// Panics at its first record.
    #[derive(Default)]
    struct PanicsOnce(AtomicBool, Keeps);
    impl Listener for PanicsOnce {
        fn record(&self, record: &LiveRecord<'_>) {
            assert!(self.0.swap(true, SeqCst), "a bug in a listener");
            self.1.record(record);
        }
    }
    let directory = support::directory();
    let once = Arc::new(PanicsOnce::default());
    let config = support::config(directory.path().join("log")).listener(Level::Info, once.clone());
    let logger = Logger::open(config).expect("a log");
    assert_eq!(logger.log(Level::Info, "first"), Outcome::Written);
    assert_eq!(logger.log(Level::Info, "second"), Outcome::Written);
    while once.1.messages().is_empty() {
        std::thread::yield_now();
    }
    assert_eq!(once.1.messages(), ["second"]);
    logger.close().expect("closed");
    assert_eq!((logger.stats().listeners[0].given, logger.stats().listeners[0].missed), (1, 1));
}

#[cfg(target_os = "linux")]
#[test]
fn an_exit_on_a_listeners_thread_ends_the_process_with_the_log_drained() {
    const TEST: &str = "an_exit_on_a_listeners_thread_ends_the_process_with_the_log_drained";
    struct Exits;
    impl Listener for Exits {
        fn record(&self, _: &LiveRecord<'_>) {
            std::process::exit(7);
        }
    }
    if support::role().is_some() {
        let config = support::config(support::child_directory()).listener(Level::Info, Arc::new(Exits));
        let config = config.close_deadline(Duration::from_secs(24 * 60 * 60));
        let logger = Logger::open(config).expect("a log");
        assert_eq!(logger.log(Level::Info, "one"), Outcome::Written);
        loop {
            std::thread::park();
        }
    }
    let directory = support::directory();
    let path = directory.path().join("log");
    let output = support::run_child(TEST, "child", &path);
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    assert_eq!(in_files(&path).len(), 1);
    assert_eq!(diolog::verify(&path).expect("a log").verdict, Verdict::Clean);
}

#[test]
fn a_log_does_not_wait_for_a_listener_for_which_another_one_has_waited_in_vain() {
    let directory = support::directory();
    let hangs = Arc::new(Waits::default());
    let open = |name: &str, deadline| {
        let config = support::config(directory.path().join(name)).close_deadline(deadline);
        Logger::open(config.listener(Level::Info, hangs.clone())).expect("a log")
    };
    // The first one waits for more than a second, unless the disk needs three for its last block; the other one would
    // wait for a day.
    let logs = [open("one", Duration::from_secs(4)), open("other", Duration::from_secs(24 * 60 * 60))];
    for logger in &logs {
        assert_eq!(logger.log(Level::Info, "message"), Outcome::Written);
        logger.flush().expect("durable");
    }
    hangs.wait_until_inside();
    for logger in &logs {
        assert_eq!(logger.close().expect("closed").durable, 1);
    }
    hangs.go_on();
}

#[test]
fn a_line_names_its_log_if_the_listener_has_several() {
    struct Lines(Mutex<Vec<String>>);
    impl Listener for Lines {
        fn record(&self, record: &LiveRecord<'_>) {
            let mut line = Vec::new();
            record.write_line(&mut line);
            self.0.lock().expect("no panic").push(String::from_utf8(line).expect("UTF-8"));
        }
    }
    let directory = support::directory();
    let lines = Arc::new(Lines(Mutex::default()));
    let open = |name: &str| {
        let config = support::config(directory.path().join(name)).listener(Level::Info, lines.clone());
        Logger::open(config).expect("a log")
    };
    let log = |logger: &Logger| {
        let producer = logger.producer_named("main").expect("a ring");
        assert_eq!(producer.log(Level::Info, "message"), Outcome::Written);
        logger.close().expect("closed");
    };
    let payment = open("payment");
    let other = open("other");
    log(&payment);
    log(&other);
    let ends: Vec<_> = lines.0.lock().expect("no panic").iter().map(|line| line[28..].to_owned()).collect();
    assert_eq!(ends, ["INFO  payment main message", "INFO  other main message"]);
    let alone = Arc::new(Lines(Mutex::default()));
    let config = support::config(directory.path().join("alone")).listener(Level::Info, alone.clone());
    log(&Logger::open(config).expect("a log"));
    assert_eq!(alone.0.lock().expect("no panic")[0][28..], *"INFO  main message");
}

#[test]
fn a_listener_hears_nothing_of_a_log_that_is_refused() {
    struct Names(Keeps, Mutex<Vec<String>>);
    impl Listener for Names {
        fn record(&self, record: &LiveRecord<'_>) {
            let mut line = Vec::new();
            record.write_line(&mut line);
            self.1.lock().expect("no panic").push(String::from_utf8(line).expect("UTF-8"));
        }

        fn log_ended(&self) {
            self.0.log_ended();
        }
    }
    let directory = support::directory();
    let names = Arc::new(Names(Keeps::default(), Mutex::default()));
    let config = |name: &str| support::config(directory.path().join(name)).listener(Level::Info, names.clone());
    let logger = Logger::open(config("log")).expect("a log");
    assert!(Logger::open(config("no/parent")).is_err(), "refused before it has a directory");
    let engine = Engine::start(EngineConfig::new().blocks_bytes_max(8192)).expect("an engine");
    assert!(engine.open(config("other").block_bytes(64 << 10)).is_err(), "refused by the writer");
    let producer = logger.producer_named("main").expect("a ring");
    assert_eq!(producer.log(Level::Info, "message"), Outcome::Written);
    logger.close().expect("closed");
    let lines = names.1.lock().expect("no panic").clone();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0][28..], *"INFO  main message", "no log's name");
    assert_eq!(names.0.ended.load(SeqCst), 1);
}

#[test]
fn event_logs_share_the_listeners_of_their_configuration() {
    let directory = support::directory();
    let engine = Engine::start(EngineConfig::new()).expect("an engine");
    let heard = Arc::new(Keeps::default());
    let config = support::config("").first_segment_bytes(1 << 20).listener(Level::Warn, heard.clone());
    let events = EventLogs::new(&engine, directory.path().join("events"), config).expect("a directory");
    for event in ["payment", "shipping", "payment"] {
        assert_eq!(events.log(event, Level::Warn, event), Outcome::Written);
        assert_eq!(events.log(event, Level::Info, "below the level"), Outcome::Written);
    }
    assert_eq!(events.close().expect("closed").durable, 6);
    let mut messages = heard.messages();
    messages.sort();
    assert_eq!(
        (messages, heard.ended.load(SeqCst)),
        (["payment", "payment", "shipping"].map(String::from).to_vec(), 2)
    );
}
