//! Seals, the letters in them and the files that carry them.

use std::sync::LazyLock;

use bitchat_protocol::envelope::Envelope;
use bitchat_protocol::sealed::file::{MAGIC, Reader, Record, Writer};
use bitchat_protocol::sealed::{FLOOR, open, seal};

use super::keys::{Device, rng};

static PAIR: LazyLock<(Device, Device)> = LazyLock::new(|| (Device::new(1), Device::new(2)));

/// The bytes as a seal, as they are and at a length that a seal has: no key fits. As a letter. As a
/// file that comes in pieces.
pub fn sealed(bytes: &[u8]) {
    let (alice, bob) = &*PAIR;
    assert!(open(&alice.identity, bytes).is_err(), "a forged seal has opened");
    let mut fitting = bytes.to_vec();
    fitting.resize(FLOOR, 0);
    assert!(open(&alice.identity, &fitting).is_err(), "a forged seal has opened");

    let certificate = alice.identity.certificate();
    if let Ok(envelope) = Envelope::from_letter(bytes, certificate) {
        assert_eq!(envelope.to_letter(), bytes, "two spellings");
    }
    let sealed = seal(&alice.identity, bob.identity.certificate(), bytes, &mut rng(5));
    let opened = open(&bob.identity, &sealed.expect("short")).expect("for bob");
    assert_eq!(opened.letter, bytes);
    assert_eq!(&opened.sender, certificate);

    file(bytes);
    file(&[MAGIC.as_slice(), bytes].concat());
}

/// Whatever the pieces, a file reads the same; one that is whole comes back from its own encoding.
fn file(bytes: &[u8]) {
    let (records, whole) = read(bytes, 7);
    assert_eq!(read(bytes, 1_000), (records.clone(), whole), "the pieces matter");
    if !whole {
        return;
    }
    let mut writer = Writer::default();
    let mut again = MAGIC.to_vec();
    for record in &records {
        match record {
            Record::Seal(seal) => again.extend(writer.record(seal)),
            Record::Damaged => return,
        }
    }
    again.extend(writer.end());
    assert_eq!(again, bytes, "two spellings");
}

/// What a file holds, and whether it is read to its end.
fn read(bytes: &[u8], piece: usize) -> (Vec<Record>, bool) {
    let (mut reader, mut records) = (Reader::default(), Vec::new());
    for piece in bytes.chunks(piece) {
        reader.feed(piece);
        loop {
            match reader.read() {
                Ok(Some(record)) => records.push(record),
                Ok(None) => break,
                Err(_) => return (records, false),
            }
        }
    }
    (records, reader.finish().is_ok())
}
