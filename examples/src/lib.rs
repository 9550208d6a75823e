//! Programs that show netchan at work: see `src/bin/`. Here is what they share, above all the
//! types that both ends of a channel agree on.

pub mod app;
pub mod board;
pub mod demo_board;
pub mod model;
mod pair;
pub mod plain;
pub mod process;
mod restarting;
pub mod session;
pub mod signals;
pub mod station;
pub mod story;
mod tick;
pub mod view;

pub use pair::pair;
pub use restarting::restarting;
pub use tick::Tick;
