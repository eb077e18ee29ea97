#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bitchat_fuzz::link_stream(bytes));
