//! Any bytes as an HLO proto: build the module and print it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use xprof_core::hlo::text::{PrintOptions, module_text};
use xprof_core::hlo::{HloModuleFacts, module_name_of, shows_training};

fuzz_target!(|data: &[u8]| {
    let _ = module_name_of(data);
    let bytes = bytes::Bytes::copy_from_slice(data);
    let _ = shows_training(&bytes);
    if let Ok(facts) = HloModuleFacts::from_proto(&bytes, true) {
        let _ = module_text(facts.module(), PrintOptions::long(true), 1 << 20);
    }
});
