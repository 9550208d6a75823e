//! An echo as one would write it by hand for one type and a line that loses nothing: COBS, CRC-32C, postcard. It sends
//! nothing again, opens nothing, and checks no type.

use netchan::proto::crc32c;

use crate::{Outcome, Sample, clock};

const ROUNDS: u32 = 100;
const CRC_LEN: usize = 4;
/// A packet with the byte that COBS adds, and its delimiter.
const PACKET_MAX: usize = 64;

/// Instructions of an echo: a packet taken in, decoded, encoded, and written.
pub(crate) fn instructions() -> Outcome<u32> {
    let (mut total, mut receiver) = (0, Receiver { bytes: [0; PACKET_MAX], len: 0 });
    let (overhead, ()) = clock::count(|| ());
    for n in 0..ROUNDS {
        let (mut request, mut reply) = ([0; PACKET_MAX], [0; PACKET_MAX]);
        let len = write(&Sample::numbered(n), &mut request).ok_or("a sample has no room")?;
        let (took, written) = clock::count(|| echo(&mut receiver, &request[..len], &mut reply));
        total += took - overhead;
        if written != Some(len) || reply != request {
            return Err("the echo by hand is another one");
        }
    }
    Ok(total / ROUNDS)
}

/// What has come in of a packet.
struct Receiver {
    bytes: [u8; PACKET_MAX],
    len: usize,
}

#[inline(never)]
fn echo(receiver: &mut Receiver, input: &[u8], out: &mut [u8]) -> Option<usize> {
    let mut written = None;
    for &byte in input {
        if let Some(sample) = receiver.take(byte) {
            written = write(&sample, out);
        }
    }
    written
}

impl Receiver {
    /// Takes a byte: yields a value when it was the last of a good packet.
    fn take(&mut self, byte: u8) -> Option<Sample> {
        if byte != 0 {
            // One that is too long is cut, and fails its check.
            if let Some(place) = self.bytes.get_mut(self.len) {
                *place = byte;
                self.len += 1;
            }
            return None;
        }
        let len = decode(self.bytes.get_mut(..core::mem::take(&mut self.len))?)?;
        let (body, crc) = self.bytes.get(..len)?.split_last_chunk::<CRC_LEN>()?;
        if crc32c(0, body) != u32::from_le_bytes(*crc) {
            return None;
        }
        postcard::from_bytes(body).ok()
    }
}

/// Writes a value as a packet: how many bytes.
fn write(sample: &Sample, out: &mut [u8]) -> Option<usize> {
    let mut body = [0; PACKET_MAX];
    let len = postcard::to_slice(sample, &mut body).ok()?.len();
    let crc = crc32c(0, body.get(..len)?);
    body.get_mut(len..len + CRC_LEN)?.copy_from_slice(&crc.to_le_bytes());
    encode(body.get(..len + CRC_LEN)?, out)
}

/// COBS in place: how many bytes are left.
fn decode(bytes: &mut [u8]) -> Option<usize> {
    let (mut from, mut to) = (0, 0);
    while from < bytes.len() {
        let code = usize::from(bytes[from]);
        let end = from + code;
        if code == 0 || end > bytes.len() {
            return None;
        }
        from += 1;
        while from < end {
            bytes[to] = bytes[from];
            (from, to) = (from + 1, to + 1);
        }
        if code < 255 && from < bytes.len() {
            bytes[to] = 0;
            to += 1;
        }
    }
    Some(to)
}

/// COBS, of less than 254 bytes, and the delimiter.
fn encode(bytes: &[u8], out: &mut [u8]) -> Option<usize> {
    let (mut code_at, mut to) = (0, 1);
    for &byte in bytes {
        if byte == 0 {
            *out.get_mut(code_at)? = (to - code_at) as u8;
            code_at = to;
        } else {
            *out.get_mut(to)? = byte;
        }
        to += 1;
    }
    *out.get_mut(code_at)? = (to - code_at) as u8;
    *out.get_mut(to)? = 0;
    Some(to + 1)
}
