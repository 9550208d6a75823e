//! Nodes that answer with forged lists: what is no name reaches neither programs nor pictures, nobody keeps more than it says that
//! it keeps, and nobody else in the tree notices.

mod common;

use std::net::{SocketAddr, TcpListener};

use common::raw::Raw;
use common::{Outcome, SOON, calm, spawn};
use netchan::host::{EndKind, ExportInfo, LinkInfo, NodeChange, NodeInfo, Untold};
use netchan::proto::{Above, Accept, Frame, Handle, LinkKind, Part, Total, TreeFrame};
use netchan::{Dead, DecodeError, ImportError, Message, Node, Reason, Receiver, RecvError};
use netchan_tcp as tcp;
use serde::{Deserialize, Serialize};

/// A [`NodeInfo`] with any name.
fn node_info(id: u32, via: u32, name: &str) -> Vec<u8> {
    encoded(&(id, via, name.to_string()))
}

/// An [`ExportInfo`] with any texts.
fn export_info(name: &str, type_name: &str, doc: &str) -> Vec<u8> {
    encoded(&(name.to_string(), EndKind::Sender, (type_name.to_string(), doc.to_string(), 1_u32)))
}

/// A [`LinkInfo`] with any name.
#[derive(Serialize, Deserialize, Message)]
struct Forged {
    id: u32,
    name: String,
    is_parent: bool,
    counts: (u32, u32, u32, u32, u32, u64),
}

fn link_info(id: u32, name: &str) -> Vec<u8> {
    encoded(&Forged { id, name: name.to_string(), is_parent: id == 1, counts: (1, 2, 3, 0, 0, 0) })
}

fn encoded(value: &impl Message) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    let len = value.encode(&mut bytes).expect("there is room");
    bytes.truncate(len);
    bytes
}

/// A list that was asked for, and how much of it may be sent.
struct Asked {
    handle: Handle,
    name: String,
    credit: u32,
    sent: u32,
    count: u32,
}

/// The next list that is asked for, which is accepted.
fn asked(raw: &mut Raw) -> Asked {
    let asked = raw.expect("an open", |frame| match frame {
        Frame::Open(handle, open) => Some(Asked {
            handle: *handle,
            name: open.name.to_string(),
            credit: open.credit,
            sent: 0,
            count: 0,
        }),
        _ => None,
    });
    raw.send(&Frame::Accept(asked.handle, Accept { which: 0, credit: 0, limit: 0 }));
    asked
}

impl Asked {
    /// Sends one more as soon as there is credit; whether somebody still listens.
    fn send(&mut self, raw: &mut Raw, entry: &[u8]) -> bool {
        let charge = (entry.len() as u32 + 4).max(8);
        while self.credit - self.sent < charge {
            let more = raw.expect("credit", |frame| match frame {
                Frame::Credit(handle, total) if *handle == self.handle => Some(Some(total.get())),
                Frame::Dead(handle, _) | Frame::Done(handle, ..) if *handle == self.handle => Some(None),
                _ => None,
            });
            let Some(total) = more else { return false };
            self.credit = total;
        }
        self.sent += charge;
        self.count += 1;
        raw.send(&Frame::Data(self.handle, Part::Whole, entry))
    }

    fn end(self, raw: &mut Raw) {
        raw.send(&Frame::End(self.handle, Total::new(self.count)));
    }
}

/// A node below a root that is made by hand.
fn below_raw() -> (Node, Raw) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let at = listener.local_addr().expect("it is bound");
    let node = Node::new("child");
    let own = node.clone();
    let joining = spawn(move || tcp::connect_with(&own, at, tcp::Options::new().join()).wait().map(drop));
    let mut raw = Raw::accept(&listener);
    raw.bring_up_as(LinkKind::Either, true);
    let above = Above::default().below(1).expect("one");
    raw.send(&Frame::Tree(TreeFrame::Adopt { id: 5, above, place: "" }));
    joining.join().expect("it joins");
    (node, raw)
}

fn hub() -> (Node, SocketAddr) {
    let hub = Node::new("hub");
    let listener = tcp::listen_with(&hub, "127.0.0.1:0", tcp::Options::new().adopt()).expect("a free port");
    (hub, listener.address())
}

/// What does harm to whoever prints it: to a terminal, and in the languages of pictures.
const HARMFUL: [&str; 8] =
    ["\u{1b}[2J", "\u{9b}2J", "a\nb", "a\"];evil->x[label=\"", "a\"]-->b[\"", "<br/>", "A", ""];

