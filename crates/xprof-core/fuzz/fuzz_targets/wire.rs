//! Any bytes as protobuf fields: no panic, no endless loop.
#![no_main]

use libfuzzer_sys::fuzz_target;
use xprof_core::wire::Fields;

fuzz_target!(|data: &[u8]| {
    let n = Fields::new(data).count();
    assert!(n <= data.len() + 1);
});
