//! A board beside the station: started, watched over its serial line, told what to do, and reset.

mod model;
#[cfg_attr(not(unix), path = "elsewhere.rs")]
mod process;
mod session;
mod story;

pub use model::{BoardLink, BoardModel};
pub use process::BoardProcess;
pub use session::{BoardUpdate, add, start};
pub use story::BoardStory;
