//! How many structured records a second does one core show as text and as JSON, beside messages of 64 bytes as they
//! are? And how many binary messages as text?
//!
//! `cargo bench --features cli --bench reading [-- [--test] [--gate] [--repetitions N] [DIR]]`
//!
//! It runs `diolog cat`, which writes to `/dev/null`, on logs of as many records, in turns. A rate is records for each
//! second of CPU time, of the user and of the system.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

mod support;

use diolog::{Config, Logger, Overflow, Producer, Verdict, info, verify};

type Failure = Box<dyn std::error::Error>;

/// Records of each log. `--test` takes fewer.
const RECORDS: u64 = 4 << 20;
const RECORDS_OF_A_TEST: u64 = 10_000;

/// Text at least half as fast as messages as they are, JSON at least two thirds as fast as text, random bytes at least
/// half as fast as text of the same length, and a rate in millions.
const TEXT_OF_MESSAGE_MIN: f64 = 0.5;
const JSON_OF_TEXT_MIN: f64 = 2.0 / 3.0;
const BINARY_OF_TEXT_MIN: f64 = 0.5;
const MILLIONS_MIN: f64 = 6.0;

/// The fields of record `number`: a counter, an id below 2^20, and a price with two decimals.
fn fields(number: u64) -> (u64, u64, f64) {
    let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (number, mixed >> 44, (mixed >> 24 & 0xF_FFFF) as f64 / 100.0)
}

/// Bytes that are neither text nor UTF-8.
fn random_bytes(number: u64) -> [u8; 64] {
    let mut bytes = [0; 64];
    let mut state = number;
    for chunk in bytes.as_chunks_mut::<8>().0 {
        state = (state + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        *chunk = (state ^ state >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9).to_be_bytes();
    }
    [bytes[0], bytes[1]] = [0x00, 0xFF];
    bytes
}

/// A byte of a binary message as `--format text` shows it.
fn shown(byte: &u8) -> String {
    match byte {
        b'\n' | b'\r' | b'\t' => byte.escape_ascii().to_string(),
        b' '..=b'~' => char::from(*byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    }
}

/// What a log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Messages of 64 bytes.
    Raw,
    /// As long, of random bytes.
    Binary,
    /// Two integers and a price.
    Num,
    /// The same with a text and a field that the template does not name.
    Str,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Raw => "raw",
            Kind::Binary => "binary",
            Kind::Num => "num",
            Kind::Str => "str",
        }
    }

    fn append(self, producer: &Producer, number: u64) {
        let (count, id, price) = fields(number);
        match self {
            Kind::Raw => producer.log(diolog::Level::Info, [b'x'; 64]),
            Kind::Binary => producer.log(diolog::Level::Info, random_bytes(number)),
            Kind::Num => info!(producer, "order {id} of {count} filled at {price:.2}", count, id, price),
            Kind::Str => info!(producer, "order {id} of {symbol}", count, id, price, symbol = "ACME"),
        };
    }

    /// The text of record `number`.
    fn text(self, number: u64) -> String {
        let (count, id, price) = fields(number);
        match self {
            Kind::Raw => "x".repeat(64),
            Kind::Binary => random_bytes(number).iter().map(shown).collect(),
            Kind::Num => format!("order {id} of {count} filled at {price:.2}"),
            Kind::Str => format!("order {id} of ACME count={count} price={price}"),
        }
    }
}

fn write_log(kind: Kind, records: u64, directory: &Path) -> Result<PathBuf, Failure> {
    let path = directory.join(format!("reading-{}", kind.name()));
    let _ = std::fs::remove_dir_all(&path);
    let logger = Logger::open(Config::new(&path).overflow(Overflow::Block))?;
    let producer = logger.producer_builder().name("worker-1").build()?;
    (0..records).for_each(|number| kind.append(&producer, number));
    drop(producer);
    logger.close()?;
    let verification = verify(&path)?;
    let found = (verification.verdict, verification.report.records);
    if found == (Verdict::Clean, records) { Ok(path) } else { Err(format!("{kind:?} is not as it was written").into()) }
}

fn cat(format: &str, path: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_diolog"));
    command.args(["cat", "--no-pager", "--format", format]).arg(path);
    command
}

/// Lines that are compared with what was logged; of the others there must be as many.
const CHECKED: u64 = 1 << 19;

