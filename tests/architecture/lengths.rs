//! How long a file and a function may be, wherever they stand: product, test, bench, build script.

use proc_macro2::Delimiter;

use super::token::{Kind, Token};
use super::tree::{Source, Tree};

/// More than one screenful of screens: a file above this holds two nouns.
const FILE_LINES_MAX: usize = 400;

/// From `fn` to the closing brace, comments included.
const FUNCTION_LINES_MAX: usize = 60;

/// Rows: file, its own limit, why it may be longer. Generated code and data tables only.
const LONGER: &[(&str, usize, &str)] = &[];

/// Files and functions above their limit, and files that could not be read as Rust.
pub(super) fn too_long(tree: &Tree) -> Vec<String> {
    let mut wrong = tree.unreadable.clone();
    for source in &tree.sources {
        let limit = file_limit(&source.path);
        if source.lines > limit {
            wrong.push(format!("{}: {} lines, limit {limit}", source.path, source.lines));
        }
        wrong.extend(long_functions(source));
    }
    wrong
}

fn file_limit(path: &str) -> usize {
    let own = LONGER.iter().find(|(name, ..)| *name == path);
    own.map_or(FILE_LINES_MAX, |(_, limit, _)| *limit)
}

fn long_functions(source: &Source) -> Vec<String> {
    let tokens = &source.tokens;
    let mut wrong = Vec::new();
    for (at, pair) in tokens.windows(2).enumerate() {
        let (true, Some(name)) = (pair[0].is_word("fn"), pair[1].word()) else { continue };
        let Some(end) = last_line(&tokens[at..]) else { continue };
        let lines = end + 1 - pair[0].line;
        if lines > FUNCTION_LINES_MAX {
            let place = source.at(&pair[0]);
            wrong.push(format!("{place}: fn {name} has {lines} lines, limit {FUNCTION_LINES_MAX}"));
        }
    }
    wrong
}

/// The line of the brace that closes the function which starts `tokens`; `None` for a signature.
fn last_line(tokens: &[Token]) -> Option<usize> {
    let mut level = 0_usize;
    for token in tokens {
        match token.kind {
            Kind::Mark(';') if level == 0 => return None,
            Kind::Open(_) => level += 1,
            Kind::Close(Delimiter::Brace) if level == 1 => return Some(token.line),
            Kind::Close(_) => level = level.checked_sub(1)?,
            Kind::Word(_) | Kind::Mark(_) | Kind::Literal => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::tree::planted::tree;
    use super::*;

    /// A file of `lines` lines with one function of `function` lines.
    fn file(lines: usize, function: usize) -> Vec<String> {
        let body = "    // a line\n".repeat(function - 2);
        let rest = "// a line\n".repeat(lines - function);
        let text = format!("fn long(x: [u8; 3]) {{\n{body}}}\n{rest}");
        too_long(&tree(&[("proto/src/lib.rs", &text)]))
    }

    #[test]
    fn a_file_above_the_limit_is_reported() {
        assert_eq!(file(400, 60), Vec::<String>::new());
        assert_eq!(file(401, 60), ["proto/src/lib.rs: 401 lines, limit 400"]);
    }

    #[test]
    fn a_function_above_the_limit_is_reported() {
        assert_eq!(file(100, 61), ["proto/src/lib.rs:1: fn long has 61 lines, limit 60"]);
    }

    #[test]
    fn a_signature_or_a_function_type_has_no_length() {
        let gap = "\n".repeat(70);
        let text = format!("trait T {{ fn a(&self) -> u8;{gap} fn b(); }} type F = fn(u8);");

        assert!(too_long(&tree(&[("proto/src/lib.rs", &text)])).is_empty());
    }

    #[test]
    fn a_file_that_is_no_rust_is_reported() {
        assert_eq!(too_long(&tree(&[("proto/src/lib.rs", "fn a( {")])).len(), 1);
    }
}
