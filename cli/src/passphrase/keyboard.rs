//! The terminal without echo, from before the question until the answer is there.
//!
//! `rpassword` edits the line. It would also silence the terminal, but only after it has asked, so
//! that an answer typed at once is shown; and a signal would leave the terminal silent. Here the
//! terminal gets its echo back whichever way the question ends.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use rpassword::{ConfigBuilder, prompt_password_with_config};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use zeroize::Zeroizing;

use crate::signals;

/// The byte of Ctrl-C where the terminal makes no signal of it.
const INTERRUPT: u8 = 3;

/// The terminal that a question silenced, with the modes to give back.
static SILENCED: Mutex<Option<(File, Termios)>> = Mutex::new(None);

/// Signals are guarded from the first question on.
static GUARDED: Once = Once::new();

/// The terminal of this process, silent while this value lives.
#[derive(Debug)]
pub(super) struct Keyboard(File);

impl Keyboard {
    /// Silences the terminal: each key comes as it is typed, and none is shown.
    pub(super) fn silent() -> io::Result<Self> {
        let terminal = File::options().read(true).write(true).open("/dev/tty")?;
        let mut guarded = Ok(());
        GUARDED.call_once(|| guarded = signals::guard(give_back));
        guarded?;
        let before = tcgetattr(&terminal)?;
        let mut silent = before.clone();
        let cooked = LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG;
        silent.local_modes.remove(cooked);
        silent.special_codes[SpecialCodeIndex::VMIN] = 1;
        silent.special_codes[SpecialCodeIndex::VTIME] = 0;
        // A signal from here on waits for the lock, and then finds what to give back.
        let mut silenced = silenced();
        *silenced = Some((terminal.try_clone()?, before));
        tcsetattr(&terminal, OptionalActions::Now, &silent)?;
        Ok(Self(terminal))
    }

    /// Asks and reads one line.
    pub(super) fn ask(self, question: &str) -> io::Result<Zeroizing<String>> {
        let config = ConfigBuilder::new().input_reader(self).build();
        prompt_password_with_config(question, config).map(Zeroizing::new)
    }
}

impl Read for Keyboard {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        for byte in buffer.iter().take(read) {
            match *byte {
                INTERRUPT => {
                    give_back();
                    signals::end_by_interrupt();
                }
                b'\n' | b'\r' => self.0.write_all(b"\n")?,
                _ => {}
            }
        }
        Ok(read)
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        give_back();
    }
}

/// Gives the terminal its echo back; whether it was silent.
fn give_back() -> bool {
    let Some((terminal, before)) = silenced().take() else { return false };
    // A terminal that is gone needs no echo.
    let _ = tcsetattr(terminal, OptionalActions::Now, &before);
    true
}

fn silenced() -> MutexGuard<'static, Option<(File, Termios)>> {
    SILENCED.lock().unwrap_or_else(PoisonError::into_inner)
}
