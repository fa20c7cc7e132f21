//! What the macros ask of a template and its fields' names. The compiler runs it, so a fault is an error of the program
//! that logs.

use super::scan::{Scanned, next};
use super::spec::Fault;

/// The most placeholders of a template: a bound on what one record's text can cost its reader.
pub(super) const PLACEHOLDERS_MAX: usize = 256;

/// The most fields of a record, as the format has it.
const FIELDS_MAX: usize = 128;

/// The longest name of a field, in bytes: its length is a byte in the files.
const NAME_BYTES_MAX: usize = 255;

/// Fails to compile, with a message that says what is wrong and where, unless the template is valid and each of its
/// placeholders is named like one of the fields.
///
/// # Panics
/// If not. It is called in constants only, so that the compiler says it.
#[doc(hidden)]
pub const fn assert_valid(template: &str, names: &[&str]) {
    if let Some(message) = fault(template, names) {
        panic!("{}", message.as_str());
    }
}

/// The first fault: of the names, then of the template. `None` if the template is valid and each of its placeholders is
/// named like one of the fields.
const fn fault(template: &str, names: &[&str]) -> Option<Message> {
    if names.len() > FIELDS_MAX {
        return Some(Message::new("more than 128 fields"));
    }
    let mut index = 0;
    while index < names.len() {
        if names[index].is_empty() {
            return Some(Message::new("a field has no name"));
        }
        if names[index].len() > NAME_BYTES_MAX {
            return Some(
                Message::new("the name of a field is longer than 255 bytes: `").and(names[index].as_bytes(), "`"),
            );
        }
        if position(names, names[index].as_bytes()) < index {
            return Some(Message::new("two fields are named `").and(names[index].as_bytes(), "`"));
        }
        index += 1;
    }
    let bytes = template.as_bytes();
    let (mut at, mut placeholders) = (0, 0);
    loop {
        at = match next(bytes, at) {
            Scanned::End => return None,
            Scanned::Literal { next, .. } => next,
            Scanned::Placeholder { start, end, next, .. } => {
                let name = part(bytes, start, end);
                if position(names, name) == names.len() {
                    let rest = "`: add it after the template, as in `name = value`";
                    return Some(Message::new("no field is named `").and(name, rest));
                }
                placeholders += 1;
                if placeholders > PLACEHOLDERS_MAX {
                    return Some(Message::new("the template has more than 256 placeholders"));
                }
                next
            }
            Scanned::Faulty { fault, start, end } => return Some(Message::of(fault, part(bytes, start, end))),
        };
    }
}

