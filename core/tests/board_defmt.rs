//! What a board's program may want to print can be printed with defmt.

use netchan::board::{
    Account, CallError, CallId, ExportError, LineId, RecvError, RunError, SendCause, SendError,
};
use netchan::message::{DecodeError, EncodeError, Fingerprint, Overflow};
use netchan::proto::{Dead, Instant, LineConfig, Name, NameError, Place, Reason};
use netchan::{Blob, Text};

const fn prints<T: defmt::Format>() {}

#[test]
fn errors_and_what_is_in_them_have_a_format() {
    prints::<(Account, CallError, CallId, ExportError, LineId, RecvError, SendCause)>();
    prints::<(RunError<u8, u8>, SendError<u8>, DecodeError, EncodeError, Fingerprint, Overflow)>();
    prints::<(Dead, Instant, LineConfig, Name, NameError, Place, Reason, Text<8>, Blob<8>)>();
}
