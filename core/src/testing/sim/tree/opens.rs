//! Opens that come: taken in, passed on, or refused.

use alloc::string::{String, ToString};

use super::end::Stage;
use super::ledger::{Hop, Ledger};
use super::node::{Link, Node, Offer, Rest, Use};
use super::transit::{Transit, Wanted};
use crate::proto::{Blocked, Dead, Fingerprints, Handle, Open, Reason, Route, Side, Splice};
use crate::tree::{LinkNumber, NoWay, Origin, Strike, Way};

impl Node {
    /// An open has come: where it leads.
    pub(super) fn offered(&mut self, number: LinkNumber, offer: &Offer, ledger: &mut Ledger) {
        let route = offer.route.as_ref().map(|(from, hops, to, path)| Route {
            from: *from,
            hops: *hops,
            to: *to,
            path: path.as_str(),
        });
        if self.core.leaf {
            let above = Origin { id: 0, relative: crate::tree::Relative::Above };
            return self.take_in(number, offer, above, ledger);
        }
        let way = self.core.tree.way(Some(number), route.as_ref());
        let what = offer.wanted.fingerprint;
        ledger.say(|| alloc::format!("node {}: {what} on {number}, {route:?}: {way:?}", self.core.index));
        if let Ok(Way::Here(_) | Way::Onward { .. }) = way {
            self.check_source(number, route.as_ref(), ledger);
        }
        match way {
            Ok(Way::Here(origin)) => self.take_in(number, offer, origin, ledger),
            Ok(Way::Onward { link: right, route }) => {
                let (from, hops, to) = route.map_or((0, 0, 0), |route| (route.from, route.hops, route.to));
                let path = route.map_or_else(String::new, |route| route.path.to_string());
                let route = route.is_some().then_some((from, hops, to, path));
                // Routes come before the opens that they enable.
                self.tell_tree(ledger);
                self.pass_open_on(number, offer, right, route, ledger);
            }
            Err(NoWay::Dead(reason)) => self.turn_away(number, offer, reason, ledger),
            Err(NoWay::Forged) => {
                self.core.tree.pass(crate::proto::Instant::from_micros(ledger.now));
                let Strike { out } = self.core.tree.strike(number);
                self.turn_away(number, offer, Reason::Refused, ledger);
                self.struck(number, out, &|| alloc::format!("{:?}", offer.route), ledger);
            }
        }
    }

    /// Whoever is said to open can be behind that link, as far as ids tell.
    fn check_source(&mut self, number: LinkNumber, route: Option<&Route<'_>>, _ledger: &mut Ledger) {
        let Some(route) = route else { return };
        let (index, own) = (self.core.index, self.core.tree.id());
        assert!(route.hops < 15, "node {index} takes an open that has passed {} links", route.hops);
        let is_parent = self.core.tree.parent() == Some(number);
        let child = self.core.tree.children().find(|(link, _)| *link == number).map_or(0, |(_, id)| id);
        let in_runs = |runs: &[(u32, u32)]| runs.iter().any(|run| (run.0..run.1).contains(&route.from));
        let Some(link) = self.link(number) else { return };
        if is_parent {
            assert!(route.from != own, "node {index} takes an open from itself");
        } else {
            let behind = route.from == child || in_runs(&link.rest.given);
            assert!(behind, "node {index} takes an open from {}, which is not behind that link", route.from);
        }
    }

    fn take_in(&mut self, number: LinkNumber, offer: &Offer, origin: Origin, ledger: &mut Ledger) {
        let (index, life) = (self.core.index, self.core.life);
        let Some(Link { rest, .. }) = self.link(number) else { return };
        if rest.use_of(offer.handle) != Some(Use::Offer) {
            // Its opener has gone meanwhile.
            return rest.forget(offer.handle);
        }
        let Some(circuit) = ledger.arrived(index, life, rest, offer.handle, &offer.wanted) else {
            return self.turn_away(number, offer, Reason::NoName, ledger);
        };
        rest.set(offer.handle, Use::End(2 * circuit + 1));
        ledger.end(2 * circuit + 1).brought.clone_from(&offer.body);
        let opener = ledger.ends[2 * circuit].as_ref().map_or(index, |end| end.node);
        let known = origin.id == 0 || offer.route.is_none() || ledger.ids[opener].contains(&origin.id);
        let tainted = ledger.circuits[circuit].tainted;
        assert!(tainted || known, "node {index} takes node {opener} for {}", origin.id);
    }

