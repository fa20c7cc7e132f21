//! Regular expressions on the command line.

use regex::bytes::Regex;

use crate::text::units;

/// The most memory that a regular expression may take once it is compiled, in bytes.
const PATTERN_BYTES_MAX: usize = 4 << 20;

/// Parses a regular expression. It matches in time proportional to the text.
pub(super) fn pattern(pattern: &str) -> Result<Regex, String> {
    let mut builder = regex::bytes::RegexBuilder::new(pattern);
    builder.size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX);
    builder.build().map_err(|error| match error {
        regex::Error::CompiledTooBig(bytes) => {
            format!("the pattern takes more than {} once it is compiled", units::bytes(bytes as u64))
        }
        // Its message shows the pattern again, with a mark below; its last line says what is wrong.
        error => {
            let message = error.to_string();
            let last = message.lines().last().unwrap_or_default();
            format!("not a valid regular expression: {}", last.trim_start_matches("error: "))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_that_is_none_or_too_large_says_so() {
        assert!(pattern("a+b").expect("a pattern").is_match(b"xaab"));
        assert_eq!(pattern("(a").map(drop), Err("not a valid regular expression: unclosed group".into()));
        let large = pattern("(((a{100}){100}){100}){100}").map(drop).expect_err("too large");
        assert!(large.starts_with("the pattern takes more than"), "{large}");
    }
}
