//! Writes the values that `tracing` visits, each with its type.

use std::error::Error;
use std::fmt;

use tracing_core::field::{Field, Visit};

use crate::fields::{Inline, InlineFields};
use crate::format::{FieldType, Type};

/// The field that holds the text of an event.
pub(super) const MESSAGE: &str = "message";

/// Writes the values of an event.
pub(super) struct EventVisitor<'w, 's, 'b> {
    pub(super) inline: &'w mut Inline<'s, 'b>,
    /// Whether the event may have other values than the message.
    pub(super) are_fields: bool,
}

/// Writes the fields of an event; or those of a span, whose names then begin with the span's.
pub(super) struct FieldVisitor<'w, 's, 'b, 'n> {
    pub(super) fields: &'w mut InlineFields<'s, 'b>,
    pub(super) span: Option<&'n str>,
}

impl EventVisitor<'_, '_, '_> {
    /// Writes a value. The first one with the name `message` is the event's text; all others are written by `as_field`.
    fn visit(
        &mut self,
        field: &Field,
        text: fmt::Arguments<'_>,
        as_field: impl FnOnce(&mut FieldVisitor<'_, '_, '_, '_>),
    ) {
        if field.name() == MESSAGE && !self.inline.has_message() {
            self.inline.message(self.are_fields, text);
        } else {
            as_field(&mut FieldVisitor { fields: self.inline.fields(), span: None });
        }
    }
}

/// Methods that write a value of each type as the message or as a field.
macro_rules! message_or_field {
    ($($method:ident: $type:ty;)*) => {
        $(fn $method(&mut self, field: &Field, value: $type) {
            self.visit(field, format_args!("{value}"), |fields| fields.$method(field, value));
        })*
    };
}

impl Visit for EventVisitor<'_, '_, '_> {
    message_or_field! {
        record_f64: f64;
        record_i64: i64;
        record_u64: u64;
        record_i128: i128;
        record_u128: u128;
        record_bool: bool;
        record_str: &str;
        record_error: &(dyn Error + 'static);
    }

    fn record_bytes(&mut self, field: &Field, value: &[u8]) {
        self.visit(field, format_args!("{}", value.escape_ascii()), |fields| fields.record_bytes(field, value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.visit(field, format_args!("{value:?}"), |fields| fields.record_debug(field, value));
    }
}

impl FieldVisitor<'_, '_, '_, '_> {
    /// Calls `write` with the field's name, which is given in parts.
    fn named(&mut self, field: &Field, write: impl FnOnce(&mut InlineFields<'_, '_>, &[&str])) {
        self.named_with(field, "", write);
    }

    /// As [`named`](Self::named), with `ending` after the name.
    fn named_with(&mut self, field: &Field, ending: &str, write: impl FnOnce(&mut InlineFields<'_, '_>, &[&str])) {
        let name = field.name();
        let name = name.strip_prefix("r#").unwrap_or(name);
        match self.span {
            None => write(self.fields, &[name, ending]),
            Some(span) => write(self.fields, &[span, ".", name, ending]),
        }
    }

    fn value(&mut self, field: &Field, of: Type, plain: &[u8]) {
        self.named(field, |fields, name| fields.value(name, FieldType::new(of), plain));
    }
}

impl Visit for FieldVisitor<'_, '_, '_, '_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.value(field, Type::F64, &value.to_le_bytes());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.value(field, Type::Signed, &value.to_le_bytes());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.value(field, Type::Unsigned, &value.to_le_bytes());
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.value(field, Type::Signed128, &value.to_le_bytes());
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.value(field, Type::Unsigned128, &value.to_le_bytes());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.value(field, Type::Bool, &[u8::from(value)]);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.named(field, |fields, name| fields.str(name, value));
    }

    fn record_bytes(&mut self, field: &Field, value: &[u8]) {
        self.named(field, |fields, name| fields.bytes(name, value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.named(field, |fields, name| fields.text(name, Type::Display, format_args!("{value}")));
        if let Some(source) = value.source() {
            self.named_with(field, ".sources", |fields, name| {
                fields.text(name, Type::Display, format_args!("{}", Sources(source)));
            });
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.named(field, |fields, name| fields.text(name, Type::Debug, format_args!("{value:?}")));
    }
}

/// An error and its sources, as a list.
struct Sources<'e>(&'e (dyn Error + 'static));

impl fmt::Display for Sources<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        let mut next = Some(self.0);
        while let Some(error) = next {
            list.entry(&format_args!("{error}"));
            next = error.source();
        }
        list.finish()
    }
}