/// They came as they were.
#[test]
fn a_name_in_a_list_that_is_none_never_reaches_the_program() -> Outcome {
    let _calm = calm();
    let (node, mut raw) = below_raw();
    let long = "n".repeat(33);
    for bad in HARMFUL.into_iter().chain([&*long]) {
        let remote = node.remote("/");
        let nodes = spawn(move || remote.nodes().timeout(SOON).wait());
        let mut list = asked(&mut raw);
        let mut nodes: Receiver<NodeInfo> = nodes.join()?;
        list.send(&mut raw, &node_info(1, 0, "root"));
        list.send(&mut raw, &node_info(7, 1, bad));
        list.send(&mut raw, &node_info(8, 1, "later"));
        assert_eq!(nodes.recv().timeout(SOON).wait()?.name, "root");
        assert_eq!(nodes.recv().timeout(SOON).wait(), Err(RecvError::Decode(DecodeError::Value)), "{bad:?}");
        assert!(matches!(nodes.recv().timeout(SOON).wait(), Err(RecvError::Dead(_))), "{bad:?}");

        let remote = node.remote("/");
        let links = spawn(move || remote.links().timeout(SOON).wait());
        let mut list = asked(&mut raw);
        let mut links: Receiver<LinkInfo> = links.join()?;
        list.send(&mut raw, &link_info(5, "child"));
        list.send(&mut raw, &link_info(7, bad));
        assert_eq!(links.recv().timeout(SOON).wait()?.name, "child");
        assert_eq!(links.recv().timeout(SOON).wait(), Err(RecvError::Decode(DecodeError::Value)), "{bad:?}");

        let remote = node.remote("/");
        let changes = spawn(move || remote.changes().timeout(SOON).wait());
        let mut list = asked(&mut raw);
        let mut changes: Receiver<NodeChange> = changes.join()?;
        // What has joined is the first kind of change.
        list.send(&mut raw, &[vec![0], node_info(7, 1, "guest")].concat());
        list.send(&mut raw, &[vec![0], node_info(8, 1, bad)].concat());
        assert!(matches!(changes.recv().timeout(SOON).wait()?, NodeChange::Joined(info) if info.id == 7));
        assert_eq!(
            changes.recv().timeout(SOON).wait(),
            Err(RecvError::Decode(DecodeError::Value)),
            "{bad:?}"
        );
    }
    Ok(())
}

/// The doc of an export is any text, and was printed as it came.
#[test]
fn an_export_is_told_with_texts_that_can_be_printed_or_not_at_all() -> Outcome {
    let _calm = calm();
    let (node, mut raw) = below_raw();
    let doc = "1024 bytes\tof text\n".to_string() + &"ä".repeat(502);
    let long = "n".repeat(65);
    let too_long = doc.clone() + "ä";
    let good = export_info("a/b", "Vec<Tick>", &doc);
    let bad = [
        export_info("\u{1b}[2J", "Tick", ""),
        export_info("a b", "Tick", ""),
        export_info(&long, "Tick", ""),
        export_info("ticks", "Tick\u{7}", ""),
        export_info("ticks", &long, ""),
        export_info("ticks", "Tick", "\u{1b}]0;title\u{7}"),
        export_info("ticks", "Tick", "\u{9b}2J"),
        export_info("ticks", "Tick", &too_long),
    ];
    for bad in bad {
        let remote = node.remote("/");
        let exports = spawn(move || remote.exports().timeout(SOON).wait());
        let mut list = asked(&mut raw);
        let mut exports: Receiver<ExportInfo> = exports.join()?;
        list.send(&mut raw, &good);
        list.send(&mut raw, &bad);
        assert_eq!(exports.recv().timeout(SOON).wait()?.doc, doc);
        assert_eq!(exports.recv().timeout(SOON).wait(), Err(RecvError::Decode(DecodeError::Value)));
    }
    Ok(())
}

/// What an honest program says of its exports is told, as far as it can be.
#[test]
fn any_doc_of_an_honest_node_can_be_told() -> Outcome {
    const DOC: &str = const {
        // Longer than what is told.
        match std::str::from_utf8(&[b'd'; 2000]) {
            Ok(doc) => doc,
            Err(_) => "",
        }
    };
    let _calm = calm();
    let (hub, at) = hub();
    let desk = Node::new("desk");
    tcp::join(&desk, at).wait()?;
    let doc = |doc| netchan::ExportOptions::default().doc(doc);
    let _a: netchan::Sender<u8> = hub.export_with("a", doc(DOC))?;
    let _b: netchan::Sender<u8> = hub.export_with("b", doc("\u{1b}[1mbold\u{1b}[0m\n\tand more"))?;
    let told: Vec<_> = desk.remote("/").exports().wait()?.collect::<Result<_, _>>()?;
    let docs: Vec<_> = told.iter().map(|info| &*info.doc).collect();
    assert_eq!(docs, [&DOC[..1024], "[1mbold[0m\n\tand more"]);
    Ok(())
}

