//! Messages as a user writes them.

#![cfg(feature = "alloc")]

use netchan::Message;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Message, Debug, Clone, PartialEq)]
struct Tick {
    a: u64,
    b: u64,
}

#[derive(Serialize, Deserialize, Message, Debug, Clone, PartialEq)]
enum Event<T> {
    Idle,
    One(T),
    Two(T, u8),
    Named {
        ticks: Vec<T>,
        r#type: Option<String>,
    },
}

#[test]
fn a_struct_and_a_generic_enum_come_back() {
    let tick = Tick { a: 1, b: u64::MAX };
    let values = [
        Event::Idle,
        Event::One(tick.clone()),
        Event::Two(tick.clone(), 3),
        Event::Named {
            ticks: vec![tick.clone(); 3],
            r#type: Some("x".into()),
        },
    ];
    for value in values {
        let mut bytes = vec![9];
        value.encode_to(&mut bytes).unwrap();
        assert_eq!(Event::<Tick>::decode(&bytes[1..]), Ok(value));
    }
}
