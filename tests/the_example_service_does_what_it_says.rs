//! `examples/orders.rs` does what its first lines say: figures for Prometheus, warnings on standard error, and at
//! SIGTERM logs that are drained.
#![cfg(all(target_os = "linux", not(diolog_portable), feature = "serde", feature = "signals"))]

#[path = "../examples/orders.rs"]
#[allow(dead_code, unreachable_pub, reason = "its main is not called")]
mod orders;
mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, ChildStderr, Stdio};

use diolog::{Reader, Verdict, verify};
use support::os;

/// The port and the process id that the service prints.
fn announced(child: &mut Child) -> (String, u32) {
    let lines = BufReader::new(child.stdout.as_mut().expect("a pipe")).lines();
    // The test's own name may stand before it in the line.
    let line = lines.map(|line| line.expect("text")).find(|line| line.contains("figures at ")).expect("its port");
    let (_, line) = line.split_once("figures at http://").expect("an address");
    let (address, kill) = line.split_once("/metrics; end it with: kill ").expect("both parts");
    (address.to_owned(), kill.parse().expect("a number"))
}

/// Reads standard error to the first record of level Warn, which a listener shows.
fn first_warning(stderr: &mut BufReader<ChildStderr>) -> String {
    stderr.lines().map(|line| line.expect("text")).find(|line| line.contains(" WARN ")).expect("a warning")
}

fn figures(address: &str) -> String {
    let mut connection = TcpStream::connect(address).expect("the service listens");
    connection.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("asked");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("an answer");
    answer
}

/// How many records the log holds, and the text of the first.
fn read(log: &Path) -> (usize, String) {
    let verification = verify(log).expect("a log");
    assert_eq!(verification.verdict, Verdict::Clean, "{verification:?}");
    let mut records = Reader::open(log).expect("a log").map(|record| record.expect("readable"));
    let first = records.next().expect("a record");
    (1 + records.count(), String::from_utf8_lossy(first.message()).into_owned())
}

#[test]
fn the_service_shows_its_figures_and_its_warnings_and_a_signal_drains_its_logs() {
    const TEST: &str = "the_service_shows_its_figures_and_its_warnings_and_a_signal_drains_its_logs";
    if support::role().is_some() {
        os::reset_signal(libc::SIGTERM);
        orders::run(&support::child_directory()).expect("a service");
        return;
    }
    let directory = support::directory();
    let mut command = support::child_command(TEST, "service", directory.path());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a child process");
    let (address, id) = announced(&mut child);
    assert_eq!(id, child.id());

    let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
    let warning = first_warning(&mut stderr);
    assert!(warning.contains("is over the limit"), "{warning}");
    let answer = figures(&address);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    for log in ["orders", "payments"] {
        assert!(answer.contains(&format!("diolog_attempted_records_total{{log=\"{log}\"}} ")), "{answer}");
    }
    assert!(answer.contains("\ndiolog_events_refused_without_log_total 0\n"), "{answer}");

    os::send_signal(id, libc::SIGTERM);
    assert_eq!(child.wait().expect("a child").signal(), Some(libc::SIGTERM));
    let (orders, first_order) = read(&directory.path().join("orders"));
    let (payments, first_payment) = read(&directory.path().join("payments"));
    assert_eq!(first_order, "order 1 over 7 at 100.25 symbol=ACME");
    assert_eq!(first_payment, "order 1 paid amount=701.75");
    // The signal ends one log a moment before the other, and the desk goes on meanwhile: either may have more.
    assert!(orders > 0 && payments > 0, "{orders} orders, {payments} payments");
}