/// An entry that is longer than one can be was room for 64 KiB, twice, at each node on the way.
#[test]
fn room_for_a_list_is_that_of_its_longest_entry() -> Outcome {
    let _calm = calm();
    let (node, mut raw) = below_raw();
    let remote = node.remote("/");
    let nodes = spawn(move || remote.nodes().timeout(SOON).wait().map(drop));
    let (credit, limit) = raw.expect("an open", |frame| match frame {
        Frame::Open(_, open) => Some((open.credit, open.limit)),
        _ => None,
    });
    assert!(credit <= 8 * 1024 && limit == 2048, "{credit} bytes, {limit} each");
    drop(raw);
    assert!(nodes.join().is_err());
    Ok(())
}

/// Escape sequences came to the terminal, and labels to Graphviz, as some child had them in its list; a list without an end
/// was kept up to 65536 entries, of 64 KiB each.
#[test]
fn a_child_that_forges_its_list_is_in_a_picture_without_its_links() -> Outcome {
    let _calm = calm();
    let (_hub, at) = hub();
    let desk = Node::new("desk");
    tcp::join(&desk, at).wait()?;
    let (mut forger, forger_id) = Raw::child(at);
    let (mut endless, endless_id) = Raw::child(at);
    let (mut many, many_id) = Raw::child(at);
    let forging = spawn(move || {
        let mut list = asked(&mut forger);
        list.send(&mut forger, &link_info(1, "hub"));
        list.send(&mut forger, &link_info(7, "\u{1b}[2J"));
        list.end(&mut forger);
        forger
    });
    let telling = spawn(move || {
        let mut list = asked(&mut endless);
        let mut sent = 0;
        while list.send(&mut endless, &link_info(sent, "n")) {
            sent += 1;
            assert!(sent < 1_000_000, "it is kept without an end");
        }
        endless
    });
    let as_many = spawn(move || {
        let mut list = asked(&mut many);
        for id in 1..=4096 {
            assert!(list.send(&mut many, &link_info(id, "n")));
        }
        list.end(&mut many);
        many
    });
    let picture = desk.picture().timeout(SOON).wait()?;
    let _raw = (forging.join(), telling.join(), as_many.join());
    assert_eq!(picture.untold.get(&forger_id), Some(&Untold::Broken));
    assert_eq!(picture.untold.get(&endless_id), Some(&Untold::TooMany));
    assert_eq!(picture.links.get(&many_id).map(Vec::len), Some(4096));
    for text in [picture.text(), picture.graphviz(), picture.mermaid()] {
        assert!(text.chars().all(|char| !char.is_control() || char == '\n'), "{text:?}");
        assert!(text.contains("raw") && text.contains("tells of too many links"), "{text}");
    }
    assert_eq!(picture.nodes.len(), 5);
    Ok(())
}

#[test]
fn a_root_that_forges_its_list_is_no_picture() -> Outcome {
    let _calm = calm();
    let (node, mut raw) = below_raw();
    for bad in HARMFUL {
        let own = node.clone();
        let taking = spawn(move || own.picture().timeout(SOON).wait().map(drop));
        let mut list = asked(&mut raw);
        assert_eq!(list.name, "$nodes");
        list.send(&mut raw, &node_info(1, 0, "root"));
        list.send(&mut raw, &node_info(7, 1, bad));
        let error = taking.join().expect_err("it is no list");
        assert_eq!(*error, ImportError::Dead(Dead::here(Reason::DecodeFailed)), "{bad:?}");
    }
    let own = node.clone();
    let taking = spawn(move || own.picture().timeout(SOON).wait().map(drop));
    let mut list = asked(&mut raw);
    let mut id = 1;
    while list.send(&mut raw, &node_info(id, id - 1, "n")) {
        id += 1;
        assert!(id < 1_000_000, "it is kept without an end");
    }
    assert!(matches!(*taking.join().expect_err("too many"), ImportError::NoResources));
    Ok(())
}
