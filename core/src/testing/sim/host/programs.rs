//! What a node exports: programs that take, answer, and send where they are told to.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::time::Duration;

use super::tasks::pass;
use super::world::World;
use crate::host::{ExportOptions, Fanout, Latest, Node, Receiver, Sender, Server, Visibility};
use crate::testing::Rng;

/// Which stream, its number in it, and what makes it long.
pub(super) type Item = (u32, u32, Vec<u8>);
/// Which stream, how many items, and where to.
pub(super) type Order = (u32, u32, Sender<Item>);
/// Which one, and what makes it long.
pub(super) type Letter = (u32, Vec<u8>);

pub(super) const SINK: &str = "sink";
pub(super) const ORDERS: &str = "orders";
pub(super) const LETTERS: &str = "letters";
pub(super) const CALLS: &str = "calls";
pub(super) const CHAINS: &str = "chains";
pub(super) const TICKS: &str = "ticks";
pub(super) const LEVEL: &str = "level";

/// All of them, in the order of their names.
pub(super) const EXPORTS: [&str; 7] = [CALLS, CHAINS, LETTERS, LEVEL, ORDERS, SINK, TICKS];

/// What is answered to a request.
pub(super) const fn answer(number: u32) -> u32 {
    number.wrapping_mul(0x9e37_79b9)
}

/// Whether the call of a chain fails.
pub(super) const fn fails(number: u32) -> bool {
    number % 4 == 3
}

/// Bytes that make a message long.
pub(super) fn pad(world: &World, rng: &mut Rng) -> Vec<u8> {
    // At the end all do all at once.
    let most = if world.plan.large && !world.is_over() && rng.one_in(3) {
        9_000
    } else {
        [0, 12, 300][rng.below(3)]
    };
    alloc::vec![7; rng.below(most + 1)]
}

/// Takes its time, where programs do.
async fn rest(world: &World, rng: &mut Rng) {
    if world.plan.slow && rng.one_in(4) {
        pass(Duration::from_millis(rng.below(40) as u64)).await;
    }
}

/// Exports all, and starts a program for each.
pub(super) fn start(world: &Rc<World>, me: usize, node: &Node) {
    let options = |fanout| ExportOptions::fanout(fanout).visible_to(Visibility::Tree);
    let (queue, all) = (options(Fanout::WorkQueue), options(Fanout::Broadcast));
    let free = "each name is free";
    let group = world.programs(me);
    let spawner = &world.spawner;

    let sink = node.export_with(SINK, queue.clone()).expect(free);
    spawner.spawn(group, SINK, takes_items(Rc::clone(world), sink, world.rng()));
    let orders = node.export_with(ORDERS, queue.clone()).expect(free);
    spawner.spawn(group, ORDERS, takes_orders(Rc::clone(world), me, orders, world.rng()));
    let letters = node.export_with(LETTERS, queue.clone()).expect(free);
    spawner.spawn(group, LETTERS, takes_letters(Rc::clone(world), letters, world.rng()));
    let calls = node.export_with(CALLS, queue.clone()).expect(free);
    spawner.spawn(group, CALLS, answers(Rc::clone(world), calls, world.rng()));
    let chains = node.export_with(CHAINS, queue).expect(free);
    spawner.spawn(group, CHAINS, answers_chains(Rc::clone(world), chains, world.rng()));
    let ticks = node.export_with(TICKS, all.clone()).expect(free);
    let level = node.export_with(LEVEL, all).expect(free);
    spawner.spawn(group, TICKS, ticks_on(ticks, level));
}

async fn takes_items(world: Rc<World>, mut sink: Receiver<Item>, mut rng: Rng) {
    while let Ok((stream, number, _)) = sink.recv().await {
        world.ledger().takes(stream, number);
        rest(&world, &mut rng).await;
    }
}

async fn takes_letters(world: Rc<World>, mut letters: Receiver<Letter>, mut rng: Rng) {
    while let Ok((shot, _)) = letters.recv().await {
        world.ledger().is_hit(shot);
        rest(&world, &mut rng).await;
    }
}

async fn takes_orders(world: Rc<World>, me: usize, mut orders: Receiver<Order>, mut rng: Rng) {
    while let Ok((stream, count, to)) = orders.recv().await {
        let fills = fills(Rc::clone(&world), stream, count, to, rng.fork());
        world.spawner.spawn(world.programs(me), "fills an order", fills);
        rest(&world, &mut rng).await;
    }
}

/// Sends as many as were ordered, and ends in order.
async fn fills(world: Rc<World>, stream: u32, count: u32, mut to: Sender<Item>, mut rng: Rng) {
    for _ in 0..count {
        let number = world.ledger().begins(stream);
        let result = to.send((stream, number, pad(&world, &mut rng))).await;
        world.ledger().was_sent(stream, result.is_ok());
        if let Err(error) = result {
            return world.ledger().ends(stream, to.account(), Some(&error));
        }
        rest(&world, &mut rng).await;
    }
    world.ledger().ends(stream, to.account(), None);
}

async fn answers(world: Rc<World>, mut calls: Server<Letter, Letter>, mut rng: Rng) {
    while let Ok(request) = calls.recv().await {
        let number = request.0;
        world.ledger().is_hit(number);
        rest(&world, &mut rng).await;
        // Whoever has asked may be gone.
        let _ = request.reply((answer(number), pad(&world, &mut rng))).await;
    }
}

async fn answers_chains(world: Rc<World>, mut chains: Server<u32, Result<u32, u32>>, mut rng: Rng) {
    while let Ok(request) = chains.recv().await {
        let number = *request;
        world.ledger().is_hit(number);
        rest(&world, &mut rng).await;
        let reply = if fails(number) { Err(answer(number)) } else { Ok(answer(number)) };
        let _ = request.reply(reply).await;
    }
}

async fn ticks_on(ticks: Sender<u32>, level: Latest<u32>) {
    for n in 0.. {
        // Nobody has to listen.
        let _ = ticks.try_send(n);
        if level.set(n).is_err() {
            return;
        }
        pass(Duration::from_millis(7)).await;
    }
}
