//! Which crate may depend on which: `cli -> node -> protocol -> proto`.

use super::tree::{Manifest, Tree};

/// Rows: crate folder, workspace crates it may name outside `[dev-dependencies]`.
const ALLOWED: &[(&str, &[&str])] = &[
    ("proto", &[]),
    ("protocol", &["proto"]),
    ("protocol/vectors", &[]), // dev-dependencies only: published vectors against `protocol`
    ("protocol/fuzz", &["proto", "protocol"]),
    ("node", &["proto", "protocol"]),
    ("cli", &["proto", "node"]),
    ("simulations", &["proto", "protocol"]),
    ("tests", &["proto", "protocol", "node", "cli", "simulations"]),
];

/// Arrows between crates that are not in [`ALLOWED`], and crates without a row.
pub(super) fn wrong_arrows(tree: &Tree) -> Vec<String> {
    let crates = tree.manifests.iter().filter(|manifest| !manifest.folder.is_empty());
    crates.flat_map(wrong_arrows_of).collect()
}

fn wrong_arrows_of(manifest: &Manifest) -> Vec<String> {
    let folder = manifest.folder.as_str();
    let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == folder) else {
        return vec![format!("{folder} is a crate without a row in the table of arrows")];
    };
    let named = named_crates(&manifest.text);
    let wrong = named.iter().filter(|name| !allowed.contains(&name.as_str()));
    wrong.map(|name| format!("{folder} must not depend on {name}")).collect()
}

/// Workspace crates that the dependency sections name: by package (`bitchat-node`, in whatever
/// spelling of TOML) or by path (`../node`).
fn named_crates(text: &str) -> Vec<String> {
    let (mut relevant, mut named) = (false, Vec::new());
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.starts_with('[') {
            relevant = line.contains("dependencies") && !line.contains("dev-dependencies");
        }
        if relevant {
            named.extend(names_after(line, "bitchat-").chain(names_after(line, "../")));
        }
    }
    named
}

fn names_after<'a>(line: &'a str, mark: &'a str) -> impl Iterator<Item = String> + 'a {
    let is_name = |c: &char| c.is_ascii_alphanumeric() || *c == '_' || *c == '-';
    let names = line.split(mark).skip(1).map(move |rest| rest.chars().take_while(is_name));
    // `../../proto`: between the marks there is no name.
    names.map(Iterator::collect::<String>).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::tree::planted::tree;
    use super::*;

    #[test]
    fn a_wrong_arrow_is_reported_in_every_spelling() {
        for dependency in [
            "[dependencies]\nbitchat-node.workspace = true",
            "[dependencies]\nbitchat-node = { path = \"x\" }",
            "[dependencies.bitchat-node]\nworkspace = true",
            "[dependencies]\nother = { path = \"../node\" }",
            "[build-dependencies]\nother = { package = \"bitchat-node\", workspace = true }",
            "[target.'cfg(unix)'.dependencies]\nbitchat-node.workspace = true",
        ] {
            let tree = tree(&[("proto/Cargo.toml", dependency)]);

            let wrong = wrong_arrows(&tree);

            assert!(wrong.contains(&"proto must not depend on node".to_owned()), "{dependency}");
        }
    }

    #[test]
    fn the_program_may_not_reach_past_the_node() {
        let tree = tree(&[("cli/Cargo.toml", "[dependencies]\nbitchat-protocol.workspace = true")]);

        assert_eq!(wrong_arrows(&tree), ["cli must not depend on protocol"]);
    }

    #[test]
    fn a_crate_without_a_row_is_reported() {
        let tree = tree(&[("extra/Cargo.toml", "[package]")]);

        assert_eq!(wrong_arrows(&tree).len(), 1);
    }

    #[test]
    fn right_arrows_and_dev_dependencies_pass() {
        let tree = tree(&[
            ("node/Cargo.toml", "[dependencies]\nbitchat-protocol.workspace = true # bitchat-cli"),
            (
                "proto/Cargo.toml",
                "[package]\nname = \"bitchat-proto\"\n[dev-dependencies]\nbitchat-node = {}",
            ),
        ]);

        assert_eq!(wrong_arrows(&tree), Vec::<String>::new());
    }
}
