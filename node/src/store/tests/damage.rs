//! Files of a store are cut and overwritten at random: what was acknowledged is there, or it is said
//! that something is wrong. It is never simply less.

use super::*;

/// Rows that were acknowledged.
const ROWS: u64 = 120;

/// The same numbers for the same seed.
struct Chance(u64);

impl Chance {
    fn seeded(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).expect("8 bits")
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % limit.max(1)
    }
}

fn value(number: u64) -> Vec<u8> {
    vec![
        u8::try_from(number % 251).expect("fits");
        200 + usize::try_from(number).expect("fits") * 7
    ]
}

/// A store that was closed in order, started three times, with rows that were overwritten.
fn whole() -> (tempfile::TempDir, std::path::PathBuf) {
    let (parent, dir) = parent();
    for start in 0..3 {
        let store = open(&dir);
        for number in (start * ROWS / 3)..((start + 1) * ROWS / 3) {
            store.commit(&[batch(2 * number, [put(number, vec![0; 40])])]).expect("commits");
            store.commit(&[batch(2 * number + 1, [put(number, value(number))])]).expect("commits");
        }
    }
    (parent, dir)
}

fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(dir).expect("lists").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> = entries.filter(|path| path.is_file()).collect();
    files.sort();
    files
}

/// Damages one file; `None` if there is nothing in it.
fn damage(file: &Path, chance: &mut Chance) -> Option<String> {
    let mut bytes = fs::read(file).expect("reads");
    let at = chance.below(bytes.len());
    let what = match chance.below(4) {
        _ if bytes.is_empty() => return None,
        0 => {
            bytes.truncate(at);
            "cut"
        }
        1 => {
            bytes[at] ^= 1 << chance.below(8);
            "one bit"
        }
        2 => {
            let end = (at + 1 + chance.below(5_000)).min(bytes.len());
            bytes[at..end].iter_mut().for_each(|byte| *byte = chance.byte());
            "noise"
        }
        _ => {
            let end = (at + 1 + chance.below(40_000)).min(bytes.len());
            bytes[at..end].fill(0);
            "zeros"
        }
    };
    fs::write(file, bytes).expect("writes");
    Some(format!("{what} at {at} of {}", file.display()))
}

/// What is wrong with how the store took the damage.
fn fault(dir: &Path) -> Result<bool, String> {
    let store = match SledStore::open(dir, keys(1)) {
        Ok(store) => store,
        Err(error) if error.to_string().is_empty() => return Err("says nothing".to_owned()),
        Err(_) => return Ok(false),
    };
    let mut all = true;
    for number in 0..ROWS {
        match store.get(&Key::numbered(Table::Outbox, b"alice", number)) {
            Ok(Some(found)) if found == value(number) => {}
            Err(_) => all = false,
            Ok(Some(_)) => return Err(format!("row {number} is an older one")),
            Ok(None) => return Err(format!("row {number} is missing, and nothing says so")),
        }
    }
    Ok(all)
}

fn survive(rounds: u64) {
    let (_parent, dir) = whole();
    let (mut told, mut unharmed) = (0, 0);
    for seed in 0..rounds {
        let mut chance = Chance::seeded(seed);
        let (_copy_parent, copy) = parent();
        fs::create_dir_all(copy.join("blobs")).expect("makes");
        for file in files(&dir) {
            fs::copy(&file, copy.join(file.file_name().expect("a name"))).expect("copies");
        }
        // Most of it is the log; the others have their turn.
        let all = files(&copy);
        let db = copy.join("db");
        let file = if chance.below(3) > 0 { &db } else { &all[chance.below(all.len())] };
        let Some(what) = damage(file, &mut chance) else { continue };

        match fault(&copy) {
            Ok(true) => unharmed += 1,
            Ok(false) => told += 1,
            Err(fault) => panic!("seed {seed}, {what}: {fault}"),
        }
    }
    println!("{told} told, {unharmed} unharmed");
    assert!(told > 0 && unharmed > 0, "{told} told, {unharmed} unharmed");
}

#[test]
fn a_store_that_was_damaged_anywhere_holds_all_or_says_so() {
    survive(300);
}

/// The long form: `cargo test -p bitchat-node --lib -- --ignored damaged_anywhere`.
#[test]
#[ignore = "takes minutes"]
fn a_store_that_was_damaged_anywhere_holds_all_or_says_so_20000_times() {
    survive(20_000);
}
