//! Tips for options that are another command's, or have another name here.

use clap::error::{ContextKind, ContextValue};

/// A command, options that it does not have, and what to use instead.
const TIPS: [(&str, &[&str], &str); 6] = [
    ("cat", &["-f", "-F", "--follow", "--follow-path"], "use 'diolog tail -f'"),
    ("tail", &["-r", "--reverse"], "use 'diolog cat -r', with -n for the last records"),
    ("write", &["-t", "--tee"], "use 'diolog run --tee DIR -- COMMAND'"),
    ("write", &["--file-mode"], "set file_mode in the file of --config"),
    ("run", &["--file-mode"], "set file_mode in the file of --config"),
    ("load", &["--duration"], "use '--time'"),
];

/// `error` with the tip of the table in place of the parser's. The parser's tip to pass an option as a value is left
/// out in any case: it takes what looks like an option for a path.
pub(super) fn given(mut error: clap::Error, words: &[std::ffi::OsString]) -> clap::Error {
    if let Some(ContextValue::StyledStrs(mut tips)) = error.remove(ContextKind::Suggested) {
        tips.retain(|tip| !tip.to_string().ends_with(&as_a_value(&error)));
        // No tips would be shown as an empty line.
        if !tips.is_empty() {
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
        }
    }
    let command = words.get(if words.get(1).is_some_and(|word| word == "bench") { 2 } else { 1 });
    let is_it = |(of, options, _): &&(&str, &[&str], &str)| {
        command.is_some_and(|command| command == of) && options.contains(&invalid(&error))
    };
    if let Some((.., tip)) = TIPS.iter().find(is_it) {
        error.remove(ContextKind::SuggestedArg);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![(*tip).into()]));
    }
    error
}

/// The option that the parser does not know; empty if the error is another one.
fn invalid(error: &clap::Error) -> &str {
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(option)) => option,
        _ => "",
    }
}

/// The end of the parser's tip to pass an option as a value.
fn as_a_value(error: &clap::Error) -> String {
    format!("as a value, use '-- {}'", invalid(error))
}
