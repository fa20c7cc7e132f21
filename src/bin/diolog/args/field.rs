//! Conditions on fields: `name=value`, `name<number`, `name~pattern`.

use std::cmp::Ordering;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use diolog::Value;
use regex::bytes::Regex;

use super::pattern::pattern;

/// A condition on the field with a name.
#[derive(Clone, Debug)]
pub(crate) struct FieldTest {
    pub(crate) name: String,
    test: ValueTest,
    /// Whether it was asked for a value: some record has the field.
    was_asked: Arc<AtomicBool>,
    /// Whether it was asked for a number.
    was_asked_for_number: Arc<AtomicBool>,
}

/// A condition on a value.
#[derive(Clone, Debug)]
pub(crate) enum ValueTest {
    /// `=` or `==`, or `!=` if it is `false`.
    Is(bool, Operand),
    /// `<`, `<=`, `>` or `>=`: how the value compares with the number, one of these.
    Compares(&'static [Ordering], Number),
    /// `~`
    Matches(Regex),
}

/// What a value is compared with.
#[derive(Clone, Debug)]
pub(crate) struct Operand {
    text: String,
    number: Option<Number>,
}

/// A number, exact if it is an integer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Number {
    Integer(Integer),
    Fraction(f64),
}

/// Any integer that a field can have. The variants are in the order of their values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Integer {
    Signed(i128),
    /// Greater than [`i128::MAX`].
    Large(u128),
}

impl FieldTest {
    /// Parses a condition.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(expression: &str) -> Result<FieldTest, String> {
        let usage = "use name=value, name!=value, name<number, name<=number, name>number, name>=number or name~pattern";
        let at = expression.find(['=', '!', '<', '>', '~']).ok_or(usage)?;
        let (name, rest) = expression.split_at(at);
        // "price > 100" has its spaces for people. Those of "name= x" are the value's.
        let is_spaced = name.ends_with(' ');
        let name = name.trim();
        if name.is_empty() {
            return Err(format!("the field's name is missing: {usage}"));
        }
        type Parse = fn(&str) -> Result<ValueTest, String>;
        let operators: [(&str, Parse); 8] = [
            ("==", |text| Ok(ValueTest::Is(true, Operand::of(text)))),
            ("!=", |text| Ok(ValueTest::Is(false, Operand::of(text)))),
            ("<=", |text| Ok(ValueTest::Compares(&[Ordering::Less, Ordering::Equal], number(text)?))),
            (">=", |text| Ok(ValueTest::Compares(&[Ordering::Greater, Ordering::Equal], number(text)?))),
            ("=", |text| Ok(ValueTest::Is(true, Operand::of(text)))),
            ("<", |text| Ok(ValueTest::Compares(&[Ordering::Less], number(text)?))),
            (">", |text| Ok(ValueTest::Compares(&[Ordering::Greater], number(text)?))),
            ("~", |text| pattern(text).map(ValueTest::Matches)),
        ];
        if let Some(operator @ ("=>" | "=<")) = rest.get(..2) {
            let right = if operator == "=>" { ">=" } else { "<=" };
            return Err(format!("{operator:?} is no operator: use {right:?}"));
        }
        let parsed = operators.into_iter().find_map(|(operator, test)| {
            let operand = rest.strip_prefix(operator)?;
            Some(test(if is_spaced { operand.trim() } else { operand }))
        });
        let test = parsed.ok_or(usage)??;
        Ok(FieldTest { name: name.to_owned(), test, was_asked: Arc::default(), was_asked_for_number: Arc::default() })
    }

    /// Whether the field's value fits.
    pub(super) fn fits(&self, value: &Value<'_>) -> bool {
        if !self.was_asked() {
            self.was_asked.store(true, Relaxed);
        }
        if let ValueTest::Compares(..) = self.test
            && !self.was_asked_for_number.load(Relaxed)
        {
            self.was_asked_for_number.store(Number::of_value(value).is_some(), Relaxed);
        }
        self.test.fits(value)
    }

    /// Whether a record was found that has the field, among those that fit the other options.
    pub(crate) fn was_asked(&self) -> bool {
        self.was_asked.load(Relaxed)
    }

    /// Whether it compares numbers, and the values that it was asked for were none.
    pub(crate) fn compares_no_number(&self) -> bool {
        let compares = matches!(self.test, ValueTest::Compares(..));
        compares && self.was_asked() && !self.was_asked_for_number.load(Relaxed)
    }
}

