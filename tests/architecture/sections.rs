//! Files of the protocol with constants name the section of docs/SPEC.md that has them.

use super::tree::{Source, Tree};

/// What stands between the document's name and that of a section.
const NAMES: [&str; 2] = ["docs/SPEC.md, section \"", "docs/SPEC.md, \""];

/// Files with a constant and no section, and sections that do not exist.
pub(super) fn unfounded(document: &str, tree: &Tree) -> Vec<String> {
    let headings: Vec<_> = document
        .lines()
        .filter(|line| line.starts_with("## ") || line.starts_with("### "))
        .map(|line| line.trim_start_matches('#').trim())
        .collect();
    let is_core = |source: &&Source| {
        ["protocol/src/", "proto/src/"].iter().any(|folder| source.path.starts_with(folder))
    };
    let mut wrong = Vec::new();
    for source in tree.sources.iter().filter(is_core) {
        let sections: Vec<_> = sections(&source.docs).collect();
        if sections.is_empty() && has_constant(source) {
            wrong.push(format!("{}: constants without a section of docs/SPEC.md", source.path));
        }
        let lost = sections.iter().filter(|section| !headings.contains(section));
        wrong.extend(lost.map(|section| format!("{}: no section \"{section}\"", source.path)));
    }
    wrong
}

/// The sections that a module's documentation names.
fn sections(docs: &str) -> impl Iterator<Item = &str> {
    NAMES.iter().flat_map(|name| docs.split(name).skip(1)).filter_map(|rest| {
        let (section, _) = rest.split_once('"')?;
        Some(section)
    })
}

/// Whether code that is no test has a constant with a name.
fn has_constant(source: &Source) -> bool {
    source.tokens.windows(3).any(|three| {
        let name = &three[1];
        let is_named = name.word().is_some_and(|text| {
            text.chars().any(|c| c.is_ascii_uppercase())
                && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
        });
        !name.test && three[0].is_word("const") && is_named && three[2].is_mark(':')
    })
}

#[cfg(test)]
mod tests {
    use super::super::tree::planted::tree;
    use super::*;

    const SPEC: &str = "# A\n\n## Frames\n\n### Repair\n";

    #[test]
    fn a_constant_without_a_section_and_a_lost_section_are_reported() {
        let tree = tree(&[
            ("protocol/src/a.rs", "//! A.\nconst FLOOR: u8 = 1;"),
            (
                "protocol/src/b.rs",
                "//! B, see docs/SPEC.md, section \"Frames\".\nconst B_2: u8 = 1;",
            ),
            ("protocol/src/c.rs", "//! C, see docs/SPEC.md, \"Nowhere\".\nconst C: u8 = 1;"),
            ("protocol/src/d.rs", "//! D.\nconst fn short() {}\nconst _: () = ();"),
            ("protocol/src/e.rs", "//! E.\n#[cfg(test)] mod tests { const T: u8 = 1; }"),
            ("node/src/f.rs", "//! F.\nconst F: u8 = 1;"),
        ]);

        let wrong = unfounded(SPEC, &tree);

        assert_eq!(wrong.len(), 2, "{wrong:?}");
        assert!(wrong[0].starts_with("protocol/src/a.rs"));
        assert!(wrong[1].contains("Nowhere"));
    }
}
