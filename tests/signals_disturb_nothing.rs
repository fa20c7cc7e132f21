//! Signals that interrupt the system calls of every thread cost no record. A handler that logs gets its record written,
//! or is refused because it interrupted an append of its own thread; the two records never mix. Handlers run on the
//! program's threads alone.
#![cfg(all(target_os = "linux", not(diolog_portable)))]

mod support;

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use diolog::{Level, Logger, Outcome, Overflow, Reader};
use support::account::{self, Attempts, Overwrites};
use support::os;

static ALARMS: AtomicU64 = AtomicU64::new(0);
static NUDGES: AtomicU64 = AtomicU64::new(0);
static NUDGES_OF_LIBRARY: AtomicU64 = AtomicU64::new(0);

extern "C" fn count_alarm(_: libc::c_int) {
    ALARMS.fetch_add(1, Ordering::Relaxed);
}

extern "C" fn count_nudge(_: libc::c_int) {
    let count = if os::is_on_thread_of_library() { &NUDGES_OF_LIBRARY } else { &NUDGES };
    count.fetch_add(1, Ordering::Relaxed);
}

/// Interrupts every other thread of the process, the log's own ones included, until `stop` is set: those block all
/// signals but the ones of faults, of which this is one.
fn nudge_all_threads(stop: &AtomicBool) {
    let own = os::thread_id();
    while !stop.load(Ordering::Relaxed) {
        for thread in os::threads().into_iter().filter(|&thread| thread != own) {
            os::send_signal_to_thread(thread, libc::SIGTRAP);
        }
        std::thread::yield_now();
    }
}

#[test]
fn signals_that_interrupt_system_calls_cost_no_record() {
    // In a process of its own: the signals reach all threads.
    if support::child::ran_in_child("signals_that_interrupt_system_calls_cost_no_record") {
        return;
    }
    os::handle_signal(libc::SIGALRM, count_alarm);
    os::handle_signal(libc::SIGTRAP, count_nudge);
    os::send_alarms_at_1_khz();
    for device in ["auto", "pwrite", "buffered"] {
        let path = support::child_directory().join(device);
        let preference = match device {
            "pwrite" => diolog::DevicePreference::Pwrite,
            "buffered" => diolog::DevicePreference::Buffered,
            _ => diolog::DevicePreference::Auto,
        };
        let config = support::config(&path).device(preference).ring_bytes(8192).overflow(Overflow::Block);
        let logger = match Logger::open(config) {
            Ok(logger) => logger,
            Err(error @ diolog::Error::InvalidConfig { .. }) => {
                support::not_shown("signals under pwrite", error);
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        let stop = AtomicBool::new(false);
        let all: Vec<Attempts> = std::thread::scope(|scope| {
            scope.spawn(|| nudge_all_threads(&stop));
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        let producer = logger.producer().expect("a ring");
                        let mut attempts = Attempts::new(&producer);
                        let counts =
                            || [&ALARMS, &NUDGES, &NUDGES_OF_LIBRARY].map(|count| count.load(Ordering::Relaxed));
                        // Until there have been many of all kinds.
                        let enough = std::iter::zip(counts(), [50, 1_000, 1_000]).map(|(count, more)| count + more);
                        let enough: Vec<_> = enough.collect();
                        while counts().iter().zip(&enough).any(|(count, enough)| count < enough) {
                            assert_eq!(attempts.log(&producer), Outcome::Written);
                            if attempts.outcomes.len().is_multiple_of(1000) {
                                logger.flush().expect("durable");
                            }
                        }
                        attempts
                    })
                })
                .collect();
            let all = threads.into_iter().map(|thread| thread.join().expect("no panic")).collect();
            logger.close().expect("a clean end");
            stop.store(true, Ordering::Relaxed);
            all
        });
        assert_eq!(logger.stats().write_errors, 0, "an interrupted call is repeated");
        account::check(&path, &all, Overwrites::No);
    }
    std::process::exit(0);
}

static HANDLED: AtomicU64 = AtomicU64::new(0);
static HANDLED_BY_LIBRARY: AtomicU64 = AtomicU64::new(0);

extern "C" fn note_thread(_: libc::c_int) {
    let count = if os::is_on_thread_of_library() { &HANDLED_BY_LIBRARY } else { &HANDLED };
    count.fetch_add(1, Ordering::Relaxed);
}

/// Takes its records, and does nothing.
struct Deaf;

