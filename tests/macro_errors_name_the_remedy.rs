//! A macro call that does not compile says what to write instead.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod support;

use std::path::Path;
use std::process::Command;

/// Calls, and what the compiler's report on each must contain. In all of them, `p` is a logger.
const REFUSED: &[(&str, &[&str])] = &[
    // A type that no field can have.
    ("diolog::info!(p, v = std::fmt::Error)", &["`std::fmt::Error` cannot be the value of a field", "`name = %value`"]),
    ("diolog::info!(p, v = std::time::Duration::ZERO)", &["`Duration` cannot be the value", "`name = ?value`"]),
    ("diolog::info!(p, v = std::path::Path::new(\"x\"))", &["cannot be the value of a field", "`name = ?value`"]),
    ("diolog::info!(p, v = std::net::Ipv4Addr::LOCALHOST)", &["`Ipv4Addr` cannot be the value", "`name = %value`"]),
    ("diolog::info!(p, v = vec![1_u32])", &["`Vec<u32>` cannot be the value of a field", "`name = ?value`"]),
    ("diolog::info!(p, v = Some(Some(1)))", &["cannot be the value of a field", "`name = ?value`"]),
    ("fn of<V: diolog::FieldValue>(_: V) {} of(std::time::Duration::ZERO)", &["`Duration` cannot be the value"]),
    // The template after the fields.
    ("diolog::info!(p, id, \"text\")", &["a literal among the fields: `\"text\"`", "the template comes before"]),
    ("diolog::info!(p, \"{id}\", id, 3)", &["a literal among the fields: `3`", "`name = value`"]),
    ("diolog::info!(p, format!(\"x {id}\"))", &["no field: `format!", "a string literal", "`log_args`"]),
    // Options after the template, twice, or incomplete.
    ("diolog::info!(p, \"text\", target: \"x\")", &["options stand before the template"]),
    ("diolog::info!(p, \"text\", id, limit: 10/s)", &["options stand before the template", "`limit: 10/s,`"]),
    ("diolog::info!(p, target: \"x\", target: \"y\", \"text\")", &["each once"]),
    ("diolog::info!(p, target: \"x\")", &["with a comma"]),
    ("diolog::info!(p, limit: 10, \"text\")", &["a literal number and a time", "`limit: 10/s,`"]),
    ("diolog::info!(p, limit: id/s, \"text\")", &["a literal number and a time", "`limit: 10/s,`"]),
    // No log.
    ("diolog::info!(\"text\")", &["name the producer or the logger first"]),
    ("diolog::warn!(\"text {id}\", id)", &["name the producer or the logger first"]),
    ("diolog::error!(target: \"x\", \"text\")", &["name the producer or the logger first"]),
    ("diolog::debug!(p)", &["then a template or a field"]),
    ("diolog::info!(Some(p), \"text\")", &["expected_a_producer_or_a_logger"]),
    ("diolog::info!(id, \"text\")", &["expected_a_producer_or_a_logger"]),
    ("diolog::event!(p, \"text\")", &["a producer or a logger, then a level"]),
    ("diolog::event!(\"text\")", &["name the producer or the logger first"]),
];

/// What the compiler reports on a program with this call; empty if it compiles.
fn report(library: &Path, call: &str) -> String {
    let directory = support::directory();
    let source = directory.path().join("call.rs");
    let text =
        format!("fn main() {{ let (p, _) = diolog::Logger::in_memory(); let id = 1; {{ {call}; }} let _ = (p, id); }}");
    std::fs::write(&source, text).expect("writable");
    let output = Command::new(Path::new(env!("CARGO")).with_file_name("rustc"))
        .args(["--edition", "2024", "--crate-type", "bin", "--emit", "metadata", "--color", "never", "-A", "warnings"])
        .arg("--out-dir")
        .arg(directory.path())
        .arg("-L")
        .arg(format!("dependency={}", library.parent().expect("a directory").display()))
        .arg("--extern")
        .arg(format!("diolog={}", library.display()))
        .arg(source)
        .output()
        .expect("a compiler beside cargo");
    String::from_utf8(output.stderr).expect("UTF-8")
}

#[test]
fn the_compiler_says_what_to_write_instead() {
    let library = match support::build::built("libdiolog-", ".rlib") {
        Ok(library) => library,
        Err(why) => return support::not_shown("errors of the compiler: the library cannot be built", why),
    };
    let library = Path::new(&library);
    // The names of the library's dependencies are beside it.
    assert_eq!(report(library, "diolog::info!(p, target: \"x\", limit: 1/s, \"{id}\", id, text = \"x\")"), "");
    for (call, expected) in REFUSED {
        let report = report(library, call);
        for text in *expected {
            assert!(report.contains(text), "{call}: no `{text}` in:\n{report}");
        }
    }
}
