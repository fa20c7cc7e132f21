//! The prefix `<N>` of a line, by which a program gives its level to the reader of its output, as with syslog and
//! systemd (sd-daemon(3)).

use diolog::Level;

/// Bytes of the longest prefix: `<191>`.
pub(crate) const BYTES_MAX: usize = 5;

/// The largest number: facility 23, severity 7.
const PRIORITY_MAX: u16 = 191;

/// The level that a line's prefix gives it, and the length of the prefix; `None` if it has none.
///
/// The number is 8 × facility + severity, as in syslog (RFC 5424); systemd's are severities alone. The severities 0 to
/// 3 (emergency, alert, critical, error) are errors, 4 is a warning, 5 (notice) and 6 are informational, 7 is for
/// debugging.
pub(crate) fn parse(line: &[u8]) -> Option<(Level, usize)> {
    let rest = line.strip_prefix(b"<")?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).take(4).count();
    let is_closed = rest.get(digits) == Some(&b'>');
    let has_leading_zero = digits > 1 && rest[0] == b'0';
    if !is_closed || has_leading_zero {
        return None;
    }
    let number: u16 = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
    let level = match number & 7 {
        0..=3 => Level::Error,
        4 => Level::Warn,
        5 | 6 => Level::Info,
        _ => Level::Debug,
    };
    (number <= PRIORITY_MAX).then_some((level, digits + 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_severity_decides_the_level() {
        let levels = [0, 1, 2, 3, 4, 5, 6, 7, 30, 191].map(|number| parse(format!("<{number}>text").as_bytes()));
        let expected = [
            (Level::Error, 3),
            (Level::Error, 3),
            (Level::Error, 3),
            (Level::Error, 3),
            (Level::Warn, 3),
            (Level::Info, 3),
            (Level::Info, 3),
            (Level::Debug, 3),
            (Level::Info, 4),
            (Level::Debug, BYTES_MAX),
        ];
        assert_eq!(levels, expected.map(Some));
        assert_eq!(parse(b"<3>"), Some((Level::Error, 3)), "an empty message");
    }

    #[test]
    fn other_beginnings_are_no_prefix() {
        for line in
            [&b""[..], b"<", b"<>", b"<3", b"3>", b"<192>", b"<9999>", b"<03>", b"<-1>", b"<a>", b" <3>", b"<p>3"]
        {
            assert_eq!(parse(line), None, "{}", String::from_utf8_lossy(line));
        }
    }
}
