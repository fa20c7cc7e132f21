//! Building with cargo from within a test.

use std::process::Command;

/// Builds the example `unloadable`, with the library below it as this test was built, if they are not there yet.
/// Returns the path of the built file whose name begins and ends with these; or, if it cannot be built, why.
pub(crate) fn built(begin: &str, end: &str) -> Result<String, String> {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["build", "--example", "unloadable"]);
    command.arg("--message-format=json");
    // With all features it was built together with this test.
    if cfg!(all(feature = "cli", feature = "unstable", feature = "max_level_off")) {
        command.arg("--all-features");
    } else {
        for (feature, is_on) in [
            ("serde", cfg!(feature = "serde")),
            ("cli", cfg!(feature = "cli")),
            ("signals", cfg!(feature = "signals")),
            ("unstable", cfg!(feature = "unstable")),
        ] {
            if is_on {
                command.args(["--features", feature]);
            }
        }
    }
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let output = command.output().map_err(|error| format!("cargo: {error}"))?;
    let messages = String::from_utf8_lossy(&output.stdout);
    let is_wanted = |path: &&str| {
        let name = path.rsplit('/').next().unwrap_or_default();
        name.starts_with(begin) && name.ends_with(end)
    };
    let path = messages.split('"').find(is_wanted).map(String::from);
    path.filter(|_| output.status.success()).ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned())
}
