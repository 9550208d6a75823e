//! What must not compile, and what the compiler then says.

#![cfg(feature = "alloc")]

#[test]
fn types_that_cannot_be_sent_are_refused_with_advice() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
