//! The source tree under test: every Rust file and every crate's manifest below a root.

use std::fs;
use std::io;
use std::path::Path;

use super::token::{Token, flatten};

/// Folders that hold nothing written by hand.
const SKIPPED: [&str; 2] = ["target", ".git"];

/// A Rust file.
#[derive(Debug)]
pub(super) struct Source {
    /// From the root, with `/`.
    pub(super) path: String,
    pub(super) lines: usize,
    pub(super) tokens: Vec<Token>,
    /// Module documentation: the `//!` lines without their mark, joined by spaces.
    pub(super) docs: String,
}

/// A crate's `Cargo.toml`.
#[derive(Debug)]
pub(super) struct Manifest {
    /// The crate's folder from the root; empty for the workspace.
    pub(super) folder: String,
    pub(super) text: String,
}

/// All that the checks look at.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) sources: Vec<Source>,
    pub(super) manifests: Vec<Manifest>,
    /// Files that are no Rust, with the lexer's message: reported by the check of lengths.
    pub(super) unreadable: Vec<String>,
}

impl Tree {
    /// Reads everything below `root`.
    ///
    /// # Errors
    ///
    /// If a folder or file cannot be read.
    pub(super) fn read(root: &Path) -> io::Result<Self> {
        let mut tree = Self::default();
        tree.read_folder(root, "")?;
        tree.sources.sort_by(|a, b| a.path.cmp(&b.path));
        tree.manifests.sort_by(|a, b| a.folder.cmp(&b.folder));
        let declared: Vec<String> = tree.sources.iter().flat_map(test_files).collect();
        for source in &mut tree.sources {
            let outside_product = is_test_target(&source.path);
            if outside_product || declared.iter().any(|place| is_at(&source.path, place)) {
                source.tokens.iter_mut().for_each(|token| token.test = true);
            }
        }
        Ok(tree)
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
            if entry.file_type()?.is_dir() {
                if !SKIPPED.contains(&name.as_str()) {
                    self.read_folder(&entry.path(), &path)?;
                }
            } else if name == "Cargo.toml" {
                let text = fs::read_to_string(entry.path())?;
                self.manifests.push(Manifest { folder: prefix.to_owned(), text });
            } else if name.ends_with(".rs") {
                self.add_source(path, &fs::read_to_string(entry.path())?);
            }
        }
        Ok(())
    }

    fn add_source(&mut self, path: String, text: &str) {
        let docs: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("//!")).collect();
        match flatten(text) {
            Ok(tokens) => {
                let (lines, docs) = (text.lines().count(), docs.concat());
                self.sources.push(Source { path, lines, tokens, docs });
            }
            Err(error) => self.unreadable.push(format!("{path}: {error}")),
        }
    }
}

impl Source {
    /// Path of the module inside its crate: `["engine", "command"]`; empty at the crate's root.
    pub(super) fn module(&self) -> Vec<&str> {
        let Some((_, inside)) = self.path.split_once("/src/") else { return Vec::new() };
        let inside = inside.trim_end_matches(".rs");
        if matches!(inside, "lib" | "main") { Vec::new() } else { inside.split('/').collect() }
    }

    /// `path:line` for a message.
    pub(super) fn at(&self, token: &Token) -> String {
        format!("{}:{}", self.path, token.line)
    }
}

/// Whether `path` is the module `place` (`a/b` means `a/b.rs` and all of `a/b/`) or that very file.
pub(super) fn is_at(path: &str, place: &str) -> bool {
    path.strip_prefix(place).is_some_and(|rest| {
        rest.is_empty() || rest == ".rs" || rest.starts_with('/') || place.ends_with('/')
    })
}

/// Whether cargo compiles `path` as an integration test or a bench, not into a product.
fn is_test_target(path: &str) -> bool {
    let mut folders = path.split('/');
    let (first, second) = (folders.next(), folders.next());
    first == Some("tests") || matches!(second, Some("tests" | "benches"))
}

/// Places of the modules that `source` declares by `#[cfg(test)] mod name;`.
fn test_files(source: &Source) -> Vec<String> {
    let folder = match source.path.rsplit_once('/') {
        Some((folder, "lib.rs" | "main.rs")) => folder.to_owned(),
        _ => source.path.trim_end_matches(".rs").to_owned(),
    };
    let is_declaration =
        |three: &&[Token]| three[0].is_word("mod") && three[0].test && three[2].is_mark(';');
    let declared = source.tokens.windows(3).filter(is_declaration);
    declared.filter_map(|three| Some(format!("{folder}/{}", three[1].word()?))).collect()
}

#[cfg(test)]
pub(super) mod planted {
    //! Small trees for the proof that a check can fail.

    use super::*;

    /// A tree of `files` (path, text), read back from a temporary folder.
    pub(in crate::architecture) fn tree(files: &[(&str, &str)]) -> Tree {
        let root = tempfile::tempdir().expect("a temporary folder");
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("below the root")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        Tree::read(root.path()).expect("what was just written")
    }

    #[test]
    fn integration_tests_and_benches_are_test_code_and_a_folder_of_that_name_in_src_is_not() {
        let files = ["node/benches/a.rs", "node/src/tests/a.rs", "node/tests/a.rs", "tests/a.rs"];

        let tree = tree(&files.map(|path| (path, "fn a() {}")));

        let test: Vec<bool> = tree.sources.iter().map(|source| source.tokens[0].test).collect();
        assert_eq!(test, [true, false, true, true]);
    }

    #[test]
    fn a_file_declared_behind_cfg_test_is_test_code() {
        let tree = tree(&[
            ("node/src/store.rs", "#[cfg(test)] mod proof; mod real;"),
            ("node/src/store/proof.rs", "fn a() {}"),
            ("node/src/store/real.rs", "fn a() {}"),
        ]);

        let test: Vec<bool> = tree.sources.iter().map(|source| source.tokens[0].test).collect();
        assert_eq!(test, [false, true, false]);
    }
}
