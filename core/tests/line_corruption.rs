//! How many errors of one to five bits a packet's checksum lets pass: none.
//!
//! A million here; `NETCHAN_LONG=1` makes it a hundred million, and `cargo xtask sim --corruption N` any
//! number, of any seed.
#![expect(clippy::print_stdout, reason = "figures, for who wants them")]

use netchan::testing::sim::run_corruption;

#[test]
fn no_error_of_up_to_five_bits_passes() {
    let long = std::env::var_os("NETCHAN_LONG").is_some();
    let errors = if long { 100_000_000 } else { 1_000_000 };
    let report = run_corruption(0xc0b5, errors);
    println!("{report:?}");
    assert!(report.injected >= errors && report.spared < report.injected / 20, "{report:?}");
    assert_eq!(report.altered, 0, "of {}", report.injected);
}