impl diolog::Listener for Deaf {
    fn record(&self, _: &diolog::LiveRecord<'_>) {}
}

#[test]
fn handlers_of_the_program_run_on_its_own_threads_alone() {
    if support::child::ran_in_child("handlers_of_the_program_run_on_its_own_threads_alone") {
        return;
    }
    os::handle_signal(libc::SIGUSR1, note_thread);
    os::handle_signal(libc::SIGTERM, note_thread);
    #[cfg(feature = "signals")]
    diolog::drain_on_signals().expect("a thread for the others");
    let before = os::blocked_signals(os::thread_id());
    let config = |name| support::config(support::child_directory().join(name)).overflow(Overflow::Block);
    let logger =
        Logger::open(config("log").ring_bytes(8192).listener(Level::Info, std::sync::Arc::new(Deaf))).expect("a log");
    // It has a thread for a device without io_uring.
    let other = Logger::open(config("other").device(diolog::DevicePreference::Buffered)).expect("a log");
    assert_eq!(os::blocked_signals(os::thread_id()), before, "the opening thread's own mask is as it was");

    os::wait_for_threads("diolog-writer", 2);
    os::wait_for_threads("diolog-listener", 1);
    let of_faults =
        [libc::SIGABRT, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGSEGV, libc::SIGSYS, libc::SIGTRAP];
    for thread in os::threads_of_library() {
        let blocked = os::blocked_signals(thread);
        // Neither those that cannot be blocked, nor those of the C library.
        let open: Vec<_> = (1..=31).filter(|signal| blocked >> (signal - 1) & 1 == 0).collect();
        let lock = os::threads_named("diolog-lock").contains(&thread);
        let faults = if lock { &[][..] } else { &of_faults };
        let mut expected = [faults, &[libc::SIGKILL, libc::SIGSTOP]].concat();
        expected.sort_unstable();
        assert_eq!(open, expected, "thread {thread}");
    }

    // From now on no thread of the program takes the signals but one.
    os::block_signals(&[libc::SIGUSR1, libc::SIGTERM]);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            os::unblock_signals(&[libc::SIGUSR1, libc::SIGTERM]);
            while !stop.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
        });
        while HANDLED.load(Ordering::Relaxed) + HANDLED_BY_LIBRARY.load(Ordering::Relaxed) < 2_000 {
            for signal in [libc::SIGUSR1, libc::SIGTERM] {
                os::send_signal(std::process::id(), signal);
            }
            for logger in [&logger, &other] {
                assert_eq!(logger.log(Level::Info, b"under load"), Outcome::Written);
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    logger.close().expect("a clean end");
    other.close().expect("a clean end");
    assert_eq!(HANDLED_BY_LIBRARY.load(Ordering::Relaxed), 0);
    std::process::exit(0);
}

static LOGGER: OnceLock<Logger> = OnceLock::new();
static WRITTEN: AtomicU64 = AtomicU64::new(0);
static DROPPED: AtomicU64 = AtomicU64::new(0);
static REENTRANT: AtomicU64 = AtomicU64::new(0);
static OTHER: AtomicU64 = AtomicU64::new(0);

/// Logs through the producer of the interrupted thread, which exists already.
extern "C" fn log_from_handler(_: libc::c_int) {
    let Some(logger) = LOGGER.get() else { return };
    let count = match logger.log(Level::Info, b"from the handler") {
        Outcome::Written => &WRITTEN,
        Outcome::Dropped => &DROPPED,
        Outcome::Reentrant => &REENTRANT,
        _ => &OTHER,
    };
    count.fetch_add(1, Ordering::Relaxed);
}

#[test]
fn signal_handlers_that_log_are_written_or_refused() {
    if support::child::ran_in_child("signal_handlers_that_log_are_written_or_refused") {
        return;
    }
    let path = support::child_directory().join("log");
    let logger = Logger::open(support::config(&path).thread_ring_bytes(1 << 20)).expect("a log");
    LOGGER.set(logger.clone()).expect("set once");
    // Makes the thread's ring: a handler must not be the first to need it.
    assert_eq!(logger.log(Level::Info, b"from the thread"), Outcome::Written);
    let (mut written, mut dropped) = (1, 0);
    os::handle_signal(libc::SIGUSR1, log_from_handler);
    let stop = AtomicBool::new(false);
    let own = os::thread_id();
    std::thread::scope(|scope| {
        scope.spawn(|| os::send_signals_to_thread(own, libc::SIGUSR1, || stop.load(Ordering::Relaxed)));
        // Until the handler has run many times, both between appends and within them.
        while WRITTEN.load(Ordering::Relaxed) < 200 || REENTRANT.load(Ordering::Relaxed) < 20 {
            match logger.log(Level::Info, b"from the thread") {
                Outcome::Written => written += 1,
                Outcome::Dropped => dropped += 1,
                other => panic!("{other:?}"),
            }
            // The thread is mostly within an append when it is interrupted, on a busy machine for a hundred million
            // records. Between two it lets others run.
            if REENTRANT.load(Ordering::Relaxed) >= 20 {
                std::thread::yield_now();
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    logger.close().expect("a clean end");
    assert_eq!(OTHER.load(Ordering::Relaxed), 0);
    let in_handler = WRITTEN.load(Ordering::Relaxed);
    let stats = logger.stats();
    let reentrant = REENTRANT.load(Ordering::Relaxed);
    assert_eq!((stats.refused, stats.refused_by.reentrant), (reentrant, reentrant), "every refusal is counted");
    assert_eq!(stats.dropped, dropped + DROPPED.load(Ordering::Relaxed));
    assert_eq!(stats.attempted, written + in_handler + stats.dropped);

    let mut reader = Reader::open(&path).expect("a log");
    let (mut threads, mut handlers, mut sequences) = (0, 0, BTreeSet::new());
    while let Some(record) = reader.next_record().expect("readable") {
        match record.message() {
            b"from the thread" => threads += 1,
            b"from the handler" => handlers += 1,
            other => panic!("{:?}", String::from_utf8_lossy(other)),
        }
        assert!(sequences.insert(record.sequence()), "a number twice");
    }
    assert_eq!((threads, handlers), (written, in_handler));
    let verification = diolog::verify(&path).expect("a log");
    assert_eq!(verification.verdict, support::account::intact(stats.dropped));
    assert_eq!(verification.report.runs[0].refused_reentrant, reentrant, "in the files too");
    std::process::exit(0);
}

/// Its formatter takes long enough to be interrupted. It says whether it was.
struct Slow;

static IN_FORMATTER: AtomicU64 = AtomicU64::new(0);

impl std::fmt::Display for Slow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        IN_FORMATTER.fetch_add(1, Ordering::Relaxed);
        for _ in 0..200 {
            f.write_str("from the thread, ")?;
        }
        IN_FORMATTER.fetch_sub(1, Ordering::Relaxed);
        Ok(())
    }
}

static WITHIN: AtomicU64 = AtomicU64::new(0);

/// Formats and logs a field.
extern "C" fn log_fields_from_handler(_: libc::c_int) {
    let Some(logger) = LOGGER.get() else { return };
    let count = match diolog::info!(logger, "{who}", who = %"from the handler") {
        Outcome::Written => &WRITTEN,
        Outcome::Dropped => &DROPPED,
        Outcome::Reentrant => &REENTRANT,
        _ => &OTHER,
    };
    count.fetch_add(1, Ordering::Relaxed);
    WITHIN.fetch_add(IN_FORMATTER.load(Ordering::Relaxed), Ordering::Relaxed);
}

#[test]
fn signal_handlers_that_format_fields_disturb_no_formatter() {
    if support::child::ran_in_child("signal_handlers_that_format_fields_disturb_no_formatter") {
        return;
    }
    let path = support::child_directory().join("log");
    let logger = Logger::open(support::config(&path).thread_ring_bytes(1 << 20)).expect("a log");
    LOGGER.set(logger.clone()).expect("set once");
    let log = || diolog::info!(logger, "{who}", who = %Slow);
    // Each place once, and the thread's ring, before the handler may run: it must not be the first.
    assert_eq!(log(), Outcome::Written);
    log_fields_from_handler(0);
    let (mut written, mut dropped) = (1, 0);
    os::handle_signal(libc::SIGUSR1, log_fields_from_handler);
    let stop = AtomicBool::new(false);
    let own = os::thread_id();
    let other = std::thread::scope(|scope| {
        scope.spawn(|| os::send_signals_to_thread(own, libc::SIGUSR1, || stop.load(Ordering::Relaxed)));
        // Until it has run many times, also within a formatter.
        let mut other = None;
        while other.is_none() && (WRITTEN.load(Ordering::Relaxed) < 200 || WITHIN.load(Ordering::Relaxed) < 20) {
            match log() {
                Outcome::Written => written += 1,
                Outcome::Dropped => dropped += 1,
                unexpected => other = Some(unexpected),
            }
        }
        stop.store(true, Ordering::Relaxed);
        other
    });
    logger.close().expect("a clean end");
    assert_eq!((other, OTHER.load(Ordering::Relaxed)), (None, 0));
    let in_handler = WRITTEN.load(Ordering::Relaxed);
    let stats = logger.stats();
    assert_eq!(stats.refused_by.reentrant, REENTRANT.load(Ordering::Relaxed));
    assert_eq!(stats.dropped, dropped + DROPPED.load(Ordering::Relaxed));

    let whole = "from the thread, ".repeat(200);
    let (mut threads, mut handlers) = (0, 0);
    let mut reader = Reader::open(&path).expect("a log");
    while let Some(record) = reader.next_record().expect("readable") {
        match record.field("who").map(|who| who.to_string()) {
            Some(who) if who == whole => threads += 1,
            Some(who) if who == "from the handler" => handlers += 1,
            mixed => panic!("mixed: {mixed:?}"),
        }
    }
    assert_eq!((threads, handlers), (written, in_handler));
    std::process::exit(0);
}
