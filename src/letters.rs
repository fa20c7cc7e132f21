//! Characters that people do not see, or that change how they see others. `listen` and the
//! command line escape them in lines of text, and `event_logs` keeps them out of the names of directories.

/// Whether the character is a control character, a line separator of Unicode, or a mark that changes the direction of
/// text. Shown as it is, it would break a line, or make it look like another one.
#[inline]
pub(crate) fn is_unsafe_to_show(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}')
        || matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether the character is unsafe to show, or takes no room. Two names that differ in such characters look alike. In
/// lines of text those without room stay, because some scripts, and emoji, join letters by them.
pub(crate) fn is_unsafe_in_names(letter: char) -> bool {
    is_unsafe_to_show(letter)
        || matches!(letter, '\u{ad}' | '\u{34f}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200d}')
        || matches!(letter, '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
        || matches!(letter, '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}
