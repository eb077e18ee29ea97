//! The table of pitfalls in docs/SECURITY.md: each row names tests, and each of them exists.

use super::tree::Tree;

/// Pitfalls that the table must hold; fewer means that it was not read.
const AT_LEAST: usize = 26;

/// Rows without a test, and names of tests that do not exist.
pub(super) fn untested(document: &str, tree: &Tree) -> Vec<String> {
    let rows: Vec<&str> = rows(document).collect();
    let mut wrong = Vec::new();
    if rows.len() < AT_LEAST {
        wrong.push(format!("the table has {} rows", rows.len()));
    }
    for row in rows {
        let pitfall = row.split('|').nth(1).unwrap_or_default().trim();
        let mut tests = row.split('`').skip(1).step_by(2).peekable();
        if tests.peek().is_none() {
            wrong.push(format!("{pitfall}: no test"));
        }
        wrong.extend(
            tests
                .filter(|name| !is_test(name, tree))
                .map(|name| format!("{pitfall}: there is no test `{name}`")),
        );
    }
    wrong
}

/// Rows of the table under the heading "Pitfalls", without its head.
fn rows(document: &str) -> impl Iterator<Item = &str> {
    document
        .lines()
        .skip_while(|line| *line != "## Pitfalls")
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
        .filter(|line| line.starts_with("| ") && !line.starts_with("| ---"))
        .skip(1)
}

/// Whether some source has a function of this name in its tests.
fn is_test(name: &str, tree: &Tree) -> bool {
    tree.sources.iter().any(|source| {
        let named = |pair: &[super::token::Token]| pair[0].is_word("fn") && pair[1].is_word(name);
        source.tokens.windows(2).any(|pair| named(pair) && pair[1].test)
    })
}

#[cfg(test)]
mod tests {
    use super::super::tree::planted::tree;
    use super::*;

    const TABLE: &str = "## Pitfalls\n\n| pitfall | tests |\n| --- | --- |\n\
        | one | `there_is_one` |\n| two | `there_is_none` |\n| three | nothing |\n";

    #[test]
    fn a_row_without_a_test_or_with_a_lost_one_is_reported() {
        let source = "#[test] fn there_is_one() {} fn there_is_none() {}";

        let wrong = untested(TABLE, &tree(&[("node/src/lib.rs", source)]));

        assert_eq!(
            wrong,
            ["the table has 3 rows", "two: there is no test `there_is_none`", "three: no test"]
        );
    }
}
