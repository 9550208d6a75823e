//! Importing in the very moment in which the link comes up, many times.

use std::error::Error;
use std::thread;
use std::time::Duration;

use netchan::{Node, Receiver, Sender};
use netchan_tcp as tcp;

const LIMIT: Duration = Duration::from_secs(10);

/// Found by chance: the thread that is told of the link could be faster than the last hello,
/// and the sender that is told of its importer faster than the accept.
#[test]
fn neither_an_import_nor_a_send_is_too_early() -> Result<(), Box<dyn Error>> {
    let rounds = if std::env::var_os("NETCHAN_LONG").is_some() { 10_000 } else { 300 };
    for round in 0..rounds {
        let exporter = Node::new("exporter");
        let mut numbers: Sender<u64> = exporter.export("numbers")?;
        let listener = tcp::listen(&exporter, "127.0.0.1:0")?;
        let sending = thread::spawn(move || {
            let result = numbers.send(round).timeout(LIMIT).wait();
            (result.map_err(|error| error.cause()), numbers)
        });
        let importer = Node::new("importer");
        let peer = tcp::connect(&importer, listener.address()).wait()?;
        let mut numbers = peer.import::<Receiver<u64>>("numbers").wait()?;
        assert_eq!(numbers.recv().timeout(LIMIT).wait(), Ok(round));
        let (sent, _numbers) = sending.join().expect("the sending thread returns");
        assert_eq!(sent, Ok(()));
        exporter.shutdown(Duration::ZERO);
        importer.shutdown(Duration::ZERO);
    }
    Ok(())
}
