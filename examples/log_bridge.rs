//! Libraries that log by the crate `log`, an HTTP client and a server, log into a diolog log.
//!
//! `cargo run --features log --example log_bridge` prints the log afterwards, and how to read it.

#![allow(clippy::print_stdout, reason = "an example prints its results")]

use std::error::Error;
use std::path::Path;

use diolog::{Config, LogBridge, Logger, Reader};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/log-bridge-log");
    std::fs::create_dir_all(&directory)?;
    // Of the client's own work only what is worth knowing, and all that its protocol does.
    let logger = Logger::open(Config::new(&directory).level("info,ureq=debug,ureq_proto=trace"))?;
    LogBridge::new(&logger).install()?;

    let server = tiny_http::Server::http("127.0.0.1:0").map_err(|error| error.to_string())?;
    let address = server.server_addr().to_ip().ok_or("the server has no address")?;
    let serving = std::thread::spawn(move || {
        let request = server.recv()?;
        log::info!(target: "orders", method = request.method().as_str(), url = request.url(); "request");
        request.respond(tiny_http::Response::from_string("42"))
    });
    let answer = ureq::get(format!("http://{address}/orders/count")).call()?.body_mut().read_to_string()?;
    log::info!(target: "orders", count = answer.parse::<u64>()?; "counted");
    serving.join().map_err(|_| "the server panicked")??;
    logger.close()?;

    let mut reader = Reader::open(&directory)?;
    while let Some(record) = reader.next_record()? {
        let (level, target) = (record.level(), record.callsite().map(|callsite| callsite.target()));
        let level = level.map_or("?", |level| level.as_str());
        println!("{level:<5} {} {}", target.unwrap_or_default(), record.text());
    }
    println!("\nread it:\n  cargo diolog tail {}", directory.display());
    Ok(())
}
