//! Escape sequences of terminals (ECMA-48), in their 7-bit and 8-bit forms.
//!
//! ```text
//!   CSI  ESC [  or U+009B   parameters, intermediates, one final byte
//!   OSC  ESC ]  or U+009D   text up to BEL or ST        DCS, SOS, PM, APC likewise
//!   ESC  intermediates, one final byte
//! ```

/// `rest` after the escape sequence or the lone introducer that it starts with; `None` if it starts
/// with neither.
///
/// A sequence without its end loses only its introducer: what a terminal might swallow is shown.
pub(super) fn skip(rest: &str) -> Option<&str> {
    let mut chars = rest.chars();
    let first = chars.next()?;
    let after = chars.as_str();
    match first {
        '\u{9b}' => Some(control(after).unwrap_or(after)),
        '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => {
            Some(string(after).unwrap_or(after))
        }
        '\u{1b}' => Some(escape(after)),
        _ => None,
    }
}

/// After an ESC.
fn escape(after: &str) -> &str {
    let mut chars = after.chars();
    let second = chars.next();
    let beyond = chars.as_str();
    match second {
        Some('[') => control(beyond).unwrap_or(beyond),
        Some(']' | 'P' | 'X' | '^' | '_') => string(beyond).unwrap_or(beyond),
        Some(' '..='/') => short(beyond).unwrap_or(after),
        Some('0'..='~') => beyond,
        // Not a sequence: the ESC alone goes, what follows is looked at anew.
        Some(_) | None => after,
    }
}

/// After the introducer of a control sequence.
fn control(after: &str) -> Option<&str> {
    let after = after.trim_start_matches(|c| matches!(c, '0'..='?'));
    let after = after.trim_start_matches(|c| matches!(c, ' '..='/'));
    after.strip_prefix(|c| matches!(c, '@'..='~'))
}

/// After the first intermediate of a short sequence, such as `ESC ( 0`.
fn short(after: &str) -> Option<&str> {
    let after = after.trim_start_matches(|c| matches!(c, ' '..='/'));
    after.strip_prefix(|c| matches!(c, '0'..='~'))
}

/// After the introducer of a control string. Any control character but its terminators breaks it off.
fn string(after: &str) -> Option<&str> {
    let end = after.find(|c: char| c.is_control())?;
    let (_, tail) = after.split_at(end);
    ["\u{07}", "\u{9c}", "\u{1b}\\"].into_iter().find_map(|stop| tail.strip_prefix(stop))
}