/// Which of the names is `name`; their number if none is.
const fn position(names: &[&str], name: &[u8]) -> usize {
    let mut index = 0;
    while index < names.len() && !is_same(names[index].as_bytes(), name) {
        index += 1;
    }
    index
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

/// The bytes from `start` up to `end`.
const fn part(bytes: &[u8], start: usize, end: usize) -> &[u8] {
    bytes.split_at(end).0.split_at(start).1
}

/// A message made in a constant, where nothing can be allocated. What is too long is cut.
struct Message {
    bytes: [u8; 512],
    length: usize,
}

impl Message {
    const fn new(text: &str) -> Message {
        Message { bytes: [0; 512], length: 0 }.with(text.as_bytes())
    }

    /// The message for a fault of this part of a template.
    const fn of(fault: Fault, part: &[u8]) -> Message {
        let (before, after) = match fault {
            Fault::Open => ("`{` without its `}` in `", "`; write `{{` for a brace"),
            Fault::Close => ("`}` without its `{`; write `}}` for a brace", ""),
            Fault::Unnamed => ("a placeholder without a field's name: `", "`; write `{name}`"),
            Fault::Wide => ("a width of more than 255: `", "`"),
            Fault::Precise => ("a precision of more than 255: `", "`"),
            Fault::Argument => ("a width or precision from an argument: `", "`; write it as a number"),
            Fault::Spec => {
                ("an unknown format after the colon of `", "`; known are those of std::fmt, but `p`, `x?`, `X?`")
            }
        };
        match fault {
            Fault::Close => Message::new(before),
            _ => Message::new(before).and(part, after),
        }
    }

    const fn and(self, quoted: &[u8], rest: &str) -> Message {
        // The quotation is cut, not the rest.
        let longest = self.bytes.len() - self.length - rest.len();
        let mut length = quoted.len();
        if length > longest {
            length = longest;
            while length > 0 && quoted[length] & 0xC0 == 0x80 {
                length -= 1;
            }
        }
        self.with(part(quoted, 0, length)).with(rest.as_bytes())
    }

    const fn with(mut self, text: &[u8]) -> Message {
        let mut at = 0;
        while at < text.len() && self.length < self.bytes.len() {
            self.bytes[self.length] = text[at];
            self.length += 1;
            at += 1;
        }
        self
    }

    const fn as_str(&self) -> &str {
        match std::str::from_utf8(part(&self.bytes, 0, self.length)) {
            Ok(text) => text,
            Err(_) => "the template is not valid",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const _: () = assert_valid("order {id:>8} at {price:.2} {{}}", &["id", "price", "symbol"]);

    #[track_caller]
    fn assert_fault(template: &str, names: &[&str], message: &str) {
        let fault = fault(template, names);
        assert_eq!(fault.as_ref().map(Message::as_str), Some(message), "{template:?}");
    }

    #[test]
    fn valid_templates_are_taken() {
        for template in
            ["", "a", "{a}", "{a }", "{a:}", "{b:?}{a:*^+#010.3e}", "{{{a}}}", "ü{a:ü>3}", "{a:-5}", "{a.b}"]
        {
            assert!(fault(template, &["a", "b", "a.b"]).is_none(), "{template}");
        }
        assert!(fault("{a}".repeat(256).as_str(), &["a"]).is_none());
    }

    #[test]
    fn each_fault_has_its_message() {
        let names = &["a", "b"];
        assert_fault("x {a", names, "`{` without its `}` in `{a`; write `{{` for a brace");
        assert_fault("{a {b}", names, "`{` without its `}` in `{a `; write `{{` for a brace");
        assert_fault("a}", names, "`}` without its `{`; write `}}` for a brace");
        assert_fault("{}", names, "a placeholder without a field's name: `{}`; write `{name}`");
        assert_fault("{0:x}", names, "a placeholder without a field's name: `{0:x}`; write `{name}`");
        assert_fault("{c}", names, "no field is named `c`: add it after the template, as in `name = value`");
        assert_fault("{ a}", names, "no field is named ` a`: add it after the template, as in `name = value`");
        assert_fault("{a:256}", names, "a width of more than 255: `{a:256}`");
        assert_fault("{a:4294967297}", names, "a width of more than 255: `{a:4294967297}`");
        assert_fault("{a:.256}", names, "a precision of more than 255: `{a:.256}`");
        for part in ["{a:b$}", "{a:0$}", "{a:.b$}", "{a:.*}", "{a:ü$x}"] {
            let message = format!("a width or precision from an argument: `{part}`; write it as a number");
            assert_fault(part, names, &message);
        }
        for part in ["{a:p}", "{a:x?}", "{a:.}", "{a:?x}", "{a:q}", "{a:: }", "{a:5 x}"] {
            let message = format!(
                "an unknown format after the colon of `{part}`; known are those of std::fmt, but `p`, `x?`, `X?`"
            );
            assert_fault(part, names, &message);
        }
        assert_fault("", &["a", "b", "a"], "two fields are named `a`");
        assert_fault("", &["a", ""], "a field has no name");
        assert_fault("", &["a"; 129], "more than 128 fields");
        assert_fault(&"{a}".repeat(257), names, "the template has more than 256 placeholders");
    }

    #[test]
    fn long_names_are_refused_and_cut_in_the_message() {
        let name = "ü".repeat(200);
        let Some(message) = fault("", &[&name]) else { panic!("taken") };
        assert!(message.as_str().starts_with("the name of a field is longer than 255 bytes: `üü"));
        let name = "ü".repeat(400);
        let Some(message) = fault(&format!("{{{name}}}"), &["a"]) else { panic!("taken") };
        assert!(message.as_str().ends_with("üü`: add it after the template, as in `name = value`"));
    }
}