    /// Opens on `right` what was offered on `left`, and splices the two.
    fn pass_open_on(
        &mut self,
        left: LinkNumber,
        offer: &Offer,
        right: LinkNumber,
        route: Option<(u32, u8, u32, String)>,
        ledger: &mut Ledger,
    ) {
        let index = self.core.index;
        let wanted = offer.wanted;
        let body = offer.body.as_deref();
        let [from_left, from_right] = wanted.floors(ledger.plan.floor, body);
        let Some(Link { rest, .. }) = self.link(left) else { return };
        if rest.use_of(offer.handle) != Some(Use::Offer) {
            return rest.forget(offer.handle);
        }
        let left_node = rest.neighbour;
        if !rest.reserve(from_left) {
            return self.turn_away(left, offer, Reason::NoResources, ledger);
        }
        let own = Transit::new([left, right], &wanted, [from_left, from_right]);
        let id = self.core.add(own);
        if let Some(Link { rest, .. }) = self.link(left) {
            rest.set(offer.handle, Use::Transit(id, Side::Left));
        }
        let opened = match self.link(right) {
            None => Err(Reason::NoRoute),
            Some(Link { port, rest }) => {
                if !rest.reserve(from_right) {
                    Err(Reason::NoResources)
                } else {
                    let open = Open {
                        flags: wanted.flags,
                        wait_ms: 0,
                        credit: wanted.credit,
                        limit: wanted.limit,
                        values: 0,
                        name: "c",
                        fingerprints: Fingerprints::new(wanted.fingerprint, &[]),
                        type_name: "t",
                        route: route.as_ref().map(|(from, hops, to, path)| Route {
                            from: *from,
                            hops: *hops,
                            to: *to,
                            path: path.as_str(),
                        }),
                        body,
                    };
                    let (link, mut slots, output) = port.parts();
                    let onward = Splice::onward(&open, from_right);
                    let opened = match link.open(&mut slots, &onward, output) {
                        // It goes behind, to who takes none so.
                        Err(Blocked::Invalid) if body.is_some() => link
                            .open(&mut slots, &Open { body: None, ..onward }, output)
                            .map(|handle| (handle, false)),
                        opened => opened.map(|handle| (handle, true)),
                    };
                    match opened {
                        Ok((handle, has_gone)) => {
                            rest.bind(handle, Use::Transit(id, Side::Right));
                            ledger.goes_to(wanted.fingerprint, rest.peer);
                            Ok((handle, has_gone, rest.neighbour))
                        }
                        Err(blocked) => {
                            rest.budget += from_right;
                            let invalid = matches!(blocked, Blocked::Invalid);
                            Err(if invalid { Reason::TooLarge } else { Reason::NoResources })
                        }
                    }
                }
            }
        };
        match opened {
            Ok((handle, has_gone, right_node)) => {
                ledger.passes(wanted.fingerprint, Hop { node: index, links: [left, right] });
                if let Some(own) = self.core.transits.get_mut(&id) {
                    own.opened(wanted.flags, [offer.handle, handle], [left_node, right_node]);
                    if let (Some(body), Some((splice, mut rings))) = (body, own.parts()) {
                        splice.came_with_open(body, has_gone, &mut rings);
                    }
                }
                self.core.pass_on(id, Side::Right);
            }
            Err(reason) => {
                self.core.transits.remove(&id);
                if let Some(Link { rest, .. }) = self.link(left) {
                    rest.budget += from_left;
                    rest.set(offer.handle, Use::Offer);
                }
                self.turn_away(left, offer, reason, ledger);
            }
        }
    }

    /// Refuses an open, and says which node it is that refuses it.
    fn turn_away(&mut self, number: LinkNumber, offer: &Offer, reason: Reason, ledger: &mut Ledger) {
        let index = self.core.index;
        ledger.cause(offer.wanted.fingerprint, reason, index);
        ledger.report.refused += 1;
        let Some(Link { port, rest }) = self.link(number) else { return };
        if rest.use_of(offer.handle) == Some(Use::Offer) {
            let (link, mut slots, output) = port.parts();
            link.refuse(&mut slots, offer.handle, Dead::here(reason), "node", output);
            rest.forget(offer.handle);
        }
    }
}

impl Ledger {
    /// An open has come to where it was meant to go: the number of its circuit, unless it is none of an
    /// honest node's.
    pub(super) fn arrived(
        &mut self,
        node: usize,
        life: u64,
        rest: &Rest,
        handle: Handle,
        wanted: &Wanted,
    ) -> Option<usize> {
        let number = self.circuit_of(wanted.fingerprint)?;
        let hostile = self.hostile[node];
        let names = self.plan.names;
        let circuit = &mut self.circuits[number];
        circuit.tainted |= hostile;
        let again = self.ends[2 * number + 1].is_some();
        if again && circuit.tainted {
            return None;
        }
        assert!(!again, "circuit {number} is offered twice");
        let meant = match circuit.meant {
            super::ledger::Meant::Node(meant) => meant == node,
            super::ledger::Meant::Id(id) => self.ids[node].contains(&id),
            super::ledger::Meant::Named(like) => like % names == node % names,
        };
        assert!(circuit.tainted || meant, "circuit {number} for {:?} comes to node {node}", circuit.meant);
        assert!(circuit.tainted || circuit.flags == wanted.flags, "circuit {number} has other flags");
        let mut end = super::end::End::new(number, node, circuit.flags, false, Stage::Offered);
        (end.life, end.link, end.handle) = (life, rest.number, Some(handle));
        self.ends[2 * number + 1] = Some(end);
        self.touched.push(number);
        Some(number)
    }
}
