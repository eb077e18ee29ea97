//! What the program says and what docs/ERRORS.md says it says.

use std::collections::BTreeSet;
use std::path::Path;

/// Codes and warnings are words in the source, so the source is read. A word that is put together
/// at run time would escape; there is none.
#[test]
fn every_code_and_warning_of_the_command_line_stands_in_the_document_and_nothing_else_does() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = std::fs::read_to_string(root.join("../docs/ERRORS.md")).unwrap();
    let (of_the_node, ours) = document.split_once("## The command line").unwrap();
    let (codes, warnings) = ours.split_once("| warning |").unwrap();
    let of_the_node = rows(of_the_node);
    let mut said = (BTreeSet::new(), BTreeSet::new());
    for source in sources(&root.join("src")) {
        for call in ["UserError::usage(", "UserError::new(", "Self::usage(", "Self::new("] {
            said.0.extend(calls(&source, call).filter_map(code));
        }
        said.1.extend(calls(&source, "out.warn(").filter_map(word));
    }

    let only_here: BTreeSet<_> = said.0.difference(&of_the_node).cloned().collect();
    assert_eq!(only_here, rows(codes));
    assert_eq!(
        said.1,
        warnings.lines().filter_map(|row| row.split('`').nth(1)).map(String::from).collect()
    );
    assert!(said.0.len() > only_here.len(), "some are shared, with the same category");
}

/// `code category` of each row of a table, and the exit code must be that of the category.
fn rows(table: &str) -> BTreeSet<String> {
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split(" | ").collect();
        let code = cells[0].trim_start_matches("| `").trim_end_matches('`');
        let exit: u8 = cells[2].parse().unwrap();
        let category = bitchat_node::error::Category::from_word(cells[1]).unwrap();
        assert_eq!(category.exit(), exit, "{code}");
        format!("{code} {}", cells[1])
    })
    .collect()
}

/// The text of each file without its tests.
fn sources(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(sources(&entry.path()));
        } else {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            found.push(text.split("#[cfg(test)]").next().unwrap().to_owned());
        }
    }
    found
}

/// What follows each call, with its name in front.
fn calls<'a>(source: &'a str, call: &'a str) -> impl Iterator<Item = &'a str> {
    source.match_indices(call).map(|(at, _)| &source[at..])
}

/// `code category` of a call that makes an error.
fn code(call: &str) -> Option<String> {
    let end = call.find(';').unwrap_or(call.len());
    let (name, arguments) = call[..end].split_once('(')?;
    let category = if name.ends_with("usage") {
        "Usage"
    } else {
        let (_, category) = arguments.trim_start().split_once("Category::")?;
        let end = category.find(',')?;
        &category[..end]
    };
    let category: String = category.chars().fold(String::new(), |mut word, c| {
        if c.is_uppercase() && !word.is_empty() {
            word.push('_');
        }
        word.extend(c.to_lowercase());
        word
    });
    Some(format!("{} {category}", word(call)?))
}

/// The first argument that is a word in quotes.
fn word(call: &str) -> Option<String> {
    let (_, from) = call.split_once('"')?;
    let (word, _) = from.split_once('"')?;
    let is_word = !word.is_empty()
        && word.chars().all(|c| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit());
    is_word.then(|| word.to_owned())
}
