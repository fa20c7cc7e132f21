//! The context of a span: the names of the spans from the outermost one to it, and its fields. Both are made when the
//! span begins, and copied into the record of each event in the span.

use std::sync::Arc;

use tracing_core::field::Visit;
use tracing_subscriber::registry::{LookupSpan, SpanRef};

use super::visitor::FieldVisitor;
use crate::fields::{Inline, InlineFields, Scratch, merge_fields};

/// The most bytes of the names of nested spans together, because spans may be nested to any depth.
const NAMES_BYTES_MAX: usize = 1024;

/// The most bytes of the fields of one span, because they are copied into each record.
const FIELDS_BYTES_MAX: usize = 4096;

/// The contexts of one span, one for each bridge, with the bridge's number. A bridge may have a filter of its own, and
/// so may see other spans around this one.
#[derive(Debug, Default)]
struct Contexts(Vec<(u64, Context)>);

/// One bridge's context of a span.
#[derive(Clone, Debug)]
struct Context {
    names: Arc<Names>,
    /// The span's own fields, encoded as in a record.
    fields: Vec<u8>,
    /// Whether some fields did not fit.
    cut: bool,
}

/// The names of a span and of those around it, such as `request:handler`.
#[derive(Debug)]
struct Names {
    text: String,
    cut: bool,
}

/// Gives a span its context, with the fields that `record` visits. `record` runs code of the user, so it is called
/// while no lock is held.
pub(super) fn begin<'a, R: LookupSpan<'a>>(bridge: u64, span: &SpanRef<'a, R>, record: impl FnOnce(&mut dyn Visit)) {
    let (fields, cut) = visited(span.name(), record);
    let parent = span.parent().and_then(|parent| names_of(bridge, &parent));
    let names = match parent {
        None => Names::new(span.name()),
        Some(parent) => parent.and(span.name()),
    };
    let context = Context { names: Arc::new(names), fields, cut };
    let mut extensions = span.extensions_mut();
    match extensions.get_mut::<Contexts>() {
        Some(contexts) => contexts.0.push((bridge, context)),
        None => extensions.insert(Contexts(vec![(bridge, context)])),
    }
}

/// Adds the fields that `record` visits to a span's context. They replace earlier fields with the same names.
pub(super) fn update<'a, R: LookupSpan<'a>>(bridge: u64, span: &SpanRef<'a, R>, record: impl FnOnce(&mut dyn Visit)) {
    let (fields, cut) = visited(span.name(), record);
    let mut extensions = span.extensions_mut();
    let Some(contexts) = extensions.get_mut::<Contexts>() else { return };
    if let Some((_, context)) = contexts.0.iter_mut().find(|(number, _)| *number == bridge) {
        context.cut |= !merge_fields(&mut context.fields, &fields, FIELDS_BYTES_MAX) || cut;
    }
}

/// Writes the names of the spans around an event; `innermost` is the innermost one.
pub(super) fn write_names<'a, R: LookupSpan<'a>>(bridge: u64, innermost: &SpanRef<'a, R>, inline: &mut Inline<'_, '_>) {
    // A span has no context if it began before the bridge was installed, or if a panic interrupted its beginning.
    let mut spans = innermost.scope();
    if let Some(names) = spans.find_map(|span| names_of(bridge, &span)) {
        inline.spans(&names.text, names.cut);
    }
}

/// Writes the fields of the spans around an event, those of the innermost one first.
pub(super) fn write_fields<'a, R: LookupSpan<'a>>(
    bridge: u64,
    innermost: &SpanRef<'a, R>,
    inline: &mut Inline<'_, '_>,
) {
    for span in innermost.scope() {
        let extensions = span.extensions();
        if let Some(context) = context_in(extensions.get(), bridge) {
            inline.fields().copy(&context.fields, context.cut);
        }
    }
}

fn names_of<'a, R: LookupSpan<'a>>(bridge: u64, span: &SpanRef<'a, R>) -> Option<Arc<Names>> {
    context_in(span.extensions().get(), bridge).map(|context| Arc::clone(&context.names))
}

fn context_in(contexts: Option<&Contexts>, bridge: u64) -> Option<&Context> {
    contexts?.0.iter().find(|(number, _)| *number == bridge).map(|(_, context)| context)
}

/// The fields that `record` visits, encoded as in a record, and whether some did not fit.
fn visited(span: &str, record: impl FnOnce(&mut dyn Visit)) -> (Vec<u8>, bool) {
    let mut buffer = Vec::new();
    let mut scratch = Scratch::growing(&mut buffer, FIELDS_BYTES_MAX);
    let mut fields = InlineFields::new(&mut scratch);
    record(&mut FieldVisitor { fields: &mut fields, span: Some(span) });
    let cut = fields.is_cut();
    (buffer, cut)
}

impl Names {
    fn new(name: &str) -> Names {
        Names { text: String::new(), cut: false }.and(name)
    }

    fn and(&self, name: &str) -> Names {
        let separator = if self.text.is_empty() { "" } else { ":" };
        let fits = !self.cut && self.text.len() + separator.len() + name.len() <= NAMES_BYTES_MAX;
        Names { text: [&self.text, separator, name][..if fits { 3 } else { 1 }].concat(), cut: !fits }
    }
}
