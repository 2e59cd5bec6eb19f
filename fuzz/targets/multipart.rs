#![no_main]

use steadfast::fuzzing::{Form, form};

#[path = "../../middleware/src/fuzzing/parsers.rs"]
mod parsers;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Some(form) = form(data) {
        parsers::assert_found(&form);
    }
});
