//! What a hostile node writes among its honest frames.

use super::world::World;

impl World {
    pub(super) fn forge(&mut self) {}
}
