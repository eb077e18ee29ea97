//! A Rust file as a flat list of tokens, so that comments and strings cannot be mistaken for code.
//!
//! Macro bodies and attributes are tokens like any other, so a path inside `proptest! { .. }` or
//! `#[derive(clap::Args)]` is seen. Names are not resolved: an alias made by `use a as b` counts
//! at the `use`, not where `b` is used.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// What a token is. Literals keep no text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Word(String),
    Mark(char),
    Open(Delimiter),
    Close(Delimiter),
    Literal,
}

/// A token and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// Counted from 1.
    pub(super) line: usize,
    /// Inside an item behind `#[cfg(test)]` or `#[test]`, or in a file of tests or benches.
    pub(super) test: bool,
    /// Number of inline modules (`mod x { .. }`) around it.
    pub(super) depth: usize,
}

impl Token {
    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(&self.kind, Kind::Word(text) if text == word)
    }

    pub(super) fn word(&self) -> Option<&str> {
        match &self.kind {
            Kind::Word(text) => Some(text),
            Kind::Mark(_) | Kind::Open(_) | Kind::Close(_) | Kind::Literal => None,
        }
    }

    pub(super) fn is_mark(&self, mark: char) -> bool {
        self.kind == Kind::Mark(mark)
    }
}

/// The tokens of a file.
///
/// # Errors
///
/// The lexer's message if `text` is no Rust.
pub(super) fn flatten(text: &str) -> Result<Vec<Token>, String> {
    let stream: TokenStream = text.parse().map_err(|error| format!("{error}"))?;
    let mut tokens = Vec::new();
    walk(stream, false, 0, &mut tokens);
    Ok(tokens)
}

fn walk(stream: TokenStream, test: bool, depth: usize, out: &mut Vec<Token>) {
    let (mut item_is_test, mut item_is_module) = (false, false);
    let mut trees = stream.into_iter().peekable();
    while let Some(tree) = trees.next() {
        let test = test || item_is_test;
        let mut push = |kind, line| out.push(Token { kind, line, test, depth });
        match tree {
            TokenTree::Ident(word) => {
                item_is_module |= word == "mod";
                push(Kind::Word(word.to_string()), word.span().start().line);
            }
            TokenTree::Punct(mark) => {
                match mark.as_char() {
                    '#' => item_is_test |= trees.peek().is_some_and(is_test_attribute),
                    ';' => (item_is_test, item_is_module) = (false, false),
                    _ => {}
                }
                push(Kind::Mark(mark.as_char()), mark.span().start().line);
            }
            TokenTree::Literal(literal) => push(Kind::Literal, literal.span().start().line),
            TokenTree::Group(group) => {
                let delimiter = group.delimiter();
                push(Kind::Open(delimiter), group.span_open().start().line);
                let ends_item = delimiter == Delimiter::Brace;
                let inner = depth + usize::from(ends_item && item_is_module);
                walk(group.stream(), test, inner, out);
                let line = group.span_close().start().line;
                out.push(Token { kind: Kind::Close(delimiter), line, test, depth });
                if ends_item {
                    (item_is_test, item_is_module) = (false, false);
                }
            }
        }
    }
}

/// Whether this is the bracket of `#[test]`, `#[cfg(test)]` or another attribute ending in `::test`.
fn is_test_attribute(tree: &TokenTree) -> bool {
    let TokenTree::Group(group) = tree else { return false };
    let text: String = group.stream().to_string().split_whitespace().collect();
    text == "test" || text == "cfg(test)" || text.ends_with("::test")
}

/// Whether `tokens[at..]` begins with `::`.
pub(super) fn is_separator(tokens: &[Token], at: usize) -> bool {
    tokens.get(at..at + 2).is_some_and(|pair| pair.iter().all(|token| token.is_mark(':')))
}

/// The names that can follow a path's `::` at `tokens[at..]`: one, or each first name of `{a, b::c}`;
/// `*` for a glob.
pub(super) fn next_names(tokens: &[Token], at: usize) -> Vec<String> {
    let Some(first) = tokens.get(at) else { return Vec::new() };
    match &first.kind {
        Kind::Word(word) => vec![word.clone()],
        Kind::Mark('*') => vec!["*".to_owned()],
        Kind::Open(Delimiter::Brace) => names_of_group(&tokens[at + 1..]),
        Kind::Mark(_) | Kind::Open(_) | Kind::Close(_) | Kind::Literal => Vec::new(),
    }
}

fn names_of_group(tokens: &[Token]) -> Vec<String> {
    let (mut level, mut at_start, mut names) = (0_usize, true, Vec::new());
    for token in tokens {
        match &token.kind {
            Kind::Open(_) => level += 1,
            Kind::Close(_) if level == 0 => break,
            Kind::Close(_) => level -= 1,
            Kind::Mark(',') if level == 0 => at_start = true,
            Kind::Word(word) if at_start => {
                names.push(word.clone());
                at_start = false;
            }
            Kind::Mark('*') if at_start => names.push("*".to_owned()),
            Kind::Word(_) | Kind::Mark(_) | Kind::Literal => {}
        }
    }
    names
}

/// Whether the word at `tokens[at]` begins a path (`word::..`) or is imported (`use word`), and is
/// not itself a later part of a path.
pub(super) fn begins_path(tokens: &[Token], at: usize) -> bool {
    let imported = at > 0 && (tokens[at - 1].is_word("use") || tokens[at - 1].is_word("crate"));
    let later = at >= 3
        && is_separator(tokens, at - 2)
        && matches!(&tokens[at - 3].kind, Kind::Word(word) if !is_keyword(word));
    !later && (imported || is_separator(tokens, at + 1))
}

/// A word before `::` that makes it the absolute path `::name`, not a later part of one.
fn is_keyword(word: &str) -> bool {
    matches!(word, "use" | "as" | "dyn" | "impl" | "return" | "in" | "for" | "mut")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<(String, bool, usize)> {
        let tokens = flatten(text).expect("Rust");
        let word = |token: &Token| Some((token.word()?.to_owned(), token.test, token.depth));
        tokens.iter().filter_map(word).collect()
    }

    #[test]
    fn comments_and_strings_are_no_words() {
        assert_eq!(
            words("/* sled */ // sled\n\"sled\" r#\"sled\"# tree"),
            [("tree".into(), false, 0)]
        );
    }

    #[test]
    fn a_test_module_is_known_and_ends_at_its_brace() {
        let seen = words("#[cfg(test)] mod tests { inner } outer");

        assert!(seen.contains(&("inner".into(), true, 1)));
        assert!(seen.contains(&("outer".into(), false, 0)));
    }

    #[test]
    fn a_group_gives_the_first_name_of_each_member() {
        let tokens = flatten("crate::{a::b, c::{d, e}, f as g}").expect("Rust");

        assert_eq!(next_names(&tokens, 3), ["a", "c", "f"]);
    }
}