/// Compares the lines with what was logged.
fn check(kind: Kind, format: &str, records: u64, path: &Path) -> Result<(), Failure> {
    let mut child = cat(format, path).stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("a pipe")?).lines();
    let checked = records.min(CHECKED);
    for number in 0..checked {
        let line = lines.next().ok_or("lines are missing")??;
        let expected = kind.text(number);
        let is_it = match format {
            "message" => line == expected,
            "text" => line.ends_with(&expected) && line.contains("worker-1 "),
            // Parsing all of them takes longer than all else.
            _ if number % 64 > 0 => line.contains(&format!("\"message\":\"{expected}\"")),
            _ => {
                let object: serde_json::Value = serde_json::from_str(&line)?;
                let (count, id, price) = fields(number);
                let has = |name: &str, value: serde_json::Value| object["fields"][name] == value;
                object["message"] == expected
                    && (kind == Kind::Raw
                        || has("count", count.into()) && has("id", id.into()) && has("price", price.into()))
            }
        };
        if !is_it {
            return Err(format!("{kind:?} as {format}: record {number} is shown as {line}").into());
        }
    }
    let rest = lines.count() as u64;
    if checked + rest != records || !child.wait()?.success() {
        return Err(format!("{kind:?} as {format}: {} lines, not {records}", checked + rest).into());
    }
    Ok(())
}

/// CPU time of the children that have ended, in seconds.
fn children_seconds() -> Result<f64, Failure> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    // The 16th and the 17th, in hundredths on every Linux; the name in parentheses is the second.
    let ticks: u64 = fields.get(13).ok_or("a short line")?.parse::<u64>()? + fields[14].parse::<u64>()?;
    Ok(ticks as f64 / 100.0)
}

fn main() -> Result<ExitCode, Failure> {
    let arguments = support::Arguments::parse();
    let records = if arguments.smoke { RECORDS_OF_A_TEST } else { RECORDS };
    let rounds = arguments.repetitions.unwrap_or(if arguments.smoke { 1 } else { 5 });
    let mut rows = Vec::new();
    for kind in [Kind::Raw, Kind::Binary, Kind::Num, Kind::Str] {
        let path = write_log(kind, records, &arguments.directory)?;
        let formats: &[_] = if kind == Kind::Binary { &["text"] } else { &["message", "text", "json"] };
        for &format in formats {
            check(kind, format, records, &path)?;
            rows.push((kind, format, path.clone(), Vec::new()));
        }
    }
    for _ in 0..rounds {
        for (_, format, path, seconds) in &mut rows {
            let before = children_seconds()?;
            let status = cat(format, path).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
            if !status.success() {
                return Err(format!("{status}").into());
            }
            seconds.push(children_seconds()? - before);
        }
    }
    let rate = |kind: Kind, wanted: &str| {
        let row = rows.iter().find(|(of, format, ..)| *of == kind && *format == wanted);
        let mut seconds = row.map(|row| row.3.clone()).unwrap_or_default();
        seconds.sort_by(f64::total_cmp);
        let median = seconds.get(seconds.len() / 2).copied().unwrap_or(f64::NAN);
        (records as f64 / 1e6 / median, seconds.first().copied().unwrap_or(0.0), seconds.last().copied().unwrap_or(0.0))
    };
    let baseline = rate(Kind::Raw, "message").0;
    let mut report = format!("{records} records, {rounds} rounds; millions of records for each second of CPU time\n");
    let _ = writeln!(report, "{:<14}{:>8}  of `message raw`   slowest / fastest round", "", "M/s");
    for (kind, format, ..) in &rows {
        let (millions, fastest, slowest) = rate(*kind, format);
        let name = format!("{format} {}", kind.name());
        let ratio = millions / baseline;
        let spread = slowest / fastest;
        let _ = writeln!(report, "{name:<14}{millions:>8.1}  {ratio:>15.2}   {spread:>6.2}");
    }
    let (text, json) = (rate(Kind::Num, "text").0, rate(Kind::Num, "json").0);
    let binary_of_text = rate(Kind::Binary, "text").0 / rate(Kind::Raw, "text").0;
    let passes = text >= TEXT_OF_MESSAGE_MIN * baseline
        && json >= JSON_OF_TEXT_MIN * text
        && binary_of_text >= BINARY_OF_TEXT_MIN
        && json >= MILLIONS_MIN;
    let _ = write!(report, "json num is {:.2} of text num, text binary {binary_of_text:.2} of text raw", json / text);
    support::report(&report);
    for (_, _, path, _) in rows {
        let _ = std::fs::remove_dir_all(path);
    }
    Ok(ExitCode::from(u8::from(arguments.gate && !passes)))
}
