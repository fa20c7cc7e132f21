//! The name of an event's directory. Used by [`EventLogs`](super::EventLogs).

use crate::config::FILE_NAME_BYTES_MAX;
use crate::error::{Error, Result};
use crate::grouped::counted;
use crate::letters::is_unsafe_in_names;

/// The name of the directory for the event `name`. Characters that are special for a file system or a shell, or that
/// nobody sees, become `_`. So does a `-` at the beginning, which commands take for an option, and a `.`, which hides
/// the directory from them.
///
/// # Errors
/// [`Error::InvalidConfig`] for a name that is empty, `.`, `..`, or too long.
pub(super) fn directory_of(name: &str) -> Result<String> {
    let refused = |value: String, remedy: &str| Err(Error::invalid("event name", value, remedy));
    if matches!(name, "." | "..") {
        return refused(format!("{name:?}"), "use another name, this one is a directory's own or its parent's");
    }
    // A replaced character has at least one byte, as `_` has, so the name does not grow.
    let directory: String = name
        .char_indices()
        .map(|(at, letter)| if is_unsafe(letter) || at == 0 && matches!(letter, '-' | '.') { '_' } else { letter })
        .collect();
    match directory.as_str() {
        "" => refused("empty".to_owned(), "name the event, its log is a directory of that name"),
        long if long.len() > FILE_NAME_BYTES_MAX => {
            let remedy = format!("use a name of at most {FILE_NAME_BYTES_MAX} bytes");
            refused(format!("{} long", counted(name.len() as u64, "byte")), &remedy)
        }
        _ => Ok(directory),
    }
}

/// Whether the character is replaced.
fn is_unsafe(letter: char) -> bool {
    is_unsafe_in_names(letter) || letter.is_whitespace() || r#"/\*?"<>|:"#.contains(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_becomes_one_component_of_a_path() {
        let cases = [
            ("payment", "payment"),
            ("order 42", "order_42"),
            ("../etc/passwd", "_._etc_passwd"),
            ("a\\b:c*d?e\"f<g>h|i", "a_b_c_d_e_f_g_h_i"),
            ("nul\0tab\tend\n", "nul_tab_end_"),
            ("\u{a0}größe\u{85}", "_größe_"),
            ("pay\u{202e}ment\u{200b}\u{feff}\u{2066}", "pay_ment___"),
            ("-rf", "_rf"),
            ("pay-ment", "pay-ment"),
            (".hidden", "_hidden"),
            ("...", "_.."),
        ];
        for (name, directory) in cases {
            assert_eq!(directory_of(name).expect("usable"), directory, "{name:?}");
        }
        assert_eq!(directory_of(&"x".repeat(255)).expect("usable").len(), 255);
    }

    #[test]
    fn a_name_that_cannot_be_one_is_an_error_that_says_why() {
        for (name, message) in [
            (String::new(), "event name is empty: "),
            (".".into(), "event name is \".\": "),
            ("..".into(), "event name is \"..\": "),
            ("x".repeat(10_000), "event name is 10,000 bytes long: use a name of at most 255 bytes"),
            ("ü".repeat(128), "event name is 256 bytes long: "),
        ] {
            let error = directory_of(&name).expect_err("unusable").to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }
}
