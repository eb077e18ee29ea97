//! Names that a person can type, see and tell apart.
//!
//! A usable name is shown as it is: a command line that cleans what it shows would leave it alone.
//! So what is printed is what answers.
//!
//! See docs/SPEC.md, section "Limits".

use bitchat_proto::limits::NAME_BYTES_MAX;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Combining marks on one letter: Vietnamese, Thai and Hebrew need up to four; more hide the line above.
const MARKS_MAX: usize = 4;

/// Checks a petname: 1 to 64 bytes that are shown as they are, no white space at the ends.
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
    if name.chars().any(is_check_mark) {
        return Err("it has a check mark, which is shown for verified contacts");
    }
    if bearable_marks(name) != name {
        return Err("it has combining marks without a letter, or more than four on one");
    }
    Ok(())
}

/// A petname made from what a peer calls itself, or from its fingerprint if that is unusable. No
/// peer can call itself by the fingerprint of another.
#[must_use]
pub fn suggested(nickname: &str, fingerprint: &str) -> String {
    let seen = |c: &char| !is_invisible(*c) && !is_check_mark(*c);
    let cleaned: String = nickname.chars().filter(seen).collect();
    let cleaned = cleaned.trim().trim_start_matches('-');
    let name = cut(&bearable_marks(cleaned.trim_start()), NAME_BYTES_MAX);
    let is_usable = usable(&name).is_ok() && !is_like_fingerprint(&name);
    if is_usable { name } else { fingerprint.to_owned() }
}

/// The `n`th way to tell a new contact from another that has its name already: the fingerprint at
/// the end, then a number, too.
pub(super) fn told_apart(name: &str, fingerprint: &str, n: usize) -> String {
    let end = if n == 0 { format!("-{fingerprint}") } else { format!("-{fingerprint}-{}", n + 1) };
    cut(name, NAME_BYTES_MAX.saturating_sub(end.len())) + &end
}

/// Equal for names that most people would take for one: whatever the case, the white space and the
/// form of a letter. It does not tell look-alike letters of several alphabets apart.
pub(super) fn skeleton(name: &str) -> String {
    let folded = name.nfkc().flat_map(char::to_lowercase).filter(|c| !c.is_whitespace());
    folded.nfkc().collect()
}

/// The longest beginning of at most `bytes` bytes, without white space at its end.
fn cut(name: &str, bytes: usize) -> String {
    let mut name = name.to_owned();
    while name.len() > bytes {
        name.pop();
    }
    name.trim_end().to_owned()
}

/// The name without marks in front of the first letter and beyond the fourth on a letter.
fn bearable_marks(name: &str) -> String {
    let mut marks = MARKS_MAX;
    let bearable = |c: &char| {
        marks = if is_combining_mark(*c) { marks.saturating_add(1) } else { 0 };
        marks <= MARKS_MAX
    };
    name.chars().filter(bearable).collect()
}

/// `9f3a-21bc`, in any case.
fn is_like_fingerprint(name: &str) -> bool {
    let group = |group: &str| group.len() == 4 && group.chars().all(|c| c.is_ascii_alphanumeric());
    name.split_once('-').is_some_and(|(left, right)| group(left) && group(right))
}

/// Check marks of every kind: the command line prints `✓` for verified contacts.
const fn is_check_mark(c: char) -> bool {
    matches!(c, '\u{2611}' | '\u{2705}' | '\u{2713}' | '\u{2714}' | '\u{1F5F8}' | '\u{1F5F9}')
}

/// Control characters, and format characters that hide or reorder text. Unicode 17: categories Cc,
/// Cf, Zl, Zp and `Default_Ignorable_Code_Point`.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{AD}' | '\u{34F}' | '\u{600}'..='\u{605}' | '\u{61C}' | '\u{6DD}' | '\u{70F}'
            | '\u{890}'..='\u{891}' | '\u{8E2}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}'
            | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}'
            | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{110BD}' | '\u{110CD}'
            | '\u{13430}'..='\u{1343F}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}'
            | '\u{E0000}'..='\u{E0FFF}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
        for name in [
            "a\u{202E}b",
            "a\u{200B}",
            "x\n",
            "bchat1qqq",
            "--json",
            "a\u{1b}[2J",
            "bob \u{2713}",
            "bob\u{2705}",
            "\u{301}bob",
            "o\u{301}\u{301}\u{301}\u{301}\u{301}",
        ] {
            assert!(usable(name).is_err(), "{name:?}");
        }
        assert_eq!(usable("Ti\u{1ebf}ng Vie\u{323}\u{302}t"), Ok(()));
    }

    #[test]
    fn a_suggestion_is_always_usable() {
        for nickname in
            ["", "\u{202E}", &"é".repeat(60), "bchat1abc", "-rf", "Bob\u{7}", "✓", "- ✓"]
        {
            assert_eq!(usable(&suggested(nickname, "abcd-efgh")), Ok(()), "{nickname:?}");
        }
        assert_eq!(suggested("Bob\u{7} ✓", "abcd-efgh"), "Bob");
    }

    #[test]
    fn nobody_calls_itself_by_the_fingerprint_of_another() {
        assert_eq!(suggested("9f3a-21bc", "abcd-efgh"), "abcd-efgh");
        assert_eq!(suggested("\u{2713} 9F3A-21bc", "abcd-efgh"), "abcd-efgh");
    }

    proptest! {
        #[test]
        fn every_suggestion_and_every_way_to_tell_it_apart_is_usable(
            nickname in ".{0,80}", n in 0_usize..20_000
        ) {
            let name = suggested(&nickname, "abcd-efgh");
            prop_assert_eq!(usable(&name), Ok(()));
            prop_assert_eq!(usable(&told_apart(&name, "abcd-efgh", n)), Ok(()));
        }
    }
}