fn number(text: &str) -> Result<Number, String> {
    Number::of(text).ok_or_else(|| format!("{text:?} is not a number: < and > compare values as numbers"))
}

impl Operand {
    fn of(text: &str) -> Operand {
        Operand { text: text.to_owned(), number: Number::of(text) }
    }
}

impl Number {
    fn of(text: &str) -> Option<Number> {
        let text = text.trim();
        let signed = || Some(Number::Integer(Integer::Signed(text.parse().ok()?)));
        let large = || Some(Number::Integer(Integer::Large(text.parse().ok()?)));
        let fraction = || Some(Number::Fraction(text.parse().ok().filter(|number: &f64| !number.is_nan())?));
        signed().or_else(large).or_else(fraction)
    }

    /// The number that a value is, or that its text is.
    fn of_value(value: &Value<'_>) -> Option<Number> {
        Some(match *value {
            Value::Unsigned(value) => Number::Integer(Integer::Signed(value.into())),
            Value::Signed(value) => Number::Integer(Integer::Signed(value.into())),
            Value::Signed128(value) => Number::Integer(Integer::Signed(value)),
            Value::Unsigned128(value) => {
                Number::Integer(i128::try_from(value).map_or(Integer::Large(value), Integer::Signed))
            }
            // As it is shown: 0.1 is not the nearest 32-bit number's 64-bit value.
            Value::F32(value) => Number::Fraction(value.to_string().parse().unwrap_or(value.into())),
            Value::F64(value) => Number::Fraction(value),
            Value::Str(text) | Value::Text(text) => return Number::of(text),
            _ => return None,
        })
    }

    fn compare(self, other: Number) -> Option<Ordering> {
        match (self, other) {
            (Number::Integer(one), Number::Integer(other)) => Some(one.cmp(&other)),
            (Number::Fraction(one), Number::Fraction(other)) => one.partial_cmp(&other),
            (Number::Integer(one), Number::Fraction(other)) => one.compare_with_fraction(other),
            (Number::Fraction(one), Number::Integer(other)) => other.compare_with_fraction(one).map(Ordering::reverse),
        }
    }
}

impl Integer {
    /// Exactly, though few integers of more than 53 bits are doubles.
    fn compare_with_fraction(self, fraction: f64) -> Option<Ordering> {
        const SIGNED_END: f64 = (1_u128 << 127) as f64;
        let floor = fraction.floor();
        if fraction.is_nan() {
            return None;
        } else if floor >= 2.0 * SIGNED_END {
            return Some(Ordering::Less);
        } else if floor < -SIGNED_END {
            return Some(Ordering::Greater);
        }
        let whole = if floor < SIGNED_END { Integer::Signed(floor as i128) } else { Integer::Large(floor as u128) };
        let rest = if fraction > floor { Ordering::Less } else { Ordering::Equal };
        Some(self.cmp(&whole).then(rest))
    }
}

impl ValueTest {
    /// A number is equal to a number, however it is written; all else is compared as text.
    fn fits(&self, value: &Value<'_>) -> bool {
        match self {
            ValueTest::Is(is, operand) => operand.is(value) == *is,
            ValueTest::Compares(orders, number) => {
                let order = Number::of_value(value).and_then(|value| value.compare(*number));
                order.is_some_and(|order| orders.contains(&order))
            }
            ValueTest::Matches(pattern) => with_text(value, |text| pattern.is_match(text)),
        }
    }
}

impl Operand {
    fn is(&self, value: &Value<'_>) -> bool {
        let is_text = matches!(value, Value::Str(_) | Value::Text(_));
        let number = if is_text { None } else { Number::of_value(value) };
        if let (Some(value), Some(number)) = (number, self.number) {
            return value.compare(number) == Some(Ordering::Equal);
        }
        // JSON shows an absent value as `null`, and text shows it as `None`.
        matches!(value, Value::None) && self.text == "null"
            || with_text(value, |text| text == self.text.as_bytes() || text == self.unquoted().as_bytes())
    }

    /// Without a pair of quotes, in which text shows a value that is not one word.
    fn unquoted(&self) -> &str {
        self.text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(&self.text)
    }
}

