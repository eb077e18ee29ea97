//! Names that a person can type, see and tell apart.

use bitchat_proto::limits::NAME_BYTES_MAX;

/// Checks a petname: 1 to 64 bytes, no invisible characters, no white space at the ends.
///
/// # Errors
///
/// What is wrong with it, in words.
pub fn usable(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("it is empty");
    }
    if name.len() > NAME_BYTES_MAX {
        return Err("it is longer than 64 bytes");
    }
    if name.trim() != name {
        return Err("it begins or ends with white space");
    }
    if name.starts_with("bchat1") || name.starts_with('-') {
        return Err("it looks like an account id or an option");
    }
    if name.chars().any(is_invisible) {
        return Err("it has a control or invisible character");
    }
    Ok(())
}

/// A petname made from what a peer calls itself, or from its fingerprint if that is unusable.
#[must_use]
pub fn suggested(nickname: &str, fingerprint: &str) -> String {
    let cleaned: String = nickname.chars().filter(|c| !is_invisible(*c)).collect();
    let mut name = cleaned.trim().trim_start_matches('-').to_owned();
    while name.len() > NAME_BYTES_MAX {
        name.pop();
    }
    let name = name.trim_end();
    if usable(name).is_ok() { name.to_owned() } else { fingerprint.to_owned() }
}

/// Control characters, and format characters that hide or reorder text.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}'
            | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}'
            | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{E0000}'..='\u{E0FFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_64_bytes_is_usable_and_one_of_65_is_not() {
        assert_eq!(usable(&"a".repeat(64)), Ok(()));
        assert!(usable(&"a".repeat(65)).is_err());
        assert!(usable("").is_err());
        assert!(usable("   ").is_err());
    }

    #[test]
    fn a_name_that_hides_or_imitates_is_not_usable() {
        for name in ["a\u{202E}b", "a\u{200B}", "x\n", "bchat1qqq", "--json", "a\u{1b}[2J"] {
            assert!(usable(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_suggestion_is_always_usable() {
        for nickname in ["", "\u{202E}", &"é".repeat(60), "bchat1abc", "-rf", "Bob\u{7}"] {
            assert_eq!(usable(&suggested(nickname, "abcd-efgh")), Ok(()), "{nickname:?}");
        }
        assert_eq!(suggested("Bob\u{7}", "abcd-efgh"), "Bob");
    }
}
