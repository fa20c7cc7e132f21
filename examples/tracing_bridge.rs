//! A program and a library that log by the crate `tracing`, with spans, log into a diolog log.
//!
//! `cargo run --features tracing --example tracing_bridge` prints the log afterwards, and how to read it.

#![allow(clippy::print_stdout, reason = "an example prints its results")]

use std::error::Error;
use std::path::Path;

use diolog::{Config, Logger, Reader, TracingBridge, Value};
use tracing::Instrument as _;
use tracing_subscriber::prelude::*;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tracing-bridge-log");
    std::fs::create_dir_all(&directory)?;
    // The library's settings and frames, and nothing else of it.
    let logger = Logger::open(Config::new(&directory).level("info,h2=off,h2::codec=debug"))?;
    tracing_subscriber::registry().with(TracingBridge::layer(&logger)).init();

    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        let (client, server) = tokio::io::duplex(64 << 10);
        let serving = serve(server).instrument(tracing::info_span!("server"));
        let asking = ask(client).instrument(tracing::info_span!("client", peer = "duplex"));
        tokio::try_join!(serving, asking)
    })?;
    logger.close()?;

    let mut of_first = 0;
    let mut reader = Reader::open(&directory)?;
    while let Some(record) = reader.next_record()? {
        let (level, target) = (record.level(), record.callsite().map(|callsite| callsite.target()));
        let level = level.map_or("?", |level| level.as_str());
        println!("{level:<5} {} {}", target.unwrap_or_default(), record.text());
        of_first += usize::from(record.field("request.id") == Some(Value::Unsigned(1)));
    }
    println!("\nrecords of request 1: {of_first}\nread all:\n  cargo diolog tail {}", directory.display());
    Ok(())
}

async fn serve(io: tokio::io::DuplexStream) -> Result<(), h2::Error> {
    let mut connection = h2::server::handshake(io).await?;
    let mut id = 0_u64;
    while let Some(request) = connection.accept().await {
        let (request, mut respond) = request?;
        id += 1;
        let span = tracing::info_span!("request", id, path = request.uri().path());
        let _within = span.enter();
        let mut body = respond.send_response(http::Response::default(), false)?;
        body.send_data("42".into(), true)?;
        tracing::info!(bytes = 2, "answered");
    }
    Ok(())
}

async fn ask(io: tokio::io::DuplexStream) -> Result<(), h2::Error> {
    let (mut client, connection) = h2::client::handshake(io).await?;
    let asking = async move {
        for path in ["orders", "prices"] {
            let mut request = http::Request::new(());
            *request.uri_mut() = format!("http://localhost/{path}").parse().unwrap_or_default();
            client = client.ready().await?;
            let (response, _) = client.send_request(request, true)?;
            let status = response.await?.status().as_u16();
            tracing::info!(path, status, "answer");
        }
        Ok(())
    };
    tokio::try_join!(connection, asking).map(|_| ())
}
