//! Frames on a message stream: a canonical varint length, then that many bytes of `wire::Link`.
//!
//! ```text
//!   | length, 1 to 3 bytes | tag | length of the field | field ... |
//! ```
//!
//! A frame holds exactly one field, so that its tag alone tells control frames (for the other end of
//! the stream) from application frames (for the engine): nothing is decoded twice, nothing is encoded again.
//! Whatever is too long, empty or not canonical is [`Malformed`], and the stream is reset.
//!
//! See docs/SPEC.md, section "Frames".

use std::error::Error;
use std::fmt;

use prost::Message;
use prost::bytes::{Buf, BufMut, BytesMut};

use crate::limits::FRAME_BYTES_MAX;
use crate::wire::{Accepted, Link, Refusal, link};

/// Bytes of a length: enough for [`FRAME_BYTES_MAX`], too few for 2^21.
const LENGTH_BYTES_MAX: usize = 3;
const _: () = assert!(FRAME_BYTES_MAX < 1 << (7 * LENGTH_BYTES_MAX));

/// A buffer that grew beyond this is given back once it is empty.
const IDLE_BYTES_MAX: usize = 64 * 1024;

/// Tags of `wire::Link`: field number, wire type 2.
const TAG_ACCEPTED: u8 = 2 << 3 | 2;
const TAG_REFUSAL: u8 = 3 << 3 | 2;

/// Bytes that are no frame; names the part that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "malformed {}", self.0)
    }
}

impl Error for Malformed {}

/// Whom a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The engine; counts for `Accepted`.
    Application,
    /// The writer at the other end of the stream.
    Control,
}

impl Kind {
    /// Looks at the tag of an encoded `wire::Link`.
    pub fn of(frame: &[u8]) -> Result<Self, Malformed> {
        const WRONG: Malformed = Malformed("frame");
        let (tag, rest) = frame.split_first().ok_or(WRONG)?;
        let (length, header) = varint(rest)?.ok_or(WRONG)?;
        if tag & 0b1000_0111 != 2 || *tag < 0b1000 || header + length != rest.len() {
            return Err(WRONG);
        }
        Ok(match *tag {
            TAG_ACCEPTED | TAG_REFUSAL => Self::Control,
            _ => Self::Application,
        })
    }
}

/// What the reader of a stream tells its writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// The first `upto` frames were read.
    Accepted {
        /// Counted from 1.
        upto: u64,
    },
    /// One frame is refused.
    Refusal {
        /// Its number on this stream, from 1.
        number: u64,
        /// `Code` as a number.
        code: u32,
        /// Not before.
        retry_after_ms: u64,
    },
}

impl Control {
    /// Appends the frame to `buffer`.
    pub fn put(self, buffer: &mut BytesMut) {
        let frame = match self {
            Self::Accepted { upto } => link::Frame::Accepted(Accepted { upto }),
            Self::Refusal { number, code, retry_after_ms } => {
                link::Frame::Refusal(Refusal { envelope: number, code, retry_after_ms })
            }
        };
        put_frame(buffer, &Link { frame: Some(frame) }.encode_to_vec());
    }

    /// Parses a frame; application frames have no place on this direction of a stream.
    pub fn parse(frame: &[u8]) -> Result<Self, Malformed> {
        const WRONG: Malformed = Malformed("control frame");
        if Kind::of(frame)? != Kind::Control {
            return Err(WRONG);
        }
        match Link::decode(frame).map_err(|_| WRONG)?.frame {
            Some(link::Frame::Accepted(Accepted { upto })) => Ok(Self::Accepted { upto }),
            Some(link::Frame::Refusal(Refusal { envelope, code, retry_after_ms })) => {
                Ok(Self::Refusal { number: envelope, code, retry_after_ms })
            }
            _ => Err(WRONG),
        }
    }
}

/// Appends one frame with its length. The caller has checked it against [`FRAME_BYTES_MAX`].
pub fn put_frame(buffer: &mut BytesMut, frame: &[u8]) {
    buffer.reserve(LENGTH_BYTES_MAX + frame.len());
    let mut length = frame.len();
    while length >= 0x80 {
        buffer.put_u8(0x80 | low_bits(length));
        length >>= 7;
    }
    buffer.put_u8(low_bits(length));
    buffer.put_slice(frame);
}

/// Cuts a stream of bytes into frames.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    /// Bytes asked for with each read.
    read: usize,
    /// Bytes behind the buffer, of which it shows those that were not read yet.
    allocated: usize,
}

impl Decoder {
    /// For a stream that is read in steps of `read` bytes.
    pub fn reading(read: usize) -> Self {
        Self { buffer: BytesMut::new(), read, allocated: 0 }
    }

    /// Where the next read goes. Grows with what arrived, never with what a length claims.
    pub fn room(&mut self) -> &mut BytesMut {
        if self.buffer.is_empty() && self.allocated > IDLE_BYTES_MAX {
            (self.buffer, self.allocated) = (BytesMut::new(), 0);
        }
        self.buffer.reserve(self.read);
        self.allocated = self.allocated.max(self.buffer.capacity());
        &mut self.buffer
    }

    /// The next whole frame, if it is there.
    pub fn next_frame(&mut self) -> Result<Option<Vec<u8>>, Malformed> {
        let Some((length, header)) = varint(&self.buffer)? else { return Ok(None) };
        if length == 0 || length > FRAME_BYTES_MAX {
            return Err(Malformed("frame length"));
        }
        if self.buffer.len() < header + length {
            return Ok(None);
        }
        self.buffer.advance(header);
        Ok(Some(self.buffer.split_to(length).to_vec()))
    }

