//! A client and a server of HTTP, written by others, log by the crate `log`: the log holds what another logger of the
//! same process gets.

mod support;

use std::sync::Mutex;

use diolog::{Level, LogBridge, Logger};
use log::kv::{self, Key, Value, VisitSource};
use log::{Log, Metadata, Record};
use support::records::{Recorded, records};

/// Gets all events that the bridge gets.
struct Reference {
    bridge: LogBridge,
    captured: &'static Mutex<Vec<Recorded>>,
}

static CAPTURED: Mutex<Vec<Recorded>> = Mutex::new(Vec::new());

impl Log for Reference {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.bridge.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        struct Names(usize);
        impl<'kvs> VisitSource<'kvs> for Names {
            fn visit_pair(&mut self, _: Key<'kvs>, _: Value<'kvs>) -> Result<(), kv::Error> {
                self.0 += 1;
                Ok(())
            }
        }
        let mut names = Names(0);
        record.key_values().visit(&mut names).expect("visited");
        assert_eq!(names.0, 0, "these libraries have texts alone");
        let text = record.args().to_string();
        let captured = Recorded {
            level: record.level().to_string().parse().expect("a level"),
            target: record.target().to_owned(),
            file: record.file().unwrap_or_default().to_owned(),
            line: record.line().unwrap_or_default(),
            fields: vec![("message".to_owned(), format!("Text({text:?})"))],
            text,
            truncated: false,
        };
        // Held over both, so that they get the events of several threads in the same order.
        let mut held = self.captured.lock().expect("no panic");
        held.push(captured);
        self.bridge.log(record);
    }

    fn flush(&self) {
        self.bridge.flush();
    }
}

#[test]
fn the_log_holds_what_another_logger_gets() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(support::config(&path).level(Level::Trace)).expect("a log");
    let bridge = LogBridge::new(&logger);
    log::set_boxed_logger(Box::new(Reference { bridge: bridge.clone(), captured: &CAPTURED })).expect("the first");
    bridge.update_max_level();
    assert_eq!(log::max_level(), log::LevelFilter::Trace);
    bridge.install().expect_err("there is another one");

    let server = tiny_http::Server::http("127.0.0.1:0").expect("a port");
    let address = server.server_addr().to_ip().expect("an address");
    const REQUESTS: usize = 20;
    let serving = std::thread::spawn(move || {
        for _ in 0..REQUESTS {
            let request = server.recv().expect("a request");
            let answer = format!("you asked for {}", request.url());
            request.respond(tiny_http::Response::from_string(answer)).expect("a client");
        }
    });
    for number in 0..REQUESTS {
        let mut response = ureq::get(format!("http://{address}/orders/{number}")).call().expect("an answer");
        let body = response.body_mut().read_to_string().expect("a text");
        assert_eq!(body, format!("you asked for /orders/{number}"));
    }
    serving.join().expect("no panic");
    log::set_max_level(log::LevelFilter::Off);
    log::logger().flush();
    // Threads of the server that are still within an event wait for this lock until the log is closed.
    let captured = CAPTURED.lock().expect("no panic");
    logger.close().expect("a clean end");

    let recorded = records(&path);
    assert!(recorded.len() > REQUESTS, "{recorded:?}");
    let first = recorded.len().min(captured.len());
    assert_eq!(recorded[..first], captured[..first]);
    assert_eq!(recorded.len(), captured.len());
    let of_client = recorded.iter().filter(|record| record.target.starts_with("ureq")).count();
    assert!(of_client >= REQUESTS && recorded.iter().any(|record| record.text.contains("/orders/19")), "{recorded:?}");
}
