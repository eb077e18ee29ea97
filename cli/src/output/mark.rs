//! The mark of a state of delivery: `·` `→` `✓` `✓✓` `✗`, or `.` `>` `+` `++` `x` on a terminal that cannot
//! draw those.

use crate::output::{Colour, Paint};
use crate::sanitise;

/// The mark of a state of delivery.
pub(crate) fn mark(state: &str, paint: Paint) -> String {
    match state {
        "queued" => paint.either("·", ".").to_owned(),
        "sent" => paint.either("→", ">").to_owned(),
        "stored" => paint.either("✓", "+").to_owned(),
        "delivered" => paint.on(Colour::Green, paint.either("✓✓", "++")),
        "read" => paint.on(Colour::Green, paint.either("✓✓ read", "++ read")),
        other => {
            let cross = paint.either("✗", "x");
            paint.on(Colour::Red, &format!("{cross} {}", sanitise::line(other)))
        }
    }
}

/// Whether the locale of the environment draws UTF-8: the first of its variables that says anything decides.
pub(super) fn is_utf8(variable: impl Fn(&str) -> Option<String>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .find_map(|name| variable(name).filter(|value| !value.is_empty()))
        .unwrap_or_default()
        .to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_a_mark_of_its_own_that_a_plain_terminal_can_draw() {
        let states = ["queued", "sent", "stored", "delivered", "read", "expired", "rejected"];
        let drawn = |ascii| {
            let paint = Paint { colour: false, ascii };
            states.map(|state| mark(state, paint))
        };

        let expected = ["·", "→", "✓", "✓✓", "✓✓ read", "✗ expired", "✗ rejected"];
        assert_eq!(drawn(false), expected);
        let plain = drawn(true);
        assert!(plain.iter().all(|mark| mark.is_ascii()), "{plain:?}");
        assert_eq!(plain, [".", ">", "+", "++", "++ read", "x expired", "x rejected"]);
    }

    #[test]
    fn the_first_variable_that_says_anything_decides() {
        let said = |all: &str, ctype: &str, lang: &str| {
            let (all, ctype, lang) = (all.to_owned(), ctype.to_owned(), lang.to_owned());
            is_utf8(|name| {
                Some(match name {
                    "LC_ALL" => all.clone(),
                    "LC_CTYPE" => ctype.clone(),
                    _ => lang.clone(),
                })
            })
        };

        assert!(said("", "", "de_DE.UTF-8") && said("", "C.utf8", "C"));
        assert!(!said("C", "en_US.UTF-8", "en_US.UTF-8") && !said("", "", "de_DE@euro"));
        assert!(!is_utf8(|_| None));
    }
}
