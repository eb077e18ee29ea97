//! A stream of a link, before anything is known of who writes it.

use bitchat_proto::limits::FRAME_BYTES_MAX;
use bitchat_proto::stream::{Control, Decoder, Kind, Malformed, put_frame};
use prost::bytes::{BufMut, BytesMut};

/// Bytes that the decoder asks for with each read.
const READ_BYTES: usize = 64;
/// Cuts that an input may name; they are used in turn.
const CUTS_MAX: usize = 16;

/// What a stream was read as: whole frames, then nothing, half a frame or an error.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    frames: Vec<Vec<u8>>,
    is_partial: bool,
    end: Result<(), Malformed>,
}

/// The number of cuts, the cuts, and a stream: it reads the same in pieces as at once, what was read
/// is what was put, and the buffer grows with what arrives, not with what a length claims.
pub fn link_stream(bytes: &[u8]) {
    let Some((count, rest)) = bytes.split_first() else { return };
    let count = (usize::from(*count) % (CUTS_MAX + 1)).min(rest.len());
    let (cuts, stream) = rest.split_at(count);
    let whole = read(&[stream]);
    assert_eq!(read(&pieces(stream, cuts)), whole);
    let single: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(read(&single), whole);

    let mut again = BytesMut::new();
    for frame in &whole.frames {
        assert!(!frame.is_empty() && frame.len() <= FRAME_BYTES_MAX);
        put_frame(&mut again, frame);
        check_control(frame);
    }
    assert!(stream.starts_with(&again), "two spellings");
    if !whole.is_partial {
        assert_eq!(again.len(), stream.len(), "bytes are lost");
    }
    if !stream.is_empty() {
        let mut put = BytesMut::new();
        put_frame(&mut put, stream);
        let back = Read { frames: vec![stream.to_vec()], is_partial: false, end: Ok(()) };
        assert_eq!(read(&pieces(&put, cuts)), back);
    }
}

/// A control frame is one by its tag, and says the same once more.
fn check_control(frame: &[u8]) {
    let Ok(control) = Control::parse(frame) else { return };
    assert_eq!(Kind::of(frame), Ok(Kind::Control));
    let mut put = BytesMut::new();
    control.put(&mut put);
    let again = read(&[&put]);
    let parsed: Vec<_> = again.frames.iter().map(|frame| Control::parse(frame)).collect();
    assert_eq!(parsed, [Ok(control)]);
}

/// `stream`, cut into pieces whose lengths are `cuts` in turn; a cut of 0 is 256.
fn pieces<'a>(mut stream: &'a [u8], cuts: &[u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for cut in cuts.iter().cycle() {
        if stream.is_empty() {
            return pieces;
        }
        let length = usize::from(cut.wrapping_sub(1)) + 1;
        let (piece, rest) = stream.split_at(length.min(stream.len()));
        pieces.push(piece);
        stream = rest;
    }
    pieces.push(stream);
    pieces
}

/// Reads as a link does: after each piece, what is whole.
fn read(pieces: &[&[u8]]) -> Read {
    let mut decoder = Decoder::reading(READ_BYTES);
    let (mut frames, mut arrived, mut end) = (Vec::new(), 0, Ok(()));
    for piece in pieces {
        arrived += piece.len();
        decoder.room().put_slice(piece);
        end = drain(&mut decoder, &mut frames);
        if end.is_err() {
            break;
        }
        // A buffer grows by doubling.
        assert!(decoder.room().capacity() <= 2 * (arrived + READ_BYTES), "memory for a claim");
    }
    Read { frames, is_partial: decoder.is_partial(), end }
}

fn drain(decoder: &mut Decoder, frames: &mut Vec<Vec<u8>>) -> Result<(), Malformed> {
    while let Some(frame) = decoder.next_frame()? {
        frames.push(frame);
    }
    Ok(())
}
