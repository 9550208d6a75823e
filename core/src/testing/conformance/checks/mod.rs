//! The checks, in the order in which they are told.

mod alive;
mod bring_up;
mod broken;
mod calls;
mod imports;
mod latest;
mod opening;
mod sessions;
mod values;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::desk::{Desk, Result};
use super::{Failure, Specimen, Way};

/// What a check may take beside dead-times: far more than the longest needs on a slow and bad line.
const BOUND: Duration = Duration::from_secs(60);
/// Dead-times that a check may take, of which the longest waits for less than five.
const BOUND_DEAD: u32 = 10;

/// A law, and how it is put to a specimen.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Check {
    /// Its name, as a test's.
    pub name: &'static str,
    /// What it asks, and where the law stands.
    pub asks: &'static str,
    run: fn(&mut Desk<'_>) -> Result,
}

impl Check {
    /// Puts it to a specimen, over a link of its own; and then looks whether everything still works. Blocks until that is known: for seconds, where a
    /// dead-time has to pass; for ten where something is waited for that never comes; and never for longer than [`Check::bound`].
    ///
    /// # Errors
    ///
    /// [`Failure`]: the specimen does not conform, or cannot be reached.
    pub fn run(&self, way: &mut dyn Way, specimen: &Specimen) -> Result<(), Failure> {
        let mut desk = Desk::new(way, specimen, self.bound(specimen));
        (self.run)(&mut desk)?;
        desk.works()?;
        desk.leave()
    }

    /// As [`Check::run`], without the look at the end: for who wants to know which of the two has failed.
    ///
    /// # Errors
    ///
    /// [`Failure`].
    pub fn ask(&self, way: &mut dyn Way, specimen: &Specimen) -> Result<(), Failure> {
        (self.run)(&mut Desk::new(way, specimen, self.bound(specimen)))
    }

    /// How long it takes at the most at such a specimen, by the time of its [`Way`] and whatever the specimen does: a minute and ten dead-times, where the way
    /// keeps its own promises. What takes longer is [`Failure::Late`].
    pub fn bound(&self, specimen: &Specimen) -> Duration {
        BOUND + specimen.dead * BOUND_DEAD
    }

    /// The check of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|check| check.name == name)
    }

    /// The checks with this in their names; all, where it is empty.
    ///
    /// # Errors
    ///
    /// There is none: a sentence that lists the names that there are, so that a slip does not pass for a success.
    pub fn matching(part: &str) -> Result<Vec<&'static Self>, String> {
        let checks: Vec<_> = ALL.iter().filter(|check| check.name.contains(part)).collect();
        if checks.is_empty() {
            let names = ALL.iter().fold(String::new(), |names, check| names + "\n    " + check.name);
            return Err(format!("no check has `{part}` in its name; there are{names}"));
        }
        Ok(checks)
    }
}

macro_rules! checks {
    ($($module:ident::$name:ident: $asks:literal,)*) => {
        /// All checks.
        pub const ALL: &[Check] = &[$(Check { name: stringify!($name), asks: $asks, run: $module::$name },)*];
    };
}

