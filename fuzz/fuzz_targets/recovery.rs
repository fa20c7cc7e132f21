#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| diolog_fuzz::run("recovery", bytes));
