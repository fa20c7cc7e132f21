//! A client and a server of HTTP/2, written by others, log by the crate `tracing`, with spans: the log holds what another
//! layer of the same subscriber gets.

mod support;

use std::fmt;
use std::sync::{Arc, Mutex};

use diolog::{Level, Logger, TracingBridge};
use support::records::records;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;

/// What is compared: level, target, line; the spans; the text and the fields, of which numbers and texts are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Captured {
    place: (Level, String, u32),
    spans: Option<String>,
    fields: Vec<(String, String)>,
}

/// Gets all events and spans.
#[derive(Clone, Default)]
struct Reference(Arc<Mutex<Vec<Captured>>>);

#[derive(Default)]
struct Values(Vec<(String, String)>);

impl Visit for Values {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.push((field.name().to_owned(), format!("Signed({value})")));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.push((field.name().to_owned(), format!("Unsigned({value})")));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.push((field.name().to_owned(), format!("Bool({value})")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name().to_owned(), format!("Str({value:?})")));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push((field.name().to_owned(), format!("Text({:?})", format!("{value:?}"))));
    }
}

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for Reference {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut values = Values::default();
        attributes.record(&mut values);
        context.span(id).expect("the span").extensions_mut().insert(values);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut values = Values::default();
        event.record(&mut values);
        let mut spans = None;
        for span in context.event_scope(event).into_iter().flatten() {
            spans = Some(match spans {
                None => span.name().to_owned(),
                Some(inner) => format!("{}:{inner}", span.name()),
            });
            let extensions = span.extensions();
            let of_span = extensions.get::<Values>().expect("its values").0.iter();
            values.0.extend(of_span.map(|(name, value)| (format!("{}.{name}", span.name()), value.clone())));
        }
        let metadata = event.metadata();
        let level = metadata.level().to_string().parse().expect("a level");
        let place = (level, metadata.target().to_owned(), metadata.line().unwrap_or_default());
        self.0.lock().expect("no panic").push(Captured { place, spans, fields: values.0 });
    }
}

#[test]
fn the_log_holds_what_another_layer_gets() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(support::config(&path).level(Level::Trace)).expect("a log");
    let reference = Reference::default();
    tracing_subscriber::registry().with(TracingBridge::layer(&logger)).with(reference.clone()).init();

    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let (client, server) = tokio::io::duplex(64 << 10);
        tokio::join!(serve(server), ask(client));
    });
    logger.close().expect("a clean end");

    let captured = std::mem::take(&mut *reference.0.lock().expect("no panic"));
    let recorded: Vec<_> = records(&path)
        .into_iter()
        .map(|record| {
            assert!(!record.truncated, "{record:?}");
            let spans = record.field("spans").map(|text| text["Text(\"".len()..text.len() - 2].to_owned());
            let fields = record.fields.into_iter().filter(|(name, _)| name != "spans").collect();
            Captured { place: (record.level, record.target, record.line), spans, fields }
        })
        .collect();
    assert!(recorded.len() > 100, "{recorded:#?}");
    assert_eq!(recorded, captured);
    assert!(recorded.iter().any(|record| record.spans.as_ref().is_some_and(|names| names.contains(':'))));
    let has_field = |part: &str| recorded.iter().flat_map(|record| &record.fields).any(|(name, _)| name.contains(part));
    assert!(has_field(".") && has_field("frame"), "{recorded:#?}");
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
