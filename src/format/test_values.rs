//! Values for tests: their plain bytes, and random ones of every type.

use proptest::prelude::*;

use super::value::{Decoded, FieldType, Type, Value};

/// Every type, of fields that always have a value.
pub(crate) const TYPES: [Type; 13] = [
    Type::Bool,
    Type::Char,
    Type::Unsigned,
    Type::Signed,
    Type::Unsigned128,
    Type::Signed128,
    Type::F32,
    Type::F64,
    Type::Str,
    Type::Bytes,
    Type::Display,
    Type::Debug,
    Type::Fields,
];

/// Appends the plain bytes of a value of type `field`.
pub(crate) fn put_plain(field: FieldType, decoded: Decoded<'_>, out: &mut Vec<u8>) {
    let text =
        |text: &[u8], cut: bool| [&(((text.len() as u32) << 1) | u32::from(cut)).to_le_bytes()[..], text].concat();
    let is_none = matches!(decoded, Decoded::Value { value: Value::None, .. });
    if field.optional {
        out.push(u8::from(!is_none));
    }
    let bytes = match decoded {
        Decoded::Fields { content, cut } => text(content, cut),
        Decoded::Value { value, cut } => match value {
            Value::None => Vec::new(),
            Value::Bool(value) => vec![value.into()],
            Value::Char(value) => u32::from(value).to_le_bytes().into(),
            Value::Unsigned(value) => value.to_le_bytes().into(),
            Value::Signed(value) => value.to_le_bytes().into(),
            Value::Unsigned128(value) => value.to_le_bytes().into(),
            Value::Signed128(value) => value.to_le_bytes().into(),
            Value::F32(value) => value.to_le_bytes().into(),
            Value::F64(value) => value.to_le_bytes().into(),
            Value::Str(value) | Value::Text(value) => text(value.as_bytes(), cut),
            Value::Bytes(value) => text(value, cut),
        },
    };
    out.extend_from_slice(&bytes);
}

/// Appends the plain bytes of a value that is whole.
pub(crate) fn put_value(field: FieldType, value: Value<'_>, out: &mut Vec<u8>) {
    put_plain(field, Decoded::Value { value, cut: false }, out);
}

/// A type, and the plain bytes of a value of it.
pub(crate) fn any_plain() -> impl Strategy<Value = (FieldType, Vec<u8>)> {
    let field = (prop::sample::select(&TYPES[..]), any::<bool>());
    field.prop_flat_map(|(of, optional)| {
        let value = plain_of(of);
        let present = if optional { any::<bool>().boxed() } else { Just(true).boxed() };
        (present, value).prop_map(move |(present, value)| {
            let value = if present { value } else { Vec::new() };
            let mark = if optional { vec![u8::from(present)] } else { Vec::new() };
            (FieldType { of, optional }, [mark, value].concat())
        })
    })
}

fn plain_of(of: Type) -> BoxedStrategy<Vec<u8>> {
    match of {
        Type::Bool => any::<bool>().prop_map(|value| vec![value.into()]).boxed(),
        Type::Char => any::<char>().prop_map(|value| u32::from(value).to_le_bytes().into()).boxed(),
        Type::Unsigned => narrow().prop_map(|value| value.to_le_bytes().into()).boxed(),
        Type::Signed => (narrow(), any::<bool>())
            .prop_map(|(value, negative)| {
                let value = value as i64;
                if negative { value.wrapping_neg() } else { value }.to_le_bytes().into()
            })
            .boxed(),
        Type::Unsigned128 | Type::Signed128 => {
            (any::<u128>(), 0..128_u32).prop_map(|(value, shift)| (value >> shift).to_le_bytes().into()).boxed()
        }
        Type::F32 => any::<u32>().prop_map(|bits| bits.to_le_bytes().into()).boxed(),
        Type::F64 => any_f64().prop_map(|value| value.to_bits().to_le_bytes().into()).boxed(),
        Type::Str | Type::Display | Type::Debug | Type::Bytes | Type::Fields => {
            let text =
                prop_oneof![any::<String>().prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..40)];
            (text, any::<bool>())
                .prop_map(|(text, cut)| {
                    [&(((text.len() as u32) << 1) | u32::from(cut)).to_le_bytes()[..], &text].concat()
                })
                .boxed()
        }
    }
}

/// Numbers of every length.
fn narrow() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..64_u32).prop_map(|(value, shift)| value >> shift)
}

/// Decimals, integers, any bits, and what is special.
pub(crate) fn any_f64() -> impl Strategy<Value = f64> {
    let decimal = (narrow(), 0..8_i32, any::<bool>()).prop_map(|(value, places, negative)| {
        let value = value as f64 / 10_f64.powi(places);
        if negative { -value } else { value }
    });
    let special = prop::sample::select(vec![
        0.0,
        -0.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        f64::from_bits(0x7FF0_0000_0000_0001),
        f64::from_bits(0xFFF8_0000_0000_1234),
        f64::MIN_POSITIVE,
        f64::from_bits(1),
        f64::MAX,
        (1_u64 << 51) as f64,
        (1_u64 << 53) as f64,
    ]);
    prop_oneof![decimal, any::<u64>().prop_map(f64::from_bits), special]
}
