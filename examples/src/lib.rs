//! Programs that show netchan at work: see `src/bin/`. Here is what they share, above all the
//! types that both ends of a channel agree on.

mod tick;

pub use tick::Tick;
