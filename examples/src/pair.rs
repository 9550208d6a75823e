//! Two nodes in one program, so that a small example needs no second terminal.

use std::error::Error;

use netchan::{Node, Peer};
use netchan_tcp as tcp;

/// An exporter, an importer, and the importer's view of the exporter, joined by TCP. They
/// would do the same in two programs.
///
/// # Errors
///
/// When loopback does not work.
pub fn pair() -> Result<(Node, Node, Peer), Box<dyn Error>> {
    let exporter = Node::new("exporter");
    let listener = tcp::listen(&exporter, "127.0.0.1:0")?;
    let importer = Node::new("importer");
    let peer = tcp::connect(&importer, listener.address()).wait()?;
    Ok((exporter, importer, peer))
}
