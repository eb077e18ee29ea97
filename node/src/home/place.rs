//! Which machine and directory a profile lives in, as a hash: a copy of it has another one.
//!
//! A rename keeps inode and birth time, also of a parent; `cp`, `rsync`, an image on another machine
//! do not keep both. A snapshot of a whole machine does: contacts notice that one.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use bitchat_protocol::copies::PlaceHash;
use bitchat_protocol::crypto::Transcript;

/// Where systemd and D-Bus keep the name of this installation. Containers often have neither.
const MACHINE_IDS: [&str; 2] = ["/etc/machine-id", "/var/lib/dbus/machine-id"];

/// The place of a directory; `None` if it cannot be looked at.
pub(super) fn of(dir: &Path) -> Option<PlaceHash> {
    let metadata = fs::metadata(dir).ok()?;
    let born = metadata.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let machine = MACHINE_IDS.iter().find_map(|path| fs::read_to_string(path).ok());
    let mut transcript = Transcript::new(b"bitchat/1 place");
    transcript.add("machine", machine.unwrap_or_default().trim().as_bytes());
    transcript.add("inode", &metadata.ino().to_be_bytes());
    transcript.add("born", &born.map_or(0, |born| born.as_nanos()).to_be_bytes());
    Some(transcript.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moved_directory_keeps_its_place_and_a_copy_has_another() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        fs::create_dir(&old).expect("creates");
        fs::write(old.join("row"), "1").expect("writes");
        let before = of(&old);

        fs::rename(&old, &new).expect("renames");
        fs::create_dir(&old).expect("creates");
        fs::copy(new.join("row"), old.join("row")).expect("copies");

        assert!(before.is_some());
        assert_eq!(of(&new), before);
        assert_ne!(of(&old), before);
    }
}
