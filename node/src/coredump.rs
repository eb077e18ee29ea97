//! No memory of this process on a disk, and no debugger in it.
//!
//! A core dump would write the keys into a file that nobody guards. Two locks, because each has a way
//! around it: a limit of 0 does not hold for a `core_pattern` that is a pipe, and a process that is
//! not dumpable becomes so again when it executes another program.

use std::io;

use rustix::process::{Resource, Rlimit, setrlimit};

/// Forbids core dumps of this process, for good: the hard limit is lowered, too. On Linux other
/// processes of this user can no longer read its memory either. What it reads of itself in `/proc`
/// it still can.
///
/// # Errors
///
/// What the system said; whatever it accepted stays.
pub fn forbid() -> io::Result<()> {
    let limited = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    not_dumpable().and(limited.map_err(io::Error::from))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn not_dumpable() -> io::Result<()> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
const fn not_dumpable() -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_limit_is_nought_and_the_process_not_dumpable_but_reads_itself() {
        use rustix::process::{DumpableBehavior, dumpable_behavior, getrlimit};

        forbid().expect("may always be lowered");

        let limit = getrlimit(Resource::Core);
        assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
        assert_eq!(dumpable_behavior().expect("known"), DumpableBehavior::NotDumpable);
        assert!(std::fs::read_dir("/proc/self/fd").expect("lists").count() > 0);
        for file in ["status", "stat", "limits"] {
            std::fs::read_to_string(format!("/proc/self/{file}")).expect(file);
        }
    }
}
