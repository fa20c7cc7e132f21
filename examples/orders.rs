//! A service that takes orders, with all that a service in production wants of its logs: settings from a file, a log
//! for each kind of event on one writer thread, warnings on standard error too, figures for Prometheus, a clean end at
//! SIGTERM.
//!
//! ```sh
//! cargo run --release --features serde,signals --example orders   # prints its port and its process id
//! curl http://127.0.0.1:PORT/metrics
//! kill PID
//! cargo diolog cat target/orders/*
//! ```

#![allow(clippy::print_stdout, reason = "an example prints what can be done with it")]

use std::error::Error;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use diolog::{Config, Engine, EngineConfig, EventLogs, Level, Logger, StderrListener, info, warn};

fn main() -> Result<(), Box<dyn Error>> {
    run(&Path::new(env!("CARGO_MANIFEST_DIR")).join("target/orders"))
}

/// Runs the service, with its logs in `directory`.
pub fn run(directory: &Path) -> Result<(), Box<dyn Error>> {
    let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/orders.toml");
    let config = Config::from_toml_file(settings)?.listener(Level::Warn, Arc::new(StderrListener::new()));
    std::fs::create_dir_all(directory)?;
    let engine = Engine::start(EngineConfig::new())?;
    let events = EventLogs::new(&engine, directory, config)?;
    // At SIGTERM or Ctrl-C the logs are drained and closed; then the signal ends the process.
    diolog::drain_on_signals()?;

    let (orders, payments) = (events.open("orders")?, events.open("payments")?);
    std::thread::Builder::new().name("desk".into()).spawn(move || take_orders(&orders, &payments))?;

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("figures at http://{}/metrics; end it with: kill {}", listener.local_addr()?, std::process::id());
    for connection in listener.incoming() {
        // A client that hangs up, or no descriptor for one more, is no reason to end.
        if connection.and_then(|connection| serve_figures(connection, &events)).is_err() {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    Ok(())
}

/// Takes a thousand orders a second until the process ends.
fn take_orders(orders: &Logger, payments: &Logger) {
    for id in 1_u64.. {
        let (quantity, price) = (id * 7 % 500, 100.0 + (id % 100) as f64 / 4.0);
        info!(orders, "order {id} over {quantity} at {price:.2}", id, quantity, price, symbol = "ACME");
        if quantity < 490 {
            info!(payments, "order {id} paid", id, amount = price * quantity as f64);
        } else {
            warn!(payments, "order {id} is over the limit", id, limit = 490_u64);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Answers one request, whatever it asks for, with the figures of all logs.
fn serve_figures(connection: TcpStream, events: &EventLogs) -> io::Result<()> {
    connection.set_read_timeout(Some(Duration::from_secs(1)))?;
    for line in BufReader::new(&connection).lines() {
        if line?.is_empty() {
            break;
        }
    }
    let text = events.stats().to_prometheus();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close\r\nContent-Length:";
    write!(&connection, "{head} {}\r\n\r\n{text}", text.len())
}
