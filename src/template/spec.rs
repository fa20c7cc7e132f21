//! How a placeholder's value is to look: the part after the colon, as in `{id:>8}`.

/// The widest that a value may be asked to be, in characters, and the most digits after a point. Both fit a byte, and
/// a template cannot ask for more room than it has bytes times this.
const WIDTH_MAX: u32 = u8::MAX as u32;

/// What is wrong with a part of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A `{` without its `}`.
    Open,
    /// A `}` without its `{`.
    Close,
    /// A placeholder without a name, `{}` or `{0}`.
    Unnamed,
    /// A width beyond what is allowed.
    Wide,
    /// A precision beyond what is allowed.
    Precise,
    /// A width or a precision that is an argument, as in `{x:>width$}`.
    Argument,
    /// Anything else after a colon.
    Spec,
}

/// On which side a value stands in its width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// `<`
    Left,
    /// `^`
    Center,
    /// `>`
    Right,
}

/// How the value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Nothing: as `Display`.
    Display,
    /// `?`
    Debug,
    /// `x`
    LowerHex,
    /// `X`
    UpperHex,
    /// `o`
    Octal,
    /// `b`
    Binary,
    /// `e`
    LowerExp,
    /// `E`
    UpperExp,
}

/// The part of a placeholder after its colon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spec {
    /// What fills up the width.
    pub(crate) fill: char,
    /// `None`: numbers to the right, all else to the left.
    pub(crate) align: Option<Align>,
    /// `+`: a sign before positive numbers too.
    pub(crate) plus: bool,
    /// `#`: a prefix such as `0x`.
    pub(crate) alternate: bool,
    /// `0`: zeros between the sign and the digits of a number, up to the width.
    pub(crate) zero: bool,
    /// The least characters; 0 if it does not matter.
    pub(crate) width: u8,
    /// The digits after the point, or the most characters of a text.
    pub(crate) precision: Option<u8>,
    /// How the value is written.
    pub(crate) style: Style,
}

impl Spec {
    /// That of a placeholder without a colon.
    pub(crate) const DEFAULT: Spec = Spec {
        fill: ' ',
        align: None,
        plus: false,
        alternate: false,
        zero: false,
        width: 0,
        precision: None,
        style: Style::Display,
    };

    /// Reads the bytes from `at` up to `end`, which are UTF-8.
    pub(super) const fn parse(bytes: &[u8], at: usize, end: usize) -> Result<Spec, Fault> {
        let mut spec = Spec::DEFAULT;
        let mut at = at;
        let first = char_bytes(bytes, at, end);
        if first > 0
            && let Some(align) = align(byte(bytes, at + first, end))
        {
            spec.fill = char_at(bytes, at);
            spec.align = Some(align);
            at += first + 1;
        } else if let Some(align) = align(byte(bytes, at, end)) {
            spec.align = Some(align);
            at += 1;
        }
        match byte(bytes, at, end) {
            b'+' => {
                spec.plus = true;
                at += 1;
            }
            b'-' => at += 1,
            _ => {}
        }
        if byte(bytes, at, end) == b'#' {
            spec.alternate = true;
            at += 1;
        }
        if byte(bytes, at, end) == b'0' && byte(bytes, at + 1, end) != b'$' {
            spec.zero = true;
            at += 1;
        }
        let (width, after) = number(bytes, at, end);
        if width > WIDTH_MAX {
            return Err(Fault::Wide);
        }
        spec.width = width as u8;
        at = after;
        if byte(bytes, at, end) == b'.' {
            let (precision, after) = number(bytes, at + 1, end);
            if after == at + 1 {
                let is_argument = byte(bytes, after, end) == b'*' || name_before_dollar(bytes, after, end);
                return Err(if is_argument { Fault::Argument } else { Fault::Spec });
            }
            if precision > WIDTH_MAX {
                return Err(Fault::Precise);
            }
            spec.precision = Some(precision as u8);
            at = after;
        }
        if name_before_dollar(bytes, at, end) {
            return Err(Fault::Argument);
        }
        let style = match byte(bytes, at, end) {
            b'?' => Style::Debug,
            b'x' => Style::LowerHex,
            b'X' => Style::UpperHex,
            b'o' => Style::Octal,
            b'b' => Style::Binary,
            b'e' => Style::LowerExp,
            b'E' => Style::UpperExp,
            _ => Style::Display,
        };
        if !matches!(style, Style::Display) {
            spec.style = style;
            at += 1;
        }
        while at < end && is_space(bytes[at]) {
            at += 1;
        }
        if at == end { Ok(spec) } else { Err(Fault::Spec) }
    }
}

/// Whether the byte is white space in ASCII, which may stand before a closing brace.
pub(super) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// The byte at `at`, or 0 at the end: no part of a spec begins with that.
const fn byte(bytes: &[u8], at: usize, end: usize) -> u8 {
    if at < end { bytes[at] } else { 0 }
}

const fn align(byte: u8) -> Option<Align> {
    match byte {
        b'<' => Some(Align::Left),
        b'^' => Some(Align::Center),
        b'>' => Some(Align::Right),
        _ => None,
    }
}

/// The decimal number at `at`, 0 if there is none, and where it ends. One that is too large stays too large.
const fn number(bytes: &[u8], at: usize, end: usize) -> (u32, usize) {
    let (mut number, mut at) = (0_u32, at);
    while byte(bytes, at, end).is_ascii_digit() {
        number = number.saturating_mul(10).saturating_add((bytes[at] - b'0') as u32);
        at += 1;
    }
    (number, at)
}

/// Whether a `$` ends what is there: a width or a precision that stands in another argument.
const fn name_before_dollar(bytes: &[u8], at: usize, end: usize) -> bool {
    let mut at = at;
    while at < end && (bytes[at].is_ascii_alphanumeric() || bytes[at] == b'_' || !bytes[at].is_ascii()) {
        at += 1;
    }
    byte(bytes, at, end) == b'$'
}

/// The length of the character at `at`, in bytes; 0 at the end.
const fn char_bytes(bytes: &[u8], at: usize, end: usize) -> usize {
    let length = match byte(bytes, at, end) {
        0..0x80 => 1,
        0x80..0xE0 => 2,
        0xE0..0xF0 => 3,
        0xF0.. => 4,
    };
    if at + length <= end { length } else { 0 }
}

/// The character at `at`, whose bytes are all there.
const fn char_at(bytes: &[u8], at: usize) -> char {
    let first = bytes[at] as u32;
    let code = match bytes[at] {
        0..0x80 => first,
        0x80..0xE0 => (first & 0x1F) << 6 | tail(bytes[at + 1]),
        0xE0..0xF0 => (first & 0x0F) << 12 | tail(bytes[at + 1]) << 6 | tail(bytes[at + 2]),
        0xF0.. => (first & 0x07) << 18 | tail(bytes[at + 1]) << 12 | tail(bytes[at + 2]) << 6 | tail(bytes[at + 3]),
    };
    match char::from_u32(code) {
        Some(char) => char,
        None => char::REPLACEMENT_CHARACTER,
    }
}

/// The six bits of a byte that continues a character.
const fn tail(byte: u8) -> u32 {
    (byte & 0x3F) as u32
}
