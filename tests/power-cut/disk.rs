//! A disk that remembers what was only written and what was synced, replayed from a log.
//!
//! Files and directories are nodes, so that a rename moves a name and nothing else. The *live*
//! state is what the running program saw; the *durable* state is what survives; what lies between
//! them is pending, and a model of the cut decides about it.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::Path;

use super::log::{Event, Record};

/// The kernel writes back whole pages.
const PAGE: usize = 4096;

/// What a power cut does to what is pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Model {
    /// Every unsynced write is lost. `sync_file_range` syncs nothing: not the disk's cache, not the
    /// metadata.
    Drop,
    /// Every page of every unsynced write survives with probability 1/2.
    Random,
    /// As `Drop`, on a disk whose cache is not volatile: `sync_file_range` counts.
    Range,
    /// As `Random`, and so do names: creations, renames and removals survive in any combination
    /// until their directory is synced.
    Names,
}

/// Decides by chance, the same way for the same seed.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) const fn seeded(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).expect("64 bits") % limit.max(1)
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 0
    }
}

type Node = usize;

#[derive(Clone, Debug, Default)]
struct Contents {
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

#[derive(Clone, Debug, Default)]
struct Names {
    live: BTreeMap<String, Node>,
    durable: BTreeMap<String, Node>,
    /// `None` removes the name.
    pending: Vec<(String, Option<Node>)>,
}

#[derive(Clone, Debug)]
enum Entry {
    File(Contents),
    Directory(Names),
}

/// The tree below one directory, which itself is durable.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    model: Model,
    root: String,
    entries: Vec<Entry>,
    open: HashMap<u32, Node>,
}

impl Disk {
    pub(crate) fn new(root: &str, model: Model) -> Self {
        let entries = vec![Entry::Directory(Names::default())];
        Self { model, root: root.to_owned(), entries, open: HashMap::new() }
    }

    /// Takes over a directory as it is, all of it durable.
    pub(crate) fn seed(&mut self, from: &Path) {
        self.seed_into(0, from);
    }

    fn seed_into(&mut self, into: Node, from: &Path) {
        for entry in fs::read_dir(from).expect("lists").map(|entry| entry.expect("an entry")) {
            let (path, kind) = (entry.path(), entry.file_type().expect("a kind"));
            let seeded = if kind.is_dir() {
                Entry::Directory(Names::default())
            } else if kind.is_file() {
                let durable = fs::read(&path).expect("reads");
                Entry::File(Contents { durable, pending: Vec::new() })
            } else {
                continue; // A socket is made anew by each start.
            };
            self.entries.push(seeded);
            let node = self.entries.len() - 1;
            let names = self.names(into);
            let name = entry.file_name().into_string().expect("UTF-8");
            set(&mut names.live, &name, Some(node));
            set(&mut names.durable, &name, Some(node));
            if kind.is_dir() {
                self.seed_into(node, &path);
            }
        }
    }

    /// Does what the program did.
    pub(crate) fn apply(&mut self, record: &Record) {
        let file = |disk: &Self| disk.open.get(&record.file).copied();
        match &record.event {
            Event::Path(path) => {
                // A file that was opened before its creation could be logged does not occur: the
                // logger sees every creation.
                let node = self.find(path).unwrap_or_else(|| panic!("{path} was never created"));
                self.open.insert(record.file, node);
            }
            Event::Create(path) => self.add(path, Entry::File(Contents::default())),
            Event::Mkdir(path) => self.add(path, Entry::Directory(Names::default())),
            Event::Rename(from, to) => {
                // What is not known is no file: a socket is made by `bind`, which is not logged.
                if let Some(node) = self.find(from) {
                    self.name(to, Some(node));
                    self.name(from, None);
                }
            }
            Event::Unlink(path) => self.name(path, None),
            Event::Write(offset, bytes) => {
                self.change(file(self), Change::Write(*offset, bytes.clone()));
            }
            Event::Truncate(length) => self.change(file(self), Change::Truncate(*length)),
            Event::Sync => self.sync(file(self)),
            Event::Range(offset, length) if self.model == Model::Range => {
                self.sync_range(file(self), *offset, *length);
            }
            Event::Range(..) | Event::Ack(_) => {}
        }
    }

    /// Writes into `target` what a cut at this moment leaves.
    pub(crate) fn cut(&self, chance: &mut Chance, target: &Path) -> io::Result<()> {
        self.leave(0, chance, target)
    }

