//! Reads what `powerlog.c` writes.

/// One call of the program under test.
#[derive(Debug)]
pub(crate) struct Record {
    /// The open file that it was about; 0 if it was about a path.
    pub(crate) file: u32,
    pub(crate) event: Event,
}

/// See `powerlog.c`.
#[derive(Debug)]
pub(crate) enum Event {
    Path(String),
    Create(String),
    Mkdir(String),
    Rename(String, String),
    Unlink(String),
    Write(usize, Vec<u8>),
    Truncate(usize),
    Sync,
    Range(usize, usize),
    /// A line on standard output.
    Ack(String),
}

/// The records of a log. Panics on a log that is cut or unknown: it would prove nothing.
pub(crate) fn parse(bytes: &[u8]) -> Vec<Record> {
    parse_with_ends(bytes).0
}

/// The records of a log, and where each one ends.
pub(crate) fn parse_with_ends(mut bytes: &[u8]) -> (Vec<Record>, Vec<u64>) {
    let (mut records, mut ends, whole) = (Vec::new(), Vec::new(), bytes.len());
    while !bytes.is_empty() {
        let kind = bytes[0];
        let file = u32::from_le_bytes(bytes[1..5].try_into().expect("4 bytes"));
        let offset = number(&bytes[5..13]);
        let length = u32::from_le_bytes(bytes[13..17].try_into().expect("4 bytes"));
        let end = 17 + usize::try_from(length).expect("fits");
        let event = event(kind, offset, &bytes[17..end]);
        records.push(Record { file, event });
        bytes = &bytes[end..];
        ends.push((whole - bytes.len()) as u64);
    }
    (records, ends)
}

fn event(kind: u8, offset: usize, bytes: &[u8]) -> Event {
    let text = || String::from_utf8(bytes.to_vec()).expect("UTF-8");
    match kind {
        b'p' => Event::Path(text()),
        b'c' => Event::Create(text()),
        b'd' => Event::Mkdir(text()),
        b'u' => Event::Unlink(text()),
        b'm' => {
            let both = text();
            let (from, to) = both.split_once('\0').expect("two paths");
            Event::Rename(from.to_owned(), to.to_owned())
        }
        b'w' => Event::Write(offset, bytes.to_vec()),
        b't' => Event::Truncate(offset),
        b's' => Event::Sync,
        b'r' => Event::Range(offset, number(bytes)),
        b'a' => Event::Ack(text()),
        other => panic!("unknown record {other}"),
    }
}

fn number(bytes: &[u8]) -> usize {
    u64::from_le_bytes(bytes.try_into().expect("8 bytes")).try_into().expect("fits")
}
