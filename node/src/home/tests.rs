//! Homes on a real file system.

use super::*;

fn home() -> (tempfile::TempDir, Home) {
    let dir = tempfile::tempdir().expect("temporary directory");
    let home = Home::at(dir.path().join("a/home"));
    (dir, home)
}

fn mode(path: &Path) -> u32 {
    path.metadata().expect("exists").permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
}

#[test]
fn a_profile_lives_under_the_xdg_data_directory() {
    let both = |name: &str| match name {
        "XDG_DATA_HOME" => Some("/data".into()),
        _ => Some("/users/a".into()),
    };
    let relative = |name: &str| match name {
        "XDG_DATA_HOME" => Some("data".into()),
        _ => Some("/users/a".into()),
    };

    let xdg = Home::of_profile("work", both).expect("resolves");
    let fallback = Home::of_profile("work", relative).expect("resolves");

    assert_eq!(xdg.root(), Path::new("/data/bitchat/work"));
    assert_eq!(fallback.root(), Path::new("/users/a/.local/share/bitchat/work"));
    assert!(matches!(Home::of_profile("a", |_| None), Err(HomeError::NoBase)));
}

#[test]
fn a_profile_name_cannot_leave_its_directory() {
    for name in ["", "..", ".", "a/b", "-a", "a b", "a\0", "ä", &"a".repeat(33)] {
        let resolved = Home::resolve(None, name);
        assert!(matches!(resolved, Err(HomeError::ProfileName)), "{name:?}");
    }
}

#[test]
fn a_new_home_is_private() {
    let (_dir, home) = home();

    home.create().expect("creates");

    assert_eq!(mode(home.root()), 0o700);
    assert_eq!(mode(&home.version_file()), 0o600);
    assert_eq!(home.version().expect("reads"), 1);
    home.check().expect("private");
}

#[test]
fn a_loose_directory_is_made_private_before_it_has_a_profile_and_refused_after() {
    let (_dir, home) = home();
    fs::create_dir_all(home.root()).expect("mkdir");
    set_mode(home.root(), 0o755);

    home.create().expect("nothing secret is there yet");
    assert_eq!(mode(home.root()), 0o700);
    disk::replace_private(&home.keystore(), b"{}").expect("writes");
    set_mode(home.root(), 0o750);

    assert!(matches!(home.create(), Err(HomeError::LooseModes { mode: 0o750, .. })));
    assert!(matches!(home.check(), Err(HomeError::LooseModes { .. })));
    assert_eq!(mode(home.root()), 0o750);
}

#[test]
fn a_directory_of_other_things_is_never_closed_to_others() {
    let (_dir, home) = home();
    fs::create_dir_all(home.root()).expect("mkdir");
    fs::write(home.root().join("thesis.txt"), "").expect("writes");
    set_mode(home.root(), 0o755);

    let created = home.create();

    assert!(matches!(created, Err(HomeError::LooseModes { .. })), "{created:?}");
    assert_eq!(mode(home.root()), 0o755);
    assert!(!home.version_file().exists());
}

#[test]
fn a_loose_key_store_is_refused_and_named() {
    let (_dir, home) = home();
    home.create().expect("creates");
    fs::write(home.keystore(), "{}").expect("writes");
    set_mode(&home.keystore(), 0o640);

    let Err(HomeError::LooseModes { path, mode: 0o640, .. }) = home.check_modes() else {
        panic!("accepted");
    };
    assert_eq!(path, home.keystore());
}

#[test]
fn a_newer_layout_is_refused() {
    let (_dir, home) = home();
    home.create().expect("creates");

    for text in ["2\n", "0\n", "one", "", "1\n2\n"] {
        fs::write(home.version_file(), text).expect("writes");
        assert!(matches!(home.version(), Err(HomeError::Version { .. })), "{text:?}");
    }
}

#[test]
fn a_home_below_a_file_cannot_be_written() {
    let dir = tempfile::tempdir().expect("temporary directory");
    fs::write(dir.path().join("file"), "").expect("writes");

    let created = Home::at(dir.path().join("file/home")).create();
    let over_file = Home::at(dir.path().join("file")).create();

    assert!(matches!(created, Err(HomeError::Unwritable { .. })), "{created:?}");
    assert!(matches!(over_file, Err(HomeError::Unwritable { .. })), "{over_file:?}");
}

#[test]
fn an_absent_home_has_no_profile() {
    let (_dir, home) = home();

    assert!(matches!(home.check(), Err(HomeError::NoProfile { .. })));
    assert!(matches!(home.lock(), Err(HomeError::NoProfile { .. })));
    assert!(!home.has_profile());
}
