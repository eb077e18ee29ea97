#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bitchat_fuzz::one_time_prekeys(bytes));
