//! The bugs that are planted: each is a piece of text that stands once in a file, and what takes its place.
//!
//! What takes two threads no simulation sees: that is for the models of loom.

use crate::command::Result;

/// A bug to be planted.
#[derive(Debug)]
pub(crate) struct Mutant {
    pub(crate) name: &'static str,
    pub(crate) file: &'static str,
    /// What is to find it: whole nodes of the host, else trees of bare ones.
    pub(crate) hosts: bool,
    old: &'static str,
    new: &'static str,
}

impl Mutant {
    /// The text with the bug in it.
    pub(crate) fn apply(&self, text: &str) -> Result<String> {
        match text.matches(self.old).count() {
            1 => Ok(text.replacen(self.old, self.new, 1)),
            n => Err(format!("`{}`: its text stands {n} times in {} and not once", self.name, self.file)),
        }
    }
}

const SPLICE: &str = "core/src/proto/splice.rs";
const TREE: &str = "core/src/tree/mod.rs";
const GRANT: &str = "core/src/tree/grant.rs";
const WAY: &str = "core/src/tree/way.rs";
const ROUTES: &str = "core/src/tree/routes.rs";
const CIRCUIT: &str = "core/src/proto/circuit.rs";
const TRANSIT: &str = "core/src/host/transit.rs";
const RELAY: &str = "core/src/host/relay.rs";

const fn mutant(name: &'static str, file: &'static str, old: &'static str, new: &'static str) -> Mutant {
    Mutant { name, file, hosts: false, old, new }
}

const fn in_host(name: &'static str, file: &'static str, old: &'static str, new: &'static str) -> Mutant {
    Mutant { name, file, hosts: true, old, new }
}

