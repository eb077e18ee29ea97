//! A passphrase: NFC, so that every keyboard spells it the same; judged only when it is new.

use std::fmt::{self, Debug, Formatter};

use bitchat_protocol::crypto::wipes_itself;
use unicode_normalization::UnicodeNormalization;
use zeroize::{ZeroizeOnDrop, Zeroizing};
use zxcvbn::Score;

use super::KeystoreError;

/// Growth of a string under NFC in UTF-8 is at most threefold (Unicode FAQ, normalization).
const NFC_GROWTH: usize = 3;

/// What unlocks a key store.
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Bytes of a passphrase; more is a file by mistake.
    pub const BYTES_MAX: usize = 1024;

    /// Takes a passphrase as it was typed or read; nothing is trimmed.
    ///
    /// # Errors
    ///
    /// [`KeystoreError::LongPassphrase`].
    pub fn new(text: &str) -> Result<Self, KeystoreError> {
        if text.len() > Self::BYTES_MAX {
            return Err(KeystoreError::LongPassphrase);
        }
        // Reserved once: a string that grows leaves unzeroed copies behind.
        let mut normal = Zeroizing::new(String::with_capacity(text.len() * NFC_GROWTH));
        normal.extend(text.nfc());
        Ok(Self(normal))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// Refuses what `zxcvbn` scores below 3 of 4 (under 10^8 guesses). There are no composition
    /// rules: they make passphrases worse. `zxcvbn` makes copies that it does not zero; it sees a
    /// passphrase once in its life.
    pub(crate) fn check_strength(&self, nickname: &str) -> Result<(), KeystoreError> {
        let estimate = zxcvbn::zxcvbn(self.expose(), &[nickname, "bitchat"]);
        if estimate.score() >= Score::Three {
            return Ok(());
        }
        let advice = estimate.feedback().map(|feedback| {
            let warning = feedback.warning().map(|warning| warning.to_string());
            let suggestions = feedback.suggestions().iter().map(ToString::to_string);
            warning.into_iter().chain(suggestions).collect::<Vec<_>>().join(" ")
        });
        let feedback = advice
            .filter(|advice| !advice.is_empty())
            .unwrap_or_else(|| "Use a few words, avoid common phrases.".to_owned());
        Err(KeystoreError::WeakPassphrase { feedback })
    }
}

impl ZeroizeOnDrop for Passphrase {}

const _: fn(&Passphrase) = |Passphrase(text)| wipes_itself(text);

impl Debug for Passphrase {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(text: &str, nickname: &str) -> Result<(), KeystoreError> {
        Passphrase::new(text)?.check_strength(nickname)
    }

    #[test]
    fn guessable_passphrases_are_refused_with_advice() {
        let weak = [
            "",
            "a",
            "password",
            "Password1!",
            "qwertyuiop",
            "1234567890",
            "letmein123",
            "iloveyou",
            "bitchat",
            "bitchat1",
            "asdfghjkl",
            "2024-11-24",
            "aaaaaaaaaaaaaaaa",
            "abcabcabcabc",
            "P@ssw0rd",
            "trustno1",
            "monkeymonkey",
        ];
        for text in weak {
            let Err(KeystoreError::WeakPassphrase { feedback }) = judge(text, "alice") else {
                panic!("{text:?} was accepted");
            };
            assert!(feedback.len() > 5, "{text:?}: {feedback:?}");
        }
        assert!(judge("margarethe-winter", "margarethe-winter").is_err(), "one's own name");
    }

    #[test]
    fn diceware_is_accepted() {
        for text in ["correct horse battery staple", "cobalt-sundial-otter-quarry", "Ø7#kq!vv2Lm"]
        {
            judge(text, "alice").expect(text);
        }
    }

    #[test]
    fn two_spellings_of_one_text_are_one_passphrase() {
        let composed = Passphrase::new("caf\u{e9} \u{1e9b}\u{323}").expect("short");
        let decomposed = Passphrase::new("cafe\u{301} \u{17f}\u{323}\u{307}").expect("short");

        assert_eq!(composed.expose(), decomposed.expose());
    }

    #[test]
    fn debug_shows_no_character_and_a_file_is_no_passphrase() {
        let passphrase = Passphrase::new("correct horse").expect("short");

        assert_eq!(format!("{passphrase:?}"), "Passphrase(..)");
        let long = Passphrase::new(&"a".repeat(Passphrase::BYTES_MAX + 1));
        assert!(matches!(long, Err(KeystoreError::LongPassphrase)));
    }
}
