//! A board beside the station, behind a bridge: started, watched through the bridge, told what to do, reset; and the bridge
//! is killed, and started again.

mod bridge;
mod model;
#[cfg_attr(not(unix), path = "elsewhere.rs")]
mod process;
mod session;
mod story;

pub use bridge::BridgeProcess;
pub use model::{BoardLink, BoardModel};
pub use process::BoardProcess;
pub use session::{BoardUpdate, Tree, add};
pub use story::BoardStory;
