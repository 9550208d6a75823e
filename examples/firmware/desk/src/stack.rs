//! How deep a board's stack has been: it paints its memory when it starts, and what is not painted any more was used.

use crate::board::Board;

/// What boards paint with: the word that `cortex-m-rt` takes, and the other one with it.
const PAINT: [u8; 4] = 0xcccc_cccc_u32.to_le_bytes();

/// A board's memory, in bytes. Its stack begins at the end.
#[derive(Clone, Copy)]
pub(crate) struct Ram {
    pub(crate) at: u32,
    pub(crate) len: u32,
    /// No more of it is to be stack.
    pub(crate) most: u32,
}

impl Ram {
    /// Says how much of it was used since the last reset, and whether that is too much.
    pub(crate) fn check(self, board: &mut Board) -> Result<(), String> {
        let memory = board.monitor()?.memory(self.at, self.len)?;
        // Frames have holes, so what was used ends where the longest run of paint does.
        let words = memory.chunks_exact(PAINT.len()).zip(1..);
        let (mut run, mut longest, mut end) = (0, 0, 0);
        for (word, number) in words {
            run = if word == PAINT { run + 1 } else { 0 };
            if run > longest {
                (longest, end) = (run, number * PAINT.len());
            }
        }
        let used = memory.len() - end;
        if longest == 0 {
            return Err("the board has not painted its stack".into());
        }
        println!("ok      the stack was {used} bytes deep, of {} that it may be", self.most);
        if used > self.most as usize {
            return Err(format!("{used} bytes of stack, {} at most", self.most));
        }
        Ok(())
    }
}
