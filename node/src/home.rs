//! The directory of one profile: paths, modes, version, lock.