pub(crate) const MUTANTS: &[Mutant] = &[
    mutant(
        "what has come does not wake the other side",
        "core/src/testing/sim/tree/passage.rs",
        "self.forget_side(rest, ledger, id, side);\n        }\n        self.pass_on(id, side.other());",
        "self.forget_side(rest, ledger, id, side);\n        }",
    ),
    mutant(
        "credit does not wake who waits for it",
        SPLICE,
        "Event::Granted(_) => self.ends[here].todo |= todo::SEND,",
        "Event::Granted(_) => {}",
    ),
    mutant(
        "no look at what was promised",
        CIRCUIT,
        "if !self.promised.at_least(self.received) {",
        "if false {",
    ),
    mutant(
        "a window that is one byte too long",
        "core/src/proto/link/take.rs",
        "let promise = slot.consumed.plus(slot.window);",
        "let promise = slot.consumed.plus(slot.window + 1);",
    ),
    mutant(
        "credit for one byte more than went on",
        SPLICE,
        "flow.freed += charge(len);\n                    flow.values",
        "flow.freed += charge(len) + 1;\n                    flow.values",
    ),
    mutant(
        "a lost link's splice is forgotten",
        "core/src/testing/sim/tree/node.rs",
        "core.forget_over(id);\n                    core.pass_on(id, side.other());",
        "core.forget_over(id);",
    ),
    mutant("a death is not told onward", SPLICE, "other.todo = todo::KILL;", "other.todo = 0;"),
    mutant(
        "a death with the wrong place",
        SPLICE,
        "Place::Peer if self.node != 0 => Place::Node(self.node),",
        "Place::Peer if self.node != 0 => Place::Here,",
    ),
    mutant("a death without its account", SPLICE, "self.ends[there].taken = frame.taken;\n", ""),
    mutant(
        "what was taken is not told onward",
        SPLICE,
        "self.ends[there].taken = total;\n                self.ends[there].todo |= todo::TAKEN;",
        "self.ends[there].taken = total;",
    ),
    mutant(
        "the end before the last message",
        SPLICE,
        "flow.ended && !flow.end_told && flow.held == 0 {",
        "flow.ended && !flow.end_told {",
    ),
    mutant(
        "done as soon as the end has come",
        SPLICE,
        "self.flows[here].ended = true;\n",
        "self.flows[here].ended = true;\n                self.ends[here].todo |= todo::DRAIN;\n",
    ),
    mutant(
        "a message goes before the circuits inside it",
        SPLICE,
        "while flow.left == 0 && flow.hold != Some(flow.values) {",
        "while flow.left == 0 {",
    ),
    mutant(
        "a message in parts is not counted",
        SPLICE,
        "if flow.left == 0 {\n            flow.values = flow.values.plus(1);",
        "if flow.left == 0 {",
    ),
    mutant(
        "a message that has gone with an open is kept as well",
        SPLICE,
        "if has_gone {\n            flow.values",
        "if false {\n            flow.values",
    ),
    mutant(
        "a message that has gone with an open is not counted",
        SPLICE,
        "if has_gone {\n            flow.values = flow.values.plus(1);",
        "if has_gone {",
    ),
    mutant(
        "who has sent all with an open does not say that it is through",
        CIRCUIT,
        "self.limit_out = accept.limit;\n        self.settle();",
        "self.limit_out = accept.limit;",
    ),
    mutant(
        "an open from above goes back there",
        WAY,
        "Some(parent) if !is_parent && parent.settled => {",
        "Some(parent) if parent.settled => {",
    ),
    mutant(
        "routes of ids that were granted to others",
        TREE,
        "let theirs = self.ids.owns(link, id) && id != child.id",
        "let theirs = id != child.id",
    ),
    mutant(
        "nobody looks who opens",
        WAY,
        "if !known || child.leaf && route.is_some() {",
        "if child.leaf && route.is_some() {",
    ),
    mutant("a node that is gone is not told of", ROUTES, "if has_parent && known.told {", "if false {"),
    mutant(
        "who has asked for ids once does not ask again",
        TREE,
        "parent.asked = 0;\n                if count",
        "if count",
    ),
    mutant(
        "an id is given twice",
        "core/src/tree/ids.rs",
        "self.next = Some(after);",
        "self.next = Some(after - u32::from(count > 0));",
    ),
    mutant("no limit of hops", WAY, "if route.hops >= HOPS_MAX {", "if route.hops > HOPS_MAX {"),
    mutant(
        "ids are granted, and nobody knows to whom",
        GRANT,
        "child.runs += u32::from(self.ids.give(link, start, count));",
        "",
    ),
    mutant(
        "a child is not told that it is nearer to the root",
        TREE,
        "child.adopt_due = child.id != 0 && !child.leaf;",
        "child.adopt_due = false;",
    ),
    mutant("ids of an earlier tree are given on", TREE, "self.ids = Ids::none();", ""),
    mutant(
        "a node that has become a root counts from the beginning",
        "core/src/tree/ids.rs",
        "self.next = Some(self.highest.saturating_add(1));",
        "self.next = Some(2);",
    ),
    in_host(
        "a lost link's circuits are not told onward",
        TRANSIT,
        "            effects.pass_on(&passage.transit, passage.side.other());\n        }\n        self.kept",
        "        }\n        self.kept",
    ),
    in_host(
        "what was sent on counts as taken",
        RELAY,
        "taken + confirmed.saturating_sub(sent)",
        "taken + self.to.sent().max(confirmed).saturating_sub(sent)",
    ),
    in_host(
        "a served end has ended before all is taken",
        RELAY,
        "Stage::Ended if there.done => {",
        "Stage::Ended => {",
    ),
    in_host(
        "a chain goes on after an error",
        "core/src/host/call/server.rs",
        "if fails {",
        "if false && fails {",
    ),
    in_host(
        "who waits on a circuit of a lost link is not woken",
        "core/src/host/link.rs",
        "            cell.wake_all(&mut effects.wakers);\n            effects.tell(cell.member.as_ref(), Signal::Over);",
        "            effects.tell(cell.member.as_ref(), Signal::Over);",
    ),
    in_host(
        "a share of a link is kept for ever",
        "core/src/host/link.rs",
        "                self.shares.give_back(from.link, Held::one(cell.reserved, cell.is_list));\n",
        "                let _ = from;\n",
    ),
];
