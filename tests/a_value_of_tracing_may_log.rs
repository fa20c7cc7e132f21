//! The values of an event or a span may log themselves. (With a subscriber for the whole process: in one for a thread,
//! `tracing` itself leaves such events out.)

mod support;

use std::fmt;

use diolog::{Logger, TracingBridge};
use support::records::records;
use tracing::{info, info_span};
use tracing_subscriber::prelude::*;

struct Logs(&'static str);

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        info!(depth = 1, "inside of {}", self.0);
        f.write_str(self.0)
    }
}

#[test]
fn what_a_value_logs_comes_before_its_own_record() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(support::config(&path)).expect("a log");
    tracing_subscriber::registry().with(TracingBridge::layer(&logger)).init();

    info!(value = ?Logs("a field"), "one");
    info!("{:?}", Logs("a text"));
    let span = info_span!("span", value = ?Logs("a span"), later = tracing::field::Empty);
    span.in_scope(|| {
        span.record("later", tracing::field::debug(Logs("its own span")));
        info!("two");
    });
    logger.close().expect("a clean end");

    let texts: Vec<_> = records(&path).into_iter().map(|record| record.text).collect();
    assert_eq!(
        texts,
        [
            "inside of a field depth=1",
            "one value=\"a field\"",
            "inside of a text depth=1",
            "a text",
            "inside of a span depth=1",
            "span: inside of its own span depth=1 span.value=\"a span\"",
            "span: two span.value=\"a span\" span.later=\"its own span\"",
        ]
    );
}