    /// Whether the peer owes us the rest of a frame.
    pub fn is_partial(&self) -> bool {
        !self.buffer.is_empty()
    }
}

/// A canonical varint at the start of `bytes`: its value and its own length. `None`: not all there.
fn varint(bytes: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    const WRONG: Malformed = Malformed("length");
    let mut value = 0;
    for (index, byte) in bytes.iter().take(LENGTH_BYTES_MAX).enumerate() {
        value |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            let canonical = index == 0 || *byte != 0;
            return if canonical { Ok(Some((value, index + 1))) } else { Err(WRONG) };
        }
    }
    if bytes.len() < LENGTH_BYTES_MAX { Ok(None) } else { Err(WRONG) }
}

/// The low 7 bits.
fn low_bits(value: usize) -> u8 {
    u8::try_from(value & 0x7F).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever the frames and wherever the stream is cut, the same frames come out.
        #[test]
        fn frames_survive_any_cut_of_the_stream(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..400), 1..20),
            chunk in 1usize..700,
        ) {
            let mut stream = BytesMut::new();
            frames.iter().for_each(|frame| put_frame(&mut stream, frame));

            let mut decoder = Decoder::reading(1_024);
            let mut read = Vec::new();
            for part in stream.chunks(chunk) {
                decoder.room().put_slice(part);
                while let Some(frame) = decoder.next_frame().expect("well-formed") {
                    read.push(frame);
                }
            }

            prop_assert!(!decoder.is_partial());
            prop_assert_eq!(read, frames);
        }

        /// Bytes of a stranger give frames or an error, never a panic and never an oversized frame.
        #[test]
        fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
            let mut decoder = Decoder::reading(1_024);
            decoder.room().put_slice(&bytes);
            while let Ok(Some(frame)) = decoder.next_frame() {
                prop_assert!(!frame.is_empty() && frame.len() <= FRAME_BYTES_MAX);
                let _ = Kind::of(&frame);
                let _ = Control::parse(&frame);
            }
        }
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_its_bytes_arrive() {
        for length in [FRAME_BYTES_MAX + 1, (1 << 21) - 1] {
            let mut decoder = Decoder::reading(1_024);
            let [a, b, c] = [length, length >> 7, length >> 14].map(low_bits);
            decoder.room().put_slice(&[0x80 | a, 0x80 | b, c]);
            assert!(decoder.next_frame().is_err(), "{length}");
        }
        let mut decoder = Decoder::reading(1_024);
        decoder.room().put_slice(&[0xFF, 0xFF, 0xFF, 0xFF, 0x07]);
        assert!(decoder.next_frame().is_err());
    }

    #[test]
    fn a_frame_of_the_greatest_length_passes() {
        let mut stream = BytesMut::new();
        put_frame(&mut stream, &vec![7; FRAME_BYTES_MAX]);
        let mut decoder = Decoder::reading(1_024);
        decoder.room().put_slice(&stream);

        let frame = decoder.next_frame().expect("well-formed").expect("whole");

        assert_eq!(frame.len(), FRAME_BYTES_MAX);
    }

    #[test]
    fn empty_frames_and_padded_lengths_are_malformed() {
        for bytes in [&[0x00][..], &[0x81, 0x00], &[0x80, 0x80, 0x00]] {
            let mut decoder = Decoder::reading(1_024);
            decoder.room().put_slice(bytes);
            assert!(decoder.next_frame().is_err(), "{bytes:?}");
        }
    }

    /// Whoever sent one long frame and is silent then costs no more than whoever sent none.
    #[test]
    fn a_long_frame_leaves_no_memory_behind() {
        let mut stream = BytesMut::new();
        put_frame(&mut stream, &[7; FRAME_BYTES_MAX - 100]);
        for chunk in [1_000, 16_384, 65_536] {
            let mut decoder = Decoder::reading(chunk);
            for part in stream.chunks(chunk) {
                decoder.room().put_slice(part);
                assert_eq!(
                    decoder.next_frame().expect("well-formed").is_some(),
                    !decoder.is_partial()
                );
            }

            let idle = decoder.room();

            assert!(!idle.try_reclaim(IDLE_BYTES_MAX + chunk + 1), "pieces of {chunk}");
        }
    }

    #[test]
    fn a_control_frame_is_told_by_its_tag_and_reads_back() {
        let refusal = Control::Refusal { number: 7, code: 2, retry_after_ms: 1_500 };
        for control in [Control::Accepted { upto: 300 }, refusal] {
            let mut stream = BytesMut::new();
            control.put(&mut stream);
            let mut decoder = Decoder::reading(1_024);
            decoder.room().put_slice(&stream);
            let frame = decoder.next_frame().expect("well-formed").expect("whole");

            assert_eq!(Kind::of(&frame), Ok(Kind::Control));
            assert_eq!(Control::parse(&frame), Ok(control));
        }
    }

    #[test]
    fn an_application_frame_is_one_field_and_no_more() {
        let frame = |frame| Link { frame: Some(frame) }.encode_to_vec();
        let empty = frame(link::Frame::RecordResponse(Default::default()));
        let accepted = frame(link::Frame::Accepted(Accepted { upto: 1 }));

        assert_eq!(Kind::of(&empty), Ok(Kind::Application));
        assert!(Control::parse(&empty).is_err());
        // An envelope that smuggles an acknowledgement behind it: prost would take the last one.
        assert!(Kind::of(&[empty, accepted].concat()).is_err());
        assert!(Kind::of(&[0x08, 0x01]).is_err()); // a varint, not a message
        assert!(Kind::of(&[0x02, 0x00]).is_err()); // field 0 does not exist
        assert!(Kind::of(&[]).is_err());
    }
}
