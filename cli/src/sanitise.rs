//! Makes text from a peer safe to show on a terminal.
//!
//! A terminal obeys what it prints: a message could clear the screen, rename the window, write the
//! clipboard, turn a line backwards or pile marks over the lines above. Names, texts and error
//! messages go through here before a person sees them; JSON output only escapes them.
//!
//! # Invariants
//!
//! - No control character leaves, except the line feed in a [`text`].
//! - `f(f(x)) == f(x)` for each function here.
//! - Printable ASCII outside of escape sequences leaves as it came.
//!
//! What this module does *not* do: tell look-alike letters apart. Fingerprints and verified marks
//! are for that.

use bitchat_proto::limits::NAME_BYTES_MAX;
use unicode_normalization::char::is_combining_mark;

mod escape;

/// Combining marks kept in a row: Vietnamese, Thai and Hebrew need up to four, floods thousands.
const MARKS_MAX: usize = 4;

/// Characters of a name that are shown; the rest becomes `…`. No petname has more: what is shown
/// of it can be typed, and answers.
const NAME_CHARS_MAX: usize = NAME_BYTES_MAX;

/// What is shown for a name of which nothing is left.
const NAMELESS: &str = "(unnamed)";

/// Text of several lines, without anything that a terminal would obey.
pub(crate) fn text(raw: &str) -> String {
    clean(raw, Lines::Keep)
}

/// Text on one line: line ends become spaces. For errors, evidence, addresses.
pub(crate) fn line(raw: &str) -> String {
    clean(raw, Lines::Join)
}

/// A name: one line, cut, and without the marks by which this program vouches for somebody.
pub(crate) fn name(raw: &str) -> String {
    let kept: String = line(raw).chars().filter(|c| !is_check_mark(*c)).collect();
    // Dropping a check mark can leave combining marks in front or in a longer row.
    let kept = line(&kept);
    let kept =
        kept.trim_end().trim_start_matches(|c: char| c.is_whitespace() || is_combining_mark(c));
    if kept.is_empty() {
        return NAMELESS.to_owned();
    }
    if kept.chars().count() <= NAME_CHARS_MAX {
        return kept.to_owned();
    }
    let cut: String = kept.chars().take(NAME_CHARS_MAX.saturating_sub(1)).collect();
    format!("{}…", cut.trim_end())
}

/// Whether a terminal may obey the character or hide something with it: JSON escapes these.
pub(crate) fn is_hazard(c: char) -> bool {
    c.is_control() || is_format(c)
}

#[derive(Clone, Copy)]
enum Lines {
    Keep,
    Join,
}

fn clean(raw: &str, lines: Lines) -> String {
    let mut out = String::with_capacity(raw.len());
    // Nothing to sit on: a mark in front would change the character before the text.
    let mut marks = MARKS_MAX;
    let mut rest = raw;
    while let Some(c) = rest.chars().next() {
        let (_, after) = rest.split_at(c.len_utf8());
        if let Some(beyond) = escape::skip(rest) {
            rest = beyond;
            continue;
        }
        rest = after;
        if is_line_end(c) {
            if c == '\r' {
                rest = after.strip_prefix('\n').unwrap_or(after);
            }
            out.push(if matches!(lines, Lines::Keep) { '\n' } else { ' ' });
            marks = MARKS_MAX;
        } else if c == '\t' {
            out.push(' ');
            marks = 0;
        } else if !is_hazard(c) {
            marks = if is_combining_mark(c) { marks + 1 } else { 0 };
            if marks <= MARKS_MAX {
                out.push(c);
            }
        }
    }
    out
}

