//! Lines that the user types, or that a program writes into our stdin.
//!
//! A thread of its own, because reading a terminal cannot be cancelled: the runtime would wait for
//! one more line before it ends.

use std::io::{self, BufRead, Read};
use std::thread;

use bitchat_proto::limits::TEXT_BYTES_MAX;
use tokio::sync::mpsc;

use crate::error::UserError;

/// Lines read ahead of what is sent; a fast writer waits.
const AHEAD: usize = 16;

/// The lines of stdin; the channel closes at its end.
pub(super) fn lines() -> mpsc::Receiver<Result<String, UserError>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        while let Some(line) = next(&mut stdin).transpose() {
            let failed = line.is_err();
            if sender.blocking_send(line).is_err() || failed {
                return;
            }
        }
    });
    receiver
}

/// The next line without its end; `None` at the end of input.
fn next(input: &mut impl BufRead) -> Result<Option<String>, UserError> {
    // Two bytes for the line's end, one more to see that the line is too long.
    let limit = u64::try_from(TEXT_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(3);
    let mut bytes = Vec::new();
    let read = input.take(limit).read_until(b'\n', &mut bytes);
    if read.map_err(|error| UserError::io("cannot read stdin", &error))? == 0 {
        return Ok(None);
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    if bytes.len() > TEXT_BYTES_MAX {
        let message = format!("a line has more than {TEXT_BYTES_MAX} bytes");
        return Err(UserError::usage("text_too_long", message, "break it into several lines"));
    }
    String::from_utf8(bytes).map(Some).map_err(|_| {
        let hint = "convert the input with `iconv -t utf-8`";
        UserError::usage("not_utf8", "a line on stdin is not UTF-8 text", hint)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_without_their_ends_and_the_last_one_needs_none() {
        let mut input = io::Cursor::new("one\r\n\ntwo");

        assert_eq!(next(&mut input), Ok(Some("one".to_owned())));
        assert_eq!(next(&mut input), Ok(Some(String::new())));
        assert_eq!(next(&mut input), Ok(Some("two".to_owned())));
        assert_eq!(next(&mut input), Ok(None));
    }

    #[test]
    fn an_endless_line_is_refused_before_it_fills_the_memory() {
        let mut longest = io::Cursor::new(vec![b'x'; TEXT_BYTES_MAX]);
        assert!(next(&mut longest).is_ok());

        let mut endless = io::BufReader::new(io::repeat(b'x'));
        assert_eq!(next(&mut endless).map_err(|error| error.exit()), Err(1));
    }
}
