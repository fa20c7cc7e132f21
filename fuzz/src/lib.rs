//! Runs the targets that diolog offers for fuzzing.

use std::path::PathBuf;
use std::sync::LazyLock;

use diolog::unstable::fuzz::TARGETS;

/// A directory for the files of this process. It stays: scripts/fuzz.sh sets TMPDIR.
static DIRECTORY: LazyLock<PathBuf> = LazyLock::new(|| {
    let directory = std::env::temp_dir().join(format!("diolog-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a writable directory");
    directory
});

/// Runs the target of this name on `bytes`.
pub fn run(name: &str, bytes: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("a target of diolog");
    target(bytes, &DIRECTORY);
}
