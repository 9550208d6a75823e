//! A specimen that deviates: the host's node behind somebody who alters what it says, or what it is told. Each check has to find
//! the deviation that is planted for it.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use netchan::Reason;
use netchan::proto::framing::{self, Step};
use netchan::proto::{Accept, DeadFrame, Frame, Handle, Hello, Instant, Open, Part, Total, varint};
use netchan::testing::conformance::{Flow, Way};

use crate::stream::Stream;

/// Who a frame is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    Specimen,
    Suite,
}

/// What becomes of a frame.
pub(crate) enum Fate {
    Passes,
    IsLost,
    Comes(u32),
    Becomes(Vec<u8>),
    /// This comes behind it.
    Brings(Vec<u8>),
}

/// What is altered: by whom a frame is for, the name of its circuit, and itself.
type Alter = Box<dyn FnMut(To, &str, &Frame<'_>) -> Fate + Send>;

pub(crate) struct Deviant {
    way: Stream,
    alter: Alter,
    /// That the specimen has closed the stream is not told.
    hides_end: bool,
    /// Bytes that are no whole frames yet.
    there: Vec<u8>,
    back: Vec<u8>,
    names: HashMap<u32, String>,
}

impl Deviant {
    pub(crate) fn new(dead: Duration, (hides_end, alter): (bool, Alter)) -> Self {
        let (there, back, names) = (Vec::new(), Vec::new(), HashMap::new());
        Self { way: Stream::new(dead), alter, hides_end, there, back, names }
    }

    /// What becomes of the frames in `bytes`.
    fn pass(&mut self, to: To, bytes: &mut Vec<u8>) -> Vec<u8> {
        let mut out = Vec::new();
        loop {
            match framing::next(bytes, 1 << 20, None) {
                Ok(Step::Need(_)) => return out,
                // Noise has no frames.
                Err(_) => {
                    out.append(bytes);
                    return out;
                }
                Ok(Step::Frame(frame, used)) => {
                    let frame = frame.to_vec();
                    self.pass_frame(to, &frame, &mut out);
                    bytes.drain(..used);
                }
            }
        }
    }

    fn pass_frame(&mut self, to: To, bytes: &[u8], out: &mut Vec<u8>) {
        let Ok(frame) = Frame::parse(bytes) else { return out.extend(packed(bytes)) };
        if let Frame::Open(handle, open) = &frame {
            self.names.insert(handle.get(), open.name.to_owned());
        }
        let name = handle(&frame).and_then(|handle| self.names.get(&handle.get())).map_or("", |name| name);
        match (self.alter)(to, name, &frame) {
            Fate::Passes => out.extend(packed(bytes)),
            Fate::IsLost => {}
            Fate::Comes(times) => (0..times).for_each(|_| out.extend(packed(bytes))),
            Fate::Becomes(other) => out.extend(packed(&other)),
            Fate::Brings(other) => out.extend([packed(bytes), packed(&other)].concat()),
        }
    }
}

impl Way for Deviant {
    fn now(&self) -> Instant {
        self.way.now()
    }

    fn step(&mut self, out: &[u8], into: &mut Vec<u8>) -> io::Result<Flow> {
        let mut there = std::mem::take(&mut self.there);
        there.extend_from_slice(out);
        let out = self.pass(To::Specimen, &mut there);
        self.there = there;
        let mut back = std::mem::take(&mut self.back);
        let flow = self.way.step(&out, &mut back)?;
        into.extend(self.pass(To::Suite, &mut back));
        self.back = back;
        Ok(if self.hides_end { Flow::Open } else { flow })
    }

    fn renew(&mut self) -> io::Result<()> {
        self.there.clear();
        self.back.clear();
        self.names.clear();
        self.way.renew()
    }

    fn restart(&mut self) -> io::Result<()> {
        self.way.restart()
    }
}

fn packed(frame: &[u8]) -> Vec<u8> {
    let mut length = [0; varint::MAX_LEN];
    let used = varint::put(&mut length, 0, frame.len() as u32);
    [&length[..used], frame].concat()
}

fn bytes(frame: &Frame<'_>) -> Vec<u8> {
    let mut bytes = vec![0; 20 * 1024];
    let len = frame.write(&mut bytes).unwrap();
    bytes.truncate(len);
    bytes
}

fn becomes(frame: &Frame<'_>) -> Fate {
    Fate::Becomes(bytes(frame))
}

const fn handle(frame: &Frame<'_>) -> Option<Handle> {
    match frame {
        Frame::Data(handle, ..)
        | Frame::Credit(handle, _)
        | Frame::Taken(handle, _)
        | Frame::Open(handle, _)
        | Frame::Accept(handle, _)
        | Frame::Ask(handle, _)
        | Frame::End(handle, _)
        | Frame::Dead(handle, _)
        | Frame::Done(handle, _) => Some(*handle),
        _ => None,
    }
}

/// Frames of a kind for the suite, or for the specimen, are altered.
fn alter(to: To, mut f: impl FnMut(&str, &Frame<'_>) -> Fate + Send + 'static) -> (bool, Alter) {
    (false, Box::new(move |of, name, frame| if of == to { f(name, frame) } else { Fate::Passes }))
}

/// The values of a circuit become others.
fn alters_values(of: &'static str) -> (bool, Alter) {
    alter(To::Suite, move |name, frame| match frame {
        Frame::Data(handle, part, bytes) if name == of && !bytes.is_empty() => {
            let mut other = bytes.to_vec();
            other[0] ^= 1;
            becomes(&Frame::Data(*handle, *part, &other))
        }
        _ => Fate::Passes,
    })
}

/// Values of a circuit come twice.
fn doubles_values(of: &'static str) -> (bool, Alter) {
    alter(To::Suite, move |name, frame| match frame {
        Frame::Data(..) if name == of => Fate::Comes(2),
        _ => Fate::Passes,
    })
}

/// What a circuit that is dead is said to be dead of becomes something else.
fn alters_reason(to: To, of: &'static str) -> (bool, Alter) {
    alter(to, move |name, frame| match frame {
        Frame::Dead(handle, dead) if name == of || of.is_empty() => {
            let dead = netchan::Dead { reason: Reason::Superseded, ..dead.dead };
            becomes(&Frame::Dead(*handle, DeadFrame { dead, taken: Total::ZERO, detail: "" }))
        }
        _ => Fate::Passes,
    })
}

/// Some frames do not arrive.
fn loses(to: To, mut is_lost: impl FnMut(&str, &Frame<'_>) -> bool + Send + 'static) -> (bool, Alter) {
    alter(to, move |name, frame| if is_lost(name, frame) { Fate::IsLost } else { Fate::Passes })
}

/// A node that goes on whatever its peer does.
fn goes_on() -> (bool, Alter) {
    let (_, alter) = loses(To::Suite, |_, frame| matches!(frame, Frame::Goodbye(_)));
    (true, alter)
}

/// The deviation that a check has to find.
pub(crate) fn planted(check: &str) -> (bool, Alter) {
    match check {
        "a_link_comes_up_whoever_has_the_higher_nonce"
        | "large_messages_pass_beside_small_ones"
        | "a_message_in_parts_is_put_together"
        | "a_total_that_goes_back_is_ignored" => alters_values("echo"),
        "a_version_that_is_not_spoken_is_answered_and_refused" => {
            loses(To::Suite, |_, frame| matches!(frame, Frame::Hello(_)))
        }
        "a_fingerprint_of_several_is_chosen" => alter(To::Suite, |name, frame| match frame {
            Frame::Accept(handle, accept) if name == "echo" => {
                becomes(&Frame::Accept(*handle, Accept { which: 0, ..*accept }))
            }
            _ => Fate::Passes,
        }),
        "a_name_that_is_not_there_is_refused"
        | "another_direction_or_kind_is_refused"
        | "opens_beyond_the_room_are_refused_and_others_go_on" => alters_reason(To::Suite, ""),
        "a_second_importer_is_refused_and_the_first_goes_on" => alters_reason(To::Suite, "echo"),
        "another_type_is_refused_by_its_name" => alter(To::Suite, |_, frame| match frame {
            Frame::Dead(handle, dead) => becomes(&Frame::Dead(*handle, DeadFrame { detail: "", ..*dead })),
            _ => Fate::Passes,
        }),
        "values_come_in_order_with_credit_for_one" => alters_values("source"),
        "values_come_in_order_with_a_large_window" | "nothing_is_sent_beyond_the_credit" => {
            doubles_values("source")
        }
        "an_open_waits_for_its_export_or_is_refused_at_once" => {
            alter(To::Specimen, |name, frame| match frame {
                Frame::Open(handle, open) if name == "later" => {
                    becomes(&Frame::Open(*handle, Open { wait_ms: 0, ..*open }))
                }
                _ => Fate::Passes,
            })
        }
        "handles_are_free_when_both_sides_are_through" => {
            loses(To::Suite, |name, frame| name == "double" && matches!(frame, Frame::Done(..)))
        }
        "both_ends_may_end_at_once" => {
            loses(To::Suite, |name, frame| name == "source" && matches!(frame, Frame::Done(..)))
        }
        "credit_comes_back_when_values_are_taken" => {
            loses(To::Suite, |name, frame| name == "sink" && matches!(frame, Frame::Credit(..)))
        }
        "only_what_is_taken_is_confirmed" => alter(To::Suite, |name, frame| match frame {
            Frame::Taken(handle, total) if name == "sink" => {
                becomes(&Frame::Taken(*handle, Total::new(total.get() + 1)))
            }
            _ => Fate::Passes,
        }),
        "what_is_taken_is_told_soon" => {
            loses(To::Suite, |name, frame| name == "sink" && matches!(frame, Frame::Taken(..)))
        }
        "who_hangs_up_says_how_many_were_taken" => alter(To::Suite, |name, frame| match frame {
            Frame::Dead(handle, dead) if name == "sink" => {
                becomes(&Frame::Dead(*handle, DeadFrame { taken: Total::new(dead.taken.get() + 1), ..*dead }))
            }
            _ => Fate::Passes,
        }),
        "an_end_follows_all_values" => {
            loses(To::Suite, |name, frame| name == "source" && matches!(frame, Frame::End(..)))
        }
        "an_import_of_some_values_is_ended_after_so_many" => alter(To::Specimen, |name, frame| match frame {
            Frame::Open(handle, open) if name == "source" => {
                becomes(&Frame::Open(*handle, Open { values: 0, ..*open }))
            }
            _ => Fate::Passes,
        }),
        "a_value_that_does_not_decode_ends_its_circuit_only" => alters_reason(To::Suite, "sink"),
        "a_post_is_taken_or_refused" => alter(To::Suite, |name, frame| match frame {
            Frame::Done(handle, _) if name == "sink" => becomes(&Frame::Done(*handle, Total::ZERO)),
            _ => Fate::Passes,
        }),
        "answers_match_their_calls" | "any_number_of_a_call_comes_back" => alters_values("double"),
        "a_call_that_is_cancelled_is_answered_once" => doubles_values("double"),
        "a_request_that_does_not_decode_ends_its_circuit_only" => alters_reason(To::Suite, "double"),
        "what_was_asked_before_the_end_is_answered" => {
            loses(To::Suite, |name, frame| name == "double" && matches!(frame, Frame::End(..)))
        }
        "who_comes_later_has_the_newest_value_at_once" => alters_values("newest"),
        "none_is_stale_after_a_long_time_without_credit" => alter(To::Suite, |name, frame| match frame {
            Frame::Data(handle, ..) if name == "newest" => {
                becomes(&Frame::Data(*handle, Part::Whole, &[100]))
            }
            _ => Fate::Passes,
        }),
        "its_imports_are_made_in_each_session" => {
            let mut sessions = 0;
            alter(To::Suite, move |name, frame| {
                sessions += u32::from(matches!(frame, Frame::Hello(_)));
                let is_lost = sessions > 2 && name == "feed" && matches!(frame, Frame::Open(..));
                if is_lost { Fate::IsLost } else { Fate::Passes }
            })
        }
        "an_idle_link_stays" | "it_is_heard_as_often_as_it_has_promised" => {
            loses(To::Suite, |_, frame| matches!(frame, Frame::Beat))
        }
        "a_ping_is_answered_and_many_are_no_more_than_that" => alter(To::Suite, |_, frame| match frame {
            Frame::Pong => Fate::Comes(60),
            _ => Fate::Passes,
        }),
        "an_announced_silence_is_no_death" => {
            loses(To::Specimen, |_, frame| matches!(frame, Frame::Quiet(_)))
        }
        "nothing_of_a_session_arrives_in_the_next" => alter(To::Suite, |name, frame| match frame {
            Frame::Accept(handle, _) if name == "echo" => {
                Fate::Brings(bytes(&Frame::Data(*handle, Part::Whole, &[7; 8])))
            }
            _ => Fate::Passes,
        }),
        "a_goodbye_is_told_with_its_reason" => alter(To::Specimen, |_, frame| match frame {
            Frame::Goodbye(_) => becomes(&Frame::Goodbye(Reason::Superseded)),
            _ => Fate::Passes,
        }),
        "a_death_is_told_with_its_reason" => alters_reason(To::Specimen, "echo"),
        "a_peer_that_resets_its_link_is_told_so" | "a_peer_that_restarts_is_told_so" => {
            let other = u64::from(check == "a_peer_that_resets_its_link_is_told_so") * 77;
            alter(To::Specimen, move |_, frame| match frame {
                Frame::Hello(hello) => {
                    // Of each hello without an echo the boot is another one, or the same in all.
                    let boot = if hello.echo == 0 { 1 + other * (hello.nonce % 1000) } else { 1 };
                    becomes(&Frame::Hello(Hello { boot, ..*hello }))
                }
                _ => Fate::Passes,
            })
        }
        // Of a broken protocol, of silence, of a restart: nothing comes of it.
        _ => goes_on(),
    }
}