checks! {
    bring_up::a_link_comes_up_whoever_has_the_higher_nonce: "do both parities of handles work? (wire.md 3, 5)",
    bring_up::a_version_that_is_not_spoken_is_answered_and_refused: "is a peer of another version told which one is spoken, and refused? (3)",
    bring_up::noise_before_the_first_packet_does_no_harm: "is noise before the first packet ignored on a line, and a stranger on a stream refused without a word? (2, 12)",
    bring_up::noise_between_packets_does_no_harm: "does noise between packets cost nothing on a line, and end a stream? (2, 12)",
    opening::a_fingerprint_of_several_is_chosen: "is the right one of several fingerprints accepted? (4)",
    opening::a_name_that_is_not_there_is_refused: "is an unknown name refused at once? (10)",
    opening::another_type_is_refused_by_its_name: "is another type refused, with the name of the exported one? (10)",
    opening::another_direction_or_kind_is_refused: "is an open in the wrong direction, or of another kind, refused? (10)",
    opening::a_second_importer_is_refused_and_the_first_goes_on: "is an export that is taken Busy, and its importer undisturbed? (10)",
    values::values_come_in_order_with_credit_for_one: "does each value come once, in order, with credit for one at a time? (6)",
    values::values_come_in_order_with_a_large_window: "does each value come once, in order, with credit for many? (6)",
    values::nothing_is_sent_beyond_the_credit: "is nothing sent for which there is no credit, and all of it when there is? (6)",
    opening::opens_beyond_the_room_are_refused_and_others_go_on: "is an open refused for which there is no room, while others go on, and is room that was given up there again? (10)",
    opening::an_open_waits_for_its_export_or_is_refused_at_once: "does an open wait as long as it says, where opens wait at all? (4)",
    opening::handles_are_free_when_both_sides_are_through: "may each handle be used again after all ways to end, and are none left over? (5)",
    values::credit_comes_back_when_values_are_taken: "is a sender held back while nothing is taken, and let go on when it is? (6)",
    values::only_what_is_taken_is_confirmed: "does TAKEN count what the program has taken, no more and no less? (6)",
    values::what_is_taken_is_told_soon: "is TAKEN told within half a second, or at once where it is asked for? (6)",
    values::who_hangs_up_says_how_many_were_taken: "does the DEAD of a receiver leave an account that adds up? (5, 10)",
    values::an_end_follows_all_values: "does the orderly end come behind all values, with their total? (5)",
    values::both_ends_may_end_at_once: "are all finals that cross each other answers? (5)",
    values::an_import_of_some_values_is_ended_after_so_many: "does an acceptor end after the values that were asked for? (4)",
    values::large_messages_pass_beside_small_ones: "do messages in parts arrive whole, and others in between? (7)",
    values::a_message_in_parts_is_put_together: "are parts of any size a message, with other frames between them? (7)",
    values::a_value_that_does_not_decode_ends_its_circuit_only: "is a circuit dead, DecodeFailed, for a value that does not decode, and no other one? (10)",
    values::a_post_is_taken_or_refused: "is the message in an open taken where the hello says so, and never elsewhere? (3, 5)",
    calls::answers_match_their_calls: "has each of many calls its own answer, once? (14)",
    calls::any_number_of_a_call_comes_back: "is any number of a call given back as it was? (14)",
    calls::a_call_that_is_cancelled_is_answered_once: "is a call answered once after a cancel? (14)",
    calls::a_request_that_does_not_decode_ends_its_circuit_only: "is a caller dead, DecodeFailed, for what does not decode, while the server goes on? (10, 14)",
    calls::what_was_asked_before_the_end_is_answered: "does the END of a server follow its last answer? (14)",
    latest::who_comes_later_has_the_newest_value_at_once: "is the newest value there for who comes later, and each newer one once? (4)",
    latest::none_is_stale_after_a_long_time_without_credit: "is what comes behind a time without credit the newest? (6)",
    imports::its_imports_are_made_in_each_session: "are its imports opened in each session, with nothing of the last one? (5)",
    alive::an_idle_link_stays: "does a link stay on which only signs of life are exchanged? (9)",
    alive::it_is_heard_as_often_as_it_has_promised: "are its signs of life as often as its hello says? (9)",
    alive::a_ping_is_answered_and_many_are_no_more_than_that: "is a PING answered, and are many answered with as many PONGs at most? (4, 8)",
    alive::a_silent_peer_is_dead_in_time: "is a silent peer dead after the dead-time and within a quarter more, and its program told? (9)",
    alive::an_announced_silence_is_no_death: "is a silence that was announced survived? (9)",
    sessions::nothing_of_a_session_arrives_in_the_next: "is everything of a session gone with it? (10)",
    sessions::a_goodbye_is_told_with_its_reason: "is the program told the reason of a GOODBYE, also one that is not known? (10)",
    sessions::a_death_is_told_with_its_reason: "is the program told the reason of a DEAD, also one that is not known? (5, 10)",
    sessions::a_peer_that_resets_its_link_is_told_so: "is a hello with the same boot taken for a reset of the link? (3)",
    sessions::a_peer_that_restarts_is_told_so: "is a hello with another boot taken for a restart? (3)",
    sessions::a_specimen_that_restarts_says_so: "has its restart another boot, and nothing of before? (3)",
    broken::more_than_was_granted_is_a_fault: "does the link end for a message beyond the promise? (6)",
    broken::a_message_longer_than_the_limit_is_a_fault: "does it end for a message beyond the limit, as soon as its length is known? (6)",
    broken::a_kind_that_is_not_known_is_a_fault: "does it end for an unknown kind of frame? (4)",
    broken::a_code_that_is_not_known_is_a_fault: "does it end for an unknown code? (4)",
    broken::a_word_of_the_link_that_is_not_known_is_a_fault: "does it end for an unknown frame of the link? (4)",
    broken::a_word_of_the_tree_from_a_peer_is_a_fault: "does it end for a SHUTDOWN of who is no parent? (13)",
    broken::a_frame_that_is_cut_is_a_fault: "does it end for a frame that lacks a field? (4)",
    broken::a_number_that_is_longer_than_it_must_be_is_a_fault: "does it end for a number that has not its shortest form? (1)",
    broken::bytes_behind_a_frame_are_a_fault_or_nothing: "does it end for a frame with something behind it, where the specimen is strict? (4)",
    broken::an_ack_beyond_what_was_sent_is_a_fault_or_nothing: "does it end for an ACK of what was not sent, where the specimen is strict? (7)",
    broken::a_frame_for_nobody_is_a_fault_or_nothing: "does it end for a frame of a free handle, where the specimen remembers which are free? (5)",
    broken::an_open_of_the_other_parity_is_a_fault: "does it end for an open of a handle that is the other side's? (5)",
    broken::an_open_beyond_the_table_is_a_fault: "does it end for an open beyond the circuits of its hello? (5)",
    broken::an_open_of_a_handle_in_use_is_a_fault: "does it end for an open of a handle in use? (5)",
    broken::an_accept_of_what_it_did_not_open_is_a_fault: "does it end for an ACCEPT that it has not asked for? (5)",
    broken::credit_too_far_ahead_is_a_fault: "does it end for credit that no honest peer grants? (6)",
    broken::a_total_that_goes_back_is_ignored: "has a total that is before the last one no effect? (1)",
    broken::more_taken_than_was_sent_is_a_fault: "does it end for a TAKEN of what was not sent? (6)",
    broken::an_end_with_a_wrong_total_is_a_fault: "does it end for an END that does not count what was sent? (5)",
    broken::a_done_before_the_end_is_a_fault: "does it end for a DONE of who is not through? (5)",
    broken::a_value_behind_the_end_is_a_fault: "does it end for a value behind the END? (5)",
    broken::a_message_inside_another_is_a_fault: "does it end for a message between the parts of another? (7)",
    broken::more_than_a_message_has_is_a_fault: "does it end for parts that are longer than their message? (7)",
    broken::a_part_of_no_message_is_a_fault: "does it end for a part without a beginning? (7)",
}
