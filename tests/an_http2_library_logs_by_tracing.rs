//! A client and a server of HTTP/2, written by others, log by the crate `tracing`, with spans: the log holds what the
//! JSON subscriber of `tracing` itself writes in the same process.

mod support;

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use diolog::{Level, Logger, Reader, RecordRef, TracingBridge, Value};
use serde_json::{Map, Value as Json};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;

/// What is compared of an event.
#[derive(Clone, Debug, PartialEq)]
struct Event {
    /// Level, target and line.
    place: (String, String, u64),
    message: String,
    /// The names of the enclosing spans, the outermost first, with colons between them: a name may hold some itself.
    spans: String,
    /// The fields, and those of the spans as `SPAN.FIELD`, sorted.
    fields: Vec<(String, Json)>,
}

/// The lines that the reference writes.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Lines;

    fn make_writer(&'a self) -> Lines {
        self.clone()
    }
}

/// An event as the reference wrote it.
fn referred(line: &str) -> Event {
    let mut line: Map<String, Json> = serde_json::from_str(line).expect("an object");
    let text = |value: Option<Json>| value.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default();
    let Some(Json::Object(mut fields)) = line.remove("fields") else { panic!("no fields: {line:?}") };
    let message = text(fields.remove("message"));
    let mut fields: Vec<_> = fields.into_iter().collect();
    let mut spans = Vec::new();
    for span in line.remove("spans").as_ref().and_then(Json::as_array).into_iter().flatten() {
        let mut of_span = span.as_object().expect("an object").clone();
        let name = text(of_span.remove("name"));
        fields.extend(of_span.into_iter().map(|(field, value)| (format!("{name}.{field}"), value)));
        spans.push(name);
    }
    fields.sort_by(|one, other| (&one.0, one.1.to_string()).cmp(&(&other.0, other.1.to_string())));
    let number = line["line_number"].as_u64().expect("a number");
    let place = (text(line.remove("level")), text(line.remove("target")), number);
    Event { place, message, spans: spans.join(":"), fields }
}

/// An event as the log has it.
fn recorded(record: &RecordRef<'_>) -> Event {
    assert!(!record.is_truncated(), "{record:?}");
    let callsite = record.callsite().expect("a structured record");
    let level = record.level().expect("a level").to_string().to_uppercase();
    let mut event = Event {
        place: (level, callsite.target().to_owned(), callsite.line().into()),
        message: String::new(),
        spans: String::new(),
        fields: Vec::new(),
    };
    for field in record.fields() {
        let value = match field.value {
            Value::Bool(value) => Json::from(value),
            Value::Unsigned(value) => Json::from(value),
            Value::Signed(value) => Json::from(value),
            Value::F64(value) => Json::from(value),
            Value::Str(text) | Value::Text(text) => Json::from(text),
            other => panic!("{}: {other:?}", field.name),
        };
        match field.name {
            "spans" => event.spans = value.as_str().expect("names").to_owned(),
            "message" => event.message = value.as_str().expect("a text").to_owned(),
            name => event.fields.push((name.to_owned(), value)),
        }
    }
    event.fields.sort_by(|one, other| (&one.0, one.1.to_string()).cmp(&(&other.0, other.1.to_string())));
    event
}

#[test]
fn the_log_holds_what_the_json_subscriber_writes() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(support::config(&path).level(Level::Trace)).expect("a log");
    let lines = Lines::default();
    let reference = tracing_subscriber::fmt::layer().json().with_line_number(true).with_writer(lines.clone());
    tracing_subscriber::registry().with(TracingBridge::layer(&logger)).with(reference).init();

    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let (client, server) = tokio::io::duplex(64 << 10);
        tokio::join!(serve(server), ask(client));
    });
    logger.close().expect("a clean end");

    let lines = String::from_utf8(std::mem::take(&mut *lines.0.lock().expect("no panic"))).expect("text");
    let referred: Vec<_> = lines.lines().map(referred).collect();
    let mut reader = Reader::open(&path).expect("a log");
    let mut events = Vec::new();
    while let Some(record) = reader.next_record().expect("readable") {
        events.push(recorded(&record));
    }
    assert!(events.len() > 100, "{events:#?}");
    assert_eq!(events.len(), referred.len());
    for (number, (event, referred)) in events.iter().zip(&referred).enumerate() {
        assert_eq!(event, referred, "event {number}");
    }
    assert!(events.iter().any(|event| event.spans.starts_with("server_handshake:")), "spans within spans");
    let has_field = |part: &str| events.iter().flat_map(|event| &event.fields).any(|(name, _)| name.contains(part));
    assert!(has_field(".") && has_field("frame"), "{events:#?}");
}

/// Answers until the client is gone.
async fn serve(io: tokio::io::DuplexStream) {
    let mut connection = h2::server::handshake(io).await.expect("a handshake");
    while let Some(request) = connection.accept().await {
        let (request, mut respond) = request.expect("a request");
        let answer = format!("you asked for {}", request.uri().path());
        let mut body = respond.send_response(Default::default(), false).expect("a client");
        body.send_data(answer.into_bytes().into(), true).expect("a client");
    }
}

/// Asks ten times.
async fn ask(io: tokio::io::DuplexStream) {
    let (mut client, connection) = h2::client::handshake(io).await.expect("a handshake");
    let asking = async move {
        for number in 0..10 {
            client = client.ready().await.expect("a server");
            let request = http::Request::get(format!("http://localhost/orders/{number}")).body(()).expect("a request");
            let (response, _) = client.send_request(request, true).expect("sent");
            let mut body = response.await.expect("an answer").into_body();
            let mut answer = Vec::new();
            while let Some(data) = body.data().await {
                answer.extend_from_slice(&data.expect("data"));
            }
            assert_eq!(String::from_utf8(answer).expect("a text"), format!("you asked for /orders/{number}"));
        }
    };
    let (done, ()) = tokio::join!(connection, asking);
    done.expect("a clean end");
}
