//! A specimen that deviates: a node behind somebody who alters what it says, or what it is told. Each check has to find
//! the deviation that is planted for it.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use netchan::Reason;
use netchan::proto::framing::{self, Step};
use netchan::proto::{
    Accept, DeadFrame, Frame, Handle, Hello, Instant, LineConfig, Open, Part, Total, varint,
};
use netchan::testing::LineEnd;
use netchan::testing::conformance::{Flow, Way};

/// Bytes of a line that pass in one step at the most.
const PIECE: usize = 1024;
/// Who is on a line and alive has answered what comes within this.
const SILENCE: Duration = Duration::from_millis(300);

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
pub(crate) type Alter = Box<dyn FnMut(To, &str, &Frame<'_>) -> Fate + Send>;

pub(crate) struct Deviant<W> {
    pub(crate) way: W,
    alter: Alter,
    /// That the specimen has ended the link is not told.
    hides_end: bool,
    /// Bytes that are no whole frames yet; on a line, frames for which there was no room yet.
    there: Vec<u8>,
    back: Vec<u8>,
    names: HashMap<u32, String>,
    line: Option<Between>,
}

/// Somebody in the middle of a line has an end of it to either side.
struct Between {
    /// Towards the suite, and towards the specimen.
    ends: [LineEnd; 2],
    /// Of the bring-up that passes: the suite's nonce, and the specimen's.
    nonces: [u64; 2],
    /// The specimen has answered the suite's hello.
    is_answered: bool,
    /// When the suite has said something, of whatever kind.
    heard_at: Instant,
}

impl<W: Way> Deviant<W> {
    /// On a stream.
    pub(crate) fn new(way: W, (hides_end, alter): (bool, Alter)) -> Self {
        let (there, back, names) = (Vec::new(), Vec::new(), HashMap::new());
        Self { way, alter, hides_end, there, back, names, line: None }
    }

    /// On a lossy line.
    pub(crate) fn on_line(way: W, line: LineConfig, planted: (bool, Alter)) -> Self {
        let ends = [(); 2].map(|()| LineEnd::new(line, way.now()));
        let between = Between { ends, nonces: [0; 2], is_answered: false, heard_at: way.now() };
        Self { line: Some(between), ..Self::new(way, planted) }
    }

    /// Takes what has come to one of the two ends of a line.
    fn hear(&mut self, to: To, mut bytes: &[u8], line: &mut Between) {
        let (end, mut out) = match to {
            To::Specimen => (0, std::mem::take(&mut self.there)),
            To::Suite => (1, std::mem::take(&mut self.back)),
        };
        // What a line finds broken is for the two to find.
        while let Some(Ok(frame)) = line.ends[end].next(&mut bytes).transpose() {
            let frame = frame.to_vec();
            if let Ok(Frame::Hello(hello)) = Frame::parse(&frame) {
                let is_another = hello.nonce != line.nonces[end];
                if is_another && to == To::Suite && line.is_answered && self.hides_end {
                    continue;
                }
                if is_another && std::mem::replace(&mut line.nonces[end], hello.nonce) != 0 {
                    // Another bring-up: nothing of the last one counts, and this hello comes again.
                    let now = self.way.now();
                    line.ends.iter_mut().for_each(|end| end.restart(now));
                    line.is_answered &= to == To::Suite;
                    self.names.clear();
                    (self.there, self.back) = (Vec::new(), Vec::new());
                    out.clear();
                    continue;
                }
                line.is_answered |= to == To::Suite && hello.echo == line.nonces[0];
            }
            self.pass_frame(to, &frame, &mut out);
        }
        match to {
            To::Specimen => self.there = out,
            To::Suite => self.back = out,
        }
    }

    fn step_line(&mut self, out: &[u8], into: &mut Vec<u8>, mut line: Between) -> io::Result<Flow> {
        let now = self.way.now();
        // That nothing is acknowledged the two find themselves.
        line.ends.iter_mut().for_each(|end| _ = end.tick(now));
        self.hear(To::Specimen, out, &mut line);
        put(&mut line.ends[1], &mut self.there);
        if !out.is_empty() {
            line.heard_at = now;
        }
        // Nobody acknowledges anything in place of a suite that is silent.
        let is_silent = now.since(line.heard_at) > SILENCE;
        let out = if is_silent { Vec::new() } else { line.ends[1].drain(PIECE) };
        let mut came = Vec::new();
        let flow = self.way.step(&out, &mut came)?;
        line.ends[1].set_time(self.way.now());
        self.hear(To::Suite, &came, &mut line);
        put(&mut line.ends[0], &mut self.back);
        into.extend(line.ends[0].drain(PIECE));
        self.line = Some(line);
        Ok(flow)
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

impl<W: Way> Way for Deviant<W> {
    fn now(&self) -> Instant {
        self.way.now()
    }

    fn step(&mut self, out: &[u8], into: &mut Vec<u8>) -> io::Result<Flow> {
        if let Some(line) = self.line.take() {
            return self.step_line(out, into, line);
        }
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
        if self.line.is_none() {
            self.there.clear();
            self.back.clear();
            self.names.clear();
        }
        self.way.renew()
    }

    fn restart(&mut self) -> io::Result<()> {
        self.way.restart()
    }
}

/// Moves whole records into packets, as many as have room; the rest stays.
fn put(end: &mut LineEnd, records: &mut Vec<u8>) {
    let mut at = 0;
    while let Ok(Step::Frame(frame, used)) = framing::next(&records[at..], u32::MAX, None) {
        let is_hello = matches!(Frame::parse(frame), Ok(Frame::Hello(_)));
        if !end.put(&records[at..at + used], is_hello) {
            break;
        }
        at += used;
    }
    records.drain(..at);
}

fn packed(frame: &[u8]) -> Vec<u8> {
    let mut length = [0; varint::MAX_LEN];
    let used = varint::put(&mut length, 0, frame.len() as u32);
    [&length[..used], frame].concat()
}

pub(crate) fn bytes(frame: &Frame<'_>) -> Vec<u8> {
    let mut bytes = vec![0; 20 * 1024];
    let len = frame.write(&mut bytes).unwrap();
    bytes.truncate(len);
    bytes
}

pub(crate) fn becomes(frame: &Frame<'_>) -> Fate {
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
pub(crate) fn alter(to: To, mut f: impl FnMut(&str, &Frame<'_>) -> Fate + Send + 'static) -> (bool, Alter) {
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
pub(crate) fn loses(
    to: To,
    mut is_lost: impl FnMut(&str, &Frame<'_>) -> bool + Send + 'static,
) -> (bool, Alter) {
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

/// The deviation that a check has to find at a board on a line, where it looks at something else there or asks for something else.
pub(crate) fn planted_on_line(check: &str) -> (bool, Alter) {
    match check {
        "noise_before_the_first_packet_does_no_harm" => {
            loses(To::Suite, |_, frame| matches!(frame, Frame::Accept(..)))
        }
        "noise_between_packets_does_no_harm"
        | "bytes_behind_a_frame_are_a_fault_or_nothing"
        | "an_ack_beyond_what_was_sent_is_a_fault_or_nothing"
        | "a_frame_for_nobody_is_a_fault_or_nothing" => alters_values("echo"),
        "an_open_waits_for_its_export_or_is_refused_at_once" => alters_reason(To::Suite, "later"),
        "a_post_is_taken_or_refused" => alter(To::Suite, |name, frame| match frame {
            Frame::Dead(handle, _) if name == "sink" => {
                becomes(&Frame::Accept(*handle, Accept { which: 0, credit: 100, limit: 96 }))
            }
            _ => Fate::Passes,
        }),
        other => planted(other),
    }
}
