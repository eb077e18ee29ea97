//! Which module may import which: only from a lower rank of the same crate.
//!
//! The ranks stand in the module doc of each crate's `lib.rs` and are read from there, so the
//! document and the check cannot differ. Test code may import anything.

use std::collections::BTreeMap;

use super::token::{Token, is_separator, next_names};
use super::tree::{Source, Tree};

/// Crates whose modules have ranks.
const RANKED: [&str; 2] = ["protocol", "node"];

type Ranks = BTreeMap<String, u32>;

/// Imports that do not go down, and modules without a rank.
pub(super) fn wrong_imports(tree: &Tree) -> Vec<String> {
    RANKED.iter().flat_map(|name| wrong_imports_of(tree, name)).collect()
}

fn wrong_imports_of(tree: &Tree, name: &str) -> Vec<String> {
    let root = format!("{name}/src/lib.rs");
    let Some(lib) = tree.sources.iter().find(|source| source.path == root) else {
        return Vec::new();
    };
    let ranks = ranks(&lib.docs);
    let prefix = format!("{name}/src/");
    let mut wrong = Vec::new();
    for source in tree.sources.iter().filter(|source| source.path.starts_with(&prefix)) {
        let Some(module) = source.module().first().map(|module| (*module).to_owned()) else {
            continue;
        };
        let Some(rank) = ranks.get(&module) else {
            wrong.push(format!("{}: `{module}` has no rank in {root}", source.path));
            continue;
        };
        for (token, target) in imports(source) {
            let allowed = target == module || ranks.get(&target).is_some_and(|other| other < rank);
            if !allowed {
                let place = source.at(token);
                wrong.push(format!("{place}: `{module}` must not import `{target}`"));
            }
        }
    }
    wrong
}

/// Reads ``0 `id time` · 1 `store` ``: a number, then names between backticks.
fn ranks(docs: &str) -> Ranks {
    let parts: Vec<&str> = docs.split('`').collect();
    let mut ranks = Ranks::new();
    for pair in parts.chunks_exact(2) {
        let last = pair[0].split_whitespace().last().unwrap_or_default();
        if let (true, Ok(rank)) = (pair[0].ends_with(' '), last.parse()) {
            ranks.extend(pair[1].split_whitespace().map(|name| (name.to_owned(), rank)));
        }
    }
    ranks
}

/// Top-level modules of the same crate that `source` names outside its tests.
fn imports(source: &Source) -> Vec<(&Token, String)> {
    let tokens = &source.tokens;
    let mut imports = Vec::new();
    for (at, token) in tokens.iter().enumerate().filter(|(_, token)| !token.test) {
        if !is_separator(tokens, at + 1) {
            continue; // `pub(crate)`, `pub(super)`
        }
        let names = if token.is_word("crate") {
            next_names(tokens, at + 3)
        } else if token.is_word("super") && !follows_super(tokens, at) {
            super_names(source, at)
        } else {
            continue;
        };
        imports.extend(names.into_iter().map(|name| (token, name)));
    }
    imports
}

fn follows_super(tokens: &[Token], at: usize) -> bool {
    at >= 3 && is_separator(tokens, at - 2) && tokens[at - 3].is_word("super")
}

/// Modules that a chain of `super::` reaches; empty while it stays inside its own.
fn super_names(source: &Source, start: usize) -> Vec<String> {
    let tokens = &source.tokens;
    let (mut up, mut at) = (0, start);
    while tokens.get(at).is_some_and(|token| token.is_word("super")) && is_separator(tokens, at + 1)
    {
        up += 1;
        at += 3;
    }
    let names = next_names(tokens, at);
    if names.iter().any(|name| name == "super") {
        return vec!["super inside a group: write the path out".to_owned()];
    }
    let inside = source.module().len() + tokens[start].depth;
    if up >= inside && up > 0 { names } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::super::tree::planted::tree;
    use super::*;

    const LIB: &str =
        "//! Ranks (see x):\n//! 0 `error` · 1 `store network control` ·\n//! 2 `driver`.\n";

    fn wrong(path: &str, text: &str) -> Vec<String> {
        wrong_imports(&tree(&[("node/src/lib.rs", LIB), (path, text)]))
    }

    #[test]
    fn an_import_upwards_is_reported_in_every_spelling() {
        for text in [
            "use crate::driver::Driver;",
            "use crate::{error::E, driver::{Driver}};",
            "fn f() { crate::driver::run() }",
            "use super::driver;",
            "use super::{error::E, driver::Driver};",
            "mod inner { use super::super::driver::Driver; }",
            "use crate::*;",
            "other! { crate::driver::X }",
        ] {
            assert_eq!(wrong("node/src/store.rs", text).len(), 1, "{text}");
        }
        assert_eq!(wrong("node/src/store/deep.rs", "use super::super::driver::D;").len(), 1);
    }

    #[test]
    fn siblings_of_the_shell_never_name_each_other() {
        assert_eq!(
            wrong("node/src/control/route.rs", "use crate::store::SledStore;"),
            ["node/src/control/route.rs:1: `control` must not import `store`"]
        );
        assert_eq!(wrong("node/src/network.rs", "use super::control::Handle;").len(), 1);
    }

    #[test]
    fn a_module_without_a_rank_is_reported() {
        assert_eq!(wrong("node/src/utils.rs", "").len(), 1);
    }

    #[test]
    fn imports_downwards_inside_the_module_and_in_tests_pass() {
        for text in [
            "use crate::error::E; use crate::store::deep::X; use std::fmt;",
            "pub(crate) fn f() {} pub(super) fn g() {}",
            "#[cfg(test)] mod tests { use super::*; use crate::driver::Driver; }",
            "mod inner { use super::X; }",
        ] {
            assert_eq!(wrong("node/src/store.rs", text), Vec::<String>::new(), "{text}");
        }
        assert!(wrong("node/src/store/deep.rs", "use super::{X, Y};").is_empty());
    }
}
