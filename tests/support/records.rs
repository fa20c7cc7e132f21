//! What a log holds, in owned parts that tests compare.

use std::path::Path;

use diolog::{Level, Reader, Verdict, verify};

/// A record: its callsite's place, its text, and its fields with their values in `Debug`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(crate) level: Level,
    pub(crate) target: String,
    pub(crate) file: String,
    pub(crate) line: u32,
    pub(crate) text: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) truncated: bool,
}

impl Recorded {
    /// The value of a field, in `Debug`.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str())
    }
}

/// All records of a log that has to be clean.
pub(crate) fn records(log: &Path) -> Vec<Recorded> {
    let verification = verify(log).expect("readable");
    assert_eq!(verification.verdict, Verdict::Clean, "{verification:?}");
    let mut reader = Reader::open(log).expect("a log");
    let mut records = Vec::new();
    while let Some(record) = reader.next_record().expect("readable") {
        let callsite = record.callsite().expect("a structured record");
        records.push(Recorded {
            level: record.level().expect("a level"),
            target: callsite.target().to_owned(),
            file: callsite.file().to_owned(),
            line: callsite.line(),
            text: String::from_utf8(record.message().to_vec()).expect("text"),
            fields: record.fields().map(|field| (field.name.to_owned(), format!("{:?}", field.value))).collect(),
            truncated: record.is_truncated(),
        });
    }
    records
}
