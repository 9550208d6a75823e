//! Copying of few bytes. The usual copy costs a board 400 bytes of code, if it needs it for nothing else.

use core::cell::Cell;

/// Puts bytes at the start of the room, which is the rest then; nothing, and no room is left, where they do not fit.
#[cfg_attr(not(feature = "std"), inline(never))]
pub(crate) fn put(room: &mut &mut [u8], bytes: &[u8]) {
    if let Some((place, rest)) = core::mem::take(room).split_at_mut_checked(bytes.len()) {
        // As cells, for else the compiler would find the usual copy in it.
        for (place, byte) in Cell::from_mut(place).as_slice_of_cells().iter().zip(bytes) {
            place.set(*byte);
        }
        *room = rest;
    }
}
