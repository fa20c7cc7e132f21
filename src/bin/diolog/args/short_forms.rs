//! Short forms that are replaced by the long ones before the parser gets the arguments: `--json` of all commands that
//! have `--format`; `version`; and `-5` of `cat` and `tail`, the old form of `-n 5` that tail(1) and head(1) take too,
//! as is `-5f`: the parser has no option whose name is a number.

use std::ffi::OsString;

/// The command line with `--format=json` in place of `--json`, with `--version` in place of `version`, and after `cat`
/// or `tail` with `-n5` in place of `-5`, and with `-n5 -f` in place of `-5f`.
pub(super) fn replaced(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<_> = arguments.into_iter().collect();
    let word = |at: usize| arguments.get(at).and_then(|word| word.to_str()).unwrap_or_default();
    let takes_numbers = match (word(1), word(2)) {
        ("cat" | "tail", _) => true,
        ("info" | "snapshots" | "top" | "verify" | "recover", _) | ("bench", "disk" | "load") => false,
        ("version", _) if arguments.len() == 2 => {
            arguments[1] = "--version".into();
            return arguments;
        }
        _ => return arguments,
    };
    // Only paths follow `--`.
    let options = arguments.iter().position(|argument| argument == "--").unwrap_or(arguments.len());
    let mut replaced = Vec::with_capacity(arguments.len() + 1);
    for (at, argument) in arguments.iter().enumerate() {
        let number = bare_number(argument).filter(|_| takes_numbers && at < options);
        match number.filter(|_| !wants_number(&arguments[at - 1])) {
            Some((number, rest)) => {
                replaced.push(format!("-n{number}").into());
                replaced.extend((!rest.is_empty()).then(|| format!("-{rest}").into()));
            }
            None if argument == "--json" && at < options => replaced.push("--format=json".into()),
            None => replaced.push(argument.clone()),
        }
    }
    replaced
}

/// The digits of `-5f` and the letters after them.
fn bare_number(argument: &OsString) -> Option<(&str, &str)> {
    let text = argument.to_str()?.strip_prefix('-')?;
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    let is_one = digits > 0 && rest.bytes().all(|letter| letter.is_ascii_alphabetic());
    is_one.then_some((number, rest))
}

/// Whether the argument is an option whose value is a number of records, or a time: `-n -5` is an error that says what
/// a number is.
fn wants_number(argument: &OsString) -> bool {
    let is_short = |text: &str| text.starts_with('-') && !text.starts_with("--") && text.ends_with('n');
    let is_long = |text: &str| ["--last", "--lines", "--since", "--until"].contains(&text);
    argument.to_str().is_some_and(|text| is_short(text) || is_long(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms_are_replaced_where_an_option_may_stand() {
        for (line, expected) in [
            ("diolog tail -5 log", "diolog tail -n5 log"),
            ("diolog tail log -5", "diolog tail log -n5"),
            ("diolog tail -f -100 log", "diolog tail -f -n100 log"),
            ("diolog tail -100f log", "diolog tail -n100 -f log"),
            ("diolog cat -r -5 log", "diolog cat -r -n5 log"),
            ("diolog tail -n -5 log", "diolog tail -n -5 log"),
            ("diolog tail -fn -5 log", "diolog tail -fn -5 log"),
            ("diolog cat --last -5 log", "diolog cat --last -5 log"),
            ("diolog cat --since -5m log", "diolog cat --since -5m log"),
            ("diolog tail -5 -- -6", "diolog tail -n5 -- -6"),
            ("diolog tail -5.5 -x5 5 - log", "diolog tail -5.5 -x5 5 - log"),
            ("diolog run log -- tail -5 log", "diolog run log -- tail -5 log"),
            ("diolog tail -5 --json log", "diolog tail -n5 --format=json log"),
            ("diolog verify log --json", "diolog verify log --format=json"),
            ("diolog bench load --json", "diolog bench load --format=json"),
            ("diolog info -- --json -5", "diolog info -- --json -5"),
            ("diolog run log command --json", "diolog run log command --json"),
            ("diolog version", "diolog --version"),
            ("diolog tail", "diolog tail"),
            ("diolog", "diolog"),
        ] {
            let words: Vec<OsString> = line.split(' ').map(Into::into).collect();
            assert_eq!(replaced(words).join(" ".as_ref()), expected);
        }
    }
}
