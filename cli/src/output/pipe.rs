//! Our stdout as a pipe: is somebody there, and what was not read yet?
//!
//! A write into a pipe succeeds when the bytes lie in the kernel, not when somebody read them:
//! `bitchat receive | head -1` must not count what `head` left behind as seen.

use std::io::stdout;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};
use rustix::io::ioctl_fionread;

/// Whether stdout is a pipe.
pub(super) fn is_stdout() -> bool {
    fstat(stdout()).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
}

/// Bytes in the pipe. A system that cannot tell is taken to have none.
pub(super) fn unread() -> u64 {
    ioctl_fionread(stdout()).unwrap_or(0)
}

/// Whether every reader closed its end.
pub(super) fn is_abandoned() -> bool {
    let stdout = stdout();
    // Errors are reported whatever is asked for.
    let mut asked = [PollFd::new(&stdout, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut asked, Some(&at_once)).is_ok()
        && asked.iter().any(|fd| fd.revents().contains(PollFlags::ERR))
}
