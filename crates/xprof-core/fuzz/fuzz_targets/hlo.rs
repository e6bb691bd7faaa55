//! Any bytes as an HLO proto: build the module and print every instruction.
#![no_main]

use libfuzzer_sys::fuzz_target;
use xprof_core::hlo::{HloModuleFacts, module_name_of, shows_training};

fuzz_target!(|data: &[u8]| {
    let _ = module_name_of(data);
    let bytes = bytes::Bytes::copy_from_slice(data);
    let _ = shows_training(&bytes);
    let _ = HloModuleFacts::from_proto(&bytes, true);
});
