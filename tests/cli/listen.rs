//! A listener's line of a record is the one that `diolog cat` prints.

use std::sync::{Arc, Mutex};

use diolog::{Level, Listener, LiveRecord, Logger};

use crate::process::{Place, run, status, stdout};
use crate::support;

/// Keeps the line of each record.
#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl Listener for Lines {
    fn record(&self, record: &LiveRecord<'_>) {
        let mut line = Vec::new();
        record.write_line(&mut line);
        self.0.lock().expect("no panic").push(String::from_utf8(line).expect("UTF-8"));
    }
}

#[test]
fn a_listeners_lines_are_those_of_cat_but_for_the_digits_of_the_time() {
    let place = Place::new();
    let lines = Arc::new(Lines::default());
    let config = support::config(place.log()).level(Level::Trace).ring_bytes(1 << 20);
    let config = config.listener(Level::Trace, lines.clone()).listener_queue_bytes(64 << 20);
    let logger = Logger::open(config.overflow(diolog::Overflow::Block)).expect("a log");
    let (named, unnamed) = (logger.producer_named("na\tme").expect("a ring"), logger.producer_named("").expect("one"));
    for level in [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace] {
        named.log(level, "a message");
        unnamed.log(level, "a message");
    }
    // Every byte, each of them in what is no character too, and every character of which some are unsafe to show.
    for first in 0..=255_u8 {
        named.log(Level::Info, [b'a', first, b'z']);
        named.log(Level::Info, [0xE2, first, 0x80, b'z']);
    }
    for letters in ('\0'..'\u{3000}').collect::<Vec<_>>().chunks(64) {
        named.log(Level::Info, letters.iter().collect::<String>());
    }
    diolog::info!(named, "order {id} filled", id = 7_u64, side = "b\u{202e}uy", note = "two words");
    diolog::warn!(unnamed, target: "tar\nget", "{price:.2} for {id:>5}", id = 7_u64, price = 2.0);
    diolog::error!(named, target: "", "no target", empty = "", none = None::<u64>);
    named.log(Level::Info, vec![b'x'; 100_000]);
    drop((named, unnamed));
    logger.close().expect("closed");

    let output = run(["cat", "--format", "text", place.log().to_str().expect("UTF-8")], b"");
    assert_eq!(status(&output), 0);
    let rest = |line: &str| line.split_once("Z ").expect("a time in UTC").1.to_owned();
    let mut printed: Vec<_> = stdout(&output).lines().map(rest).collect();
    let mut heard: Vec<_> = lines.0.lock().expect("no panic").iter().map(|line| rest(line)).collect();
    // Records of two producers come in about the order of their times.
    printed.sort();
    heard.sort();
    assert!(heard.len() > 700);
    assert_eq!(heard, printed);
}
