//! Numbers as JSON.

use crate::format::Value;

use super::value::plain;

/// Beyond this, integers are strings: many programs read JSON numbers as doubles, and would round them.
pub(super) const EXACT_MAX: u64 = 1 << 53;

impl Value<'_> {
    /// If the value is a number, appends it to `out` as JSON, and returns `true`.
    ///
    /// What has a fraction always has a point, so that it stays one: `100.0`. Integers beyond 2⁵³ are strings, because
    /// many programs read JSON numbers as doubles, and so are `NaN` and `inf`, for which JSON has no number.
    #[inline]
    pub fn append_json_number(&self, out: &mut Vec<u8>) -> bool {
        number(self, out)
    }
}

/// As [`Value::append_json_number`].
#[inline]
pub(super) fn number(value: &Value<'_>, out: &mut Vec<u8>) -> bool {
    let is_quoted = match *value {
        Value::Unsigned(number) => number > EXACT_MAX,
        Value::Signed(number) => number.unsigned_abs() > EXACT_MAX,
        Value::Unsigned128(number) => number > EXACT_MAX.into(),
        Value::Signed128(number) => number.unsigned_abs() > EXACT_MAX.into(),
        Value::F32(number) => return fraction(number.into(), value, out),
        Value::F64(number) => return fraction(number, value, out),
        _ => return false,
    };
    quoted_if(is_quoted, value, out);
    true
}

fn fraction(fraction: f64, value: &Value<'_>, out: &mut Vec<u8>) -> bool {
    quoted_if(!fraction.is_finite(), value, out);
    // What is too large for the conversion is whole.
    let is_whole = (fraction as i64) as f64 == fraction || fraction.abs() >= i64::MAX as f64;
    if is_whole && fraction.is_finite() {
        out.extend_from_slice(b".0");
    }
    true
}

/// Appends the value's text, in quotes if `quoted`.
fn quoted_if(quoted: bool, value: &Value<'_>, out: &mut Vec<u8>) {
    if quoted {
        out.push(b'"');
    }
    plain(value, out);
    if quoted {
        out.push(b'"');
    }
}