/// Calls `act` with the value's text, or its bytes.
fn with_text<T>(value: &Value<'_>, act: impl FnOnce(&[u8]) -> T) -> T {
    match value {
        Value::Str(text) | Value::Text(text) => act(text.as_bytes()),
        Value::Bytes(bytes) => act(bytes),
        value => act(value.to_string().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_fits(expression: &str, fitting: &[Value<'_>], others: &[Value<'_>]) {
        let test = FieldTest::parse(expression).expect(expression);
        assert_eq!(test.name, "a");
        for value in fitting {
            assert!(test.fits(value), "{value:?} fits {expression}");
        }
        for value in others {
            assert!(!test.fits(value), "{value:?} does not fit {expression}");
        }
    }

    #[test]
    fn values_are_compared_as_what_they_are() {
        let (five, text) = (Value::Unsigned(5), Value::Str("5"));
        assert_fits("a=5", &[five, text, Value::F64(5.0), Value::Signed(5), Value::Char('5')], &[Value::Str("5.0")]);
        assert_fits("a=5.50", &[Value::F64(5.5), Value::Text("5.50")], &[Value::Text("5.5"), five]);
        assert_fits("a!=5", &[Value::Signed(-5), Value::None, Value::Str("five")], &[five, text]);
        assert_fits(
            "a<5",
            &[Value::Signed(-9), Value::F64(4.9), Value::Text("4")],
            &[five, Value::None, Value::Str("x")],
        );
        assert_fits("a=0.1", &[Value::F32(0.1), Value::F64(0.1)], &[Value::F32(0.1000001)]);
        assert_fits("a<=5", &[five, Value::F32(4.5)], &[Value::F64(5.1), Value::F64(f64::NAN)]);
        assert_fits("a>-1e3", &[five, Value::Signed(-999)], &[Value::Signed(-1000)]);
        assert_fits("a>=18446744073709551615", &[Value::Unsigned(u64::MAX)], &[Value::Unsigned(u64::MAX - 1)]);
        let large = |less: u128| Value::Unsigned128(u128::MAX - less);
        assert_fits("a=340282366920938463463374607431768211455", &[large(0)], &[large(1), Value::F64(f64::MAX)]);
        assert_fits("a>170141183460469231731687303715884105728", &[large(0)], &[Value::Unsigned128(1 << 127), five]);
        assert_fits("a<2251799813685248.5", &[Value::Unsigned(1 << 51)], &[Value::Unsigned((1 << 51) + 1)]);
        assert_fits("a>-0.5", &[Value::Unsigned(0)], &[Value::Signed(-1), Value::Signed128(i128::MIN)]);
        assert_fits("a<inf", &[large(0), five], &[Value::F64(f64::INFINITY)]);
        assert_fits("a > 4", &[five, text], &[Value::Unsigned(4)]);
        assert_fits("a = b c ", &[Value::Str("b c")], &[Value::Str(" b c ")]);
        assert_fits("a=\"b c\"", &[Value::Str("b c"), Value::Str("\"b c\"")], &[Value::Str("\"b c")]);
        assert_fits("a= b", &[Value::Str(" b")], &[Value::Str("b")]);
        assert_fits("a=true", &[Value::Bool(true), Value::Str("true")], &[Value::Bool(false), Value::Unsigned(1)]);
        assert_fits("a=None", &[Value::None, Value::Str("None")], &[Value::Str(""), Value::Str("null")]);
        assert_fits("a=null", &[Value::None, Value::Str("null")], &[Value::Str(""), Value::Str("None")]);
        assert_fits("a!=null", &[five, Value::Str("")], &[Value::None]);
        assert_fits("a==5", &[five, text], &[Value::Signed(-5), Value::Str("=5")]);
        assert_fits("a=", &[Value::Str(""), Value::Bytes(b"")], &[Value::None]);
        assert_fits("a=b=c", &[Value::Str("b=c")], &[Value::Str("b")]);
        assert_fits("a~^x.z$", &[Value::Str("xyz"), Value::Bytes(b"x z")], &[Value::Str("xyzz"), five]);
        assert_fits("a~5", &[Value::Signed(-151)], &[Value::Unsigned(4)]);
    }

    #[test]
    fn what_is_no_condition_is_refused_with_the_reason() {
        let refused = |expression: &str| FieldTest::parse(expression).expect_err(expression);
        assert!(refused("name").starts_with("use name=value"));
        assert!(refused("a!b").starts_with("use name=value"));
        assert!(refused("=5").starts_with("the field's name is missing"));
        assert_eq!(refused("a=>5"), "\"=>\" is no operator: use \">=\"");
        assert_eq!(refused("a =< 5"), "\"=<\" is no operator: use \"<=\"");
        assert!(refused("a<much").starts_with("\"much\" is not a number"));
        assert_eq!(refused("a~("), "not a valid regular expression: unclosed group");
    }
}
