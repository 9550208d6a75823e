//! The conformance suite: laws of the protocol, each put to a *specimen* over a link.
//!
//! For whoever writes a transport, brings a board up, or writes netchan anew. A specimen is a node with a few exports, which
//! [`contract`] names; [`HostSpecimen`] is one for this crate's own hosts, and `examples/firmware/specimen` is one for boards. The suite is
//! the other end of the link. Of whoever runs it it wants a [`Way`] to the specimen, which moves bytes and knows the time, and a
//! [`Specimen`], which says what kind of node it is; the checks are in [`ALL`]:
//!
//! ```
//! use netchan::testing::conformance::{ALL, Specimen, Way};
//!
//! fn conforms(way: &mut dyn Way, specimen: &Specimen) -> Result<(), String> {
//!     for check in ALL {
//!         check.run(way, specimen).map_err(|failure| format!("{}: {failure}", check.name))?;
//!     }
//!     Ok(())
//! }
//! ```
//!
//! A check begins with a link of its own, and ends with a look whether the specimen still does everything that it did, over the same
//! link, or over another one where that has ended. What the specimen says is judged by a [`Link`](crate::proto::Link): whatever breaks the
//! protocol fails the check in which it happens, and what does not come, or comes for ever, fails it within [`Check::bound`]. What the suite says is usually honest; where a check asks what comes of a broken protocol it
//! is written by hand.
//!
//! A node may leave out what the wire lets it leave out. That is said in [`Specimen`], and the check then asks for what takes the
//! place of what is left out; no check is passed over.

pub mod contract;

#[cfg(feature = "testing")]
mod checks;
#[cfg(feature = "testing")]
mod desk;
#[cfg(feature = "testing")]
mod dialing;
#[cfg(feature = "testing")]
mod failure;
#[cfg(feature = "testing")]
mod hand;
#[cfg(feature = "testing")]
mod host;
#[cfg(feature = "testing")]
mod limit;
#[cfg(feature = "testing")]
mod specimen;
#[cfg(feature = "testing")]
mod way;

#[cfg(feature = "testing")]
pub use checks::{ALL, Check};
#[cfg(feature = "testing")]
pub use dialing::DialingHost;
#[cfg(feature = "testing")]
pub use failure::Failure;
#[cfg(feature = "testing")]
pub use host::HostSpecimen;
#[cfg(feature = "testing")]
pub use specimen::{Medium, Specimen};
#[cfg(feature = "testing")]
pub use way::{Faulty, Flow, Way};