/// A carriage return alone overwrites the line, so it starts a new one here.
const fn is_line_end(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{0B}' | '\u{0C}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Check marks of every kind: this program prints `✓` for verified contacts and delivery.
const fn is_check_mark(c: char) -> bool {
    matches!(c, '\u{2611}' | '\u{2705}' | '\u{2713}' | '\u{2714}' | '\u{1F5F8}' | '\u{1F5F9}')
}

/// Format characters and others without width: bidi controls, joiners, tags, fillers, variation
/// selectors. Unicode 17: categories Cf, Zl, Zp and Default_Ignorable_Code_Point.
const fn is_format(c: char) -> bool {
    matches!(c,
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
    use bitchat_protocol::contact::{suggested, usable};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escape_sequences_vanish_whole_and_the_words_around_them_stay() {
        for (raw, clean) in [
            ("a\u{1b}[2Jb", "ab"),
            ("a\u{1b}[38;5;200mb\u{1b}[0mc", "abc"),
            ("a\u{1b}]52;c;ZXZpbA==\u{07}b", "ab"),
            ("\u{1b}]8;;http://evil\u{1b}\\click\u{1b}]8;;\u{1b}\\", "click"),
            ("a\u{9b}31mb", "ab"),
            ("a\u{9d}0;title\u{9c}b", "ab"),
            ("a\u{1b}Pq#0\u{1b}\\b", "ab"),
            ("a\u{1b}(0b", "ab"),
            ("a\u{1b}cb", "ab"),
            ("a\u{1b}\u{1b}[2Jb", "ab"),
        ] {
            assert_eq!(text(raw), clean, "{raw:?}");
        }
    }

    #[test]
    fn a_sequence_that_never_ends_hides_nothing() {
        assert_eq!(text("a\u{1b}]52;c;abc"), "a52;c;abc");
        assert_eq!(text("a\u{1b}[31"), "a31");
        assert_eq!(text("a\u{9d}x\nvisible\u{07}"), "ax\nvisible");
    }

    #[test]
    fn a_carriage_return_cannot_overwrite_the_line() {
        assert_eq!(text("good\revil"), "good\nevil");
        assert_eq!(text("one\r\ntwo"), "one\ntwo");
        assert_eq!(line("one\r\ntwo\u{85}three"), "one two three");
    }

    #[test]
    fn direction_and_invisible_characters_are_dropped() {
        assert_eq!(text("a\u{202e}b\u{2066}c\u{200d}d\u{feff}e\u{e0041}f\u{ad}g"), "abcdefg");
    }

    #[test]
    fn a_flood_of_combining_marks_is_cut_to_four() {
        let flood = format!("z{}y", "\u{301}".repeat(10_000));
        assert_eq!(text(&flood), format!("z{}y", "\u{301}".repeat(4)));

        let hidden_joiners = format!("z{}", "\u{301}\u{200d}".repeat(50));
        assert_eq!(text(&hidden_joiners), format!("z{}", "\u{301}".repeat(4)));
        assert_eq!(text("\u{301}a\n\u{301}b"), "a\nb");
    }

    #[test]
    fn a_name_is_one_short_line_that_cannot_vouch_for_itself() {
        assert_eq!(name("bob\nroot"), "bob root");
        assert_eq!(name("bob ✓"), "bob");
        assert_eq!(name(" \u{200b} "), NAMELESS);
        assert_eq!(name(&"x".repeat(70)), format!("{}…", "x".repeat(63)));
        assert_eq!(name(&"x".repeat(64)), "x".repeat(64));
    }

    #[test]
    fn letters_of_other_scripts_stay() {
        for words in ["Grüße", "привет", "こんにちは", "שלום", "👍🏽 ok", "tiếng Việt", "<script>"]
        {
            assert_eq!(text(words), words);
        }
    }

    /// Texts in which hazards are common.
    fn hostile() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            "[ -~]{0,6}",
            any::<char>().prop_map(String::from),
            prop::sample::select(vec![
                "\u{1b}", "\u{1b}[", "\u{1b}]", "\u{9b}", "\u{9d}", "\u{9c}", "\u{07}", "\u{1b}\\",
                "31m", "\n", "\r", "\t", "\u{85}", "\u{202e}", "\u{200d}", "\u{301}", "✓", " ",
                "\u{18}",
            ])
            .prop_map(str::to_owned),
        ];
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn nothing_that_a_terminal_obeys_is_left(raw in hostile()) {
            for clean in [text(&raw), line(&raw), name(&raw)] {
                prop_assert!(!clean.bytes().any(|byte| byte == 0x1b));
                prop_assert!(!clean.chars().any(|c| c != '\n' && is_hazard(c)), "{clean:?}");
            }
            prop_assert!(!line(&raw).contains('\n'));
            prop_assert!(!name(&raw).contains('\n'));
        }

        /// What a contact may be called is shown as it is, so that the name on the screen answers.
        #[test]
        fn a_usable_petname_is_shown_as_it_is(raw in prop_oneof![hostile(), ".{1,30}"]) {
            for petname in [raw.clone(), suggested(&raw, "abcd-efgh")] {
                if usable(&petname).is_ok() {
                    prop_assert_eq!(name(&petname), petname);
                }
            }
        }

        #[test]
        fn cleaning_twice_changes_nothing(raw in hostile()) {
            let (texts, lines, names) = (text(&raw), line(&raw), name(&raw));
            prop_assert_eq!(text(&texts), texts);
            prop_assert_eq!(line(&lines), lines);
            prop_assert_eq!(name(&names), names);
        }

        #[test]
        fn printable_ascii_is_left_alone(raw in "[ -~\n]{0,200}") {
            prop_assert_eq!(text(&raw), raw);
        }
    }
}