    fn leave(&self, node: Node, chance: &mut Chance, target: &Path) -> io::Result<()> {
        match &self.entries[node] {
            Entry::File(contents) => fs::write(target, self.survivors(contents, chance)),
            Entry::Directory(names) => {
                fs::create_dir(target)?;
                for (name, node) in self.surviving_names(names, chance) {
                    self.leave(node, chance, &target.join(name))?;
                }
                Ok(())
            }
        }
    }

    fn survivors(&self, contents: &Contents, chance: &mut Chance) -> Vec<u8> {
        let mut image = contents.durable.clone();
        if matches!(self.model, Model::Random | Model::Names) {
            for change in &contents.pending {
                match change {
                    Change::Truncate(_) if chance.coin() => apply(&mut image, change),
                    Change::Truncate(_) => {}
                    Change::Write(offset, bytes) => {
                        for (at, page) in pages(*offset, bytes) {
                            if chance.coin() {
                                apply(&mut image, &Change::Write(at, page.to_vec()));
                            }
                        }
                    }
                }
            }
        }
        image
    }

    fn surviving_names(&self, names: &Names, chance: &mut Chance) -> BTreeMap<String, Node> {
        if self.model != Model::Names {
            return names.live.clone();
        }
        let mut left = names.durable.clone();
        for (name, node) in &names.pending {
            if chance.coin() {
                set(&mut left, name, *node);
            }
        }
        left
    }

    fn names(&mut self, node: Node) -> &mut Names {
        match &mut self.entries[node] {
            Entry::Directory(names) => names,
            Entry::File(_) => panic!("a file has no names"),
        }
    }

    /// The node of a live path.
    fn find(&self, path: &str) -> Option<Node> {
        let below = path.strip_prefix(&self.root)?;
        let parts = below.split('/').filter(|part| !part.is_empty());
        parts.into_iter().try_fold(0, |node, part| match &self.entries[node] {
            Entry::Directory(names) => names.live.get(part).copied(),
            Entry::File(_) => None,
        })
    }

    fn add(&mut self, path: &str, entry: Entry) {
        self.entries.push(entry);
        let node = self.entries.len() - 1;
        self.name(path, Some(node));
    }

    fn name(&mut self, path: &str, node: Option<Node>) {
        let (parent, name) = path.rsplit_once('/').expect("paths are absolute");
        let parent = self.find(parent).expect("parents exist");
        let names = self.names(parent);
        set(&mut names.live, name, node);
        names.pending.push((name.to_owned(), node));
    }

    fn change(&mut self, node: Option<Node>, change: Change) {
        if let Some(Entry::File(contents)) = node.map(|node| &mut self.entries[node]) {
            contents.pending.push(change);
        }
    }

    fn sync(&mut self, node: Option<Node>) {
        match node.map(|node| &mut self.entries[node]) {
            Some(Entry::File(contents)) => {
                let Contents { durable, pending } = contents;
                pending.drain(..).for_each(|change| apply(durable, &change));
            }
            Some(Entry::Directory(names)) => {
                let Names { durable, pending, .. } = names;
                pending.drain(..).for_each(|(name, node)| set(durable, &name, node));
            }
            None => {}
        }
    }

    /// Makes the writes inside a range durable; the file's length comes with them.
    fn sync_range(&mut self, node: Option<Node>, offset: usize, length: usize) {
        if let Some(Entry::File(contents)) = node.map(|node| &mut self.entries[node]) {
            let Contents { durable, pending } = contents;
            pending.retain(|change| {
                let inside = matches!(change, Change::Write(at, bytes)
                    if *at >= offset && at + bytes.len() <= offset + length);
                if inside {
                    apply(durable, change);
                }
                !inside
            });
        }
    }
}

fn set(names: &mut BTreeMap<String, Node>, name: &str, node: Option<Node>) {
    match node {
        Some(node) => drop(names.insert(name.to_owned(), node)),
        None => drop(names.remove(name)),
    }
}

fn apply(image: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Truncate(length) => image.resize(*length, 0),
        Change::Write(offset, bytes) => {
            let end = offset + bytes.len();
            if image.len() < end {
                image.resize(end, 0);
            }
            image[*offset..end].copy_from_slice(bytes);
        }
    }
}

/// A write in pieces that do not cross a page.
fn pages(offset: usize, bytes: &[u8]) -> Vec<(usize, &[u8])> {
    let (mut at, mut rest, mut pages) = (offset, bytes, Vec::new());
    while !rest.is_empty() {
        let (page, after) = rest.split_at(rest.len().min(PAGE - at % PAGE));
        pages.push((at, page));
        at += page.len();
        rest = after;
    }
    pages
}
