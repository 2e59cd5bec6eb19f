//! Breaks the server in every way its promise speaks of, and counts what it loses.
//!
//! `cargo run --release -p steadfast-tests --bin torture -- --profile quick`

use std::process::ExitCode;

fn main() -> ExitCode {
    steadfast_tests::torture::main(std::env::args().skip(1))
}
