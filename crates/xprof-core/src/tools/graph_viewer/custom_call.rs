//! The code that a custom call brings with it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::graph::program::{Named, find};
use crate::hlo::{HloModule, text};
use crate::{Error, Result};

/// Begin of MLIR in its binary form.
const BYTECODE: &[u8] = b"ML\xefR";

/// The body of a custom call as MLIR text. The reference parses it and prints it again, which only changes blanks.
pub(super) fn body(module: &HloModule, node: &str) -> Result<String> {
    let Named::Instruction(at) = find(module, node)? else {
        return Err(Error::Unsupported(format!("{node} is a computation, not a custom call")));
    };
    let instruction = module.instruction(at).ok_or_else(|| Error::NotFound(format!("no instruction {node}")))?;
    let config = text::backend_config(module, instruction);
    if config.is_empty() {
        return Err(Error::Unsupported("Backend config not found".into()));
    }
    let config: serde_json::Value = serde_json::from_slice(&config)
        .map_err(|e| Error::Unsupported(format!("the backend config is not JSON: {e}")))?;
    let call = config.get("custom_call_config").or_else(|| config.get("customCallConfig"));
    let call = call.ok_or_else(|| Error::Unsupported("Custom call config not found".into()))?;
    let encoded = call.get("body").and_then(serde_json::Value::as_str).unwrap_or_default();
    let code = STANDARD
        .decode(encoded)
        .map_err(|e| Error::Unsupported(format!("the body of the custom call is not base64: {e}")))?;
    if code.is_empty() {
        return Ok("module {\n}".into());
    }
    if code.starts_with(BYTECODE) {
        return Err(Error::Unsupported(
            "the body of the custom call is MLIR bytecode, which only a build with its dialects can print".into(),
        ));
    }
    String::from_utf8(code).map_err(|_| Error::Unsupported("the body of the custom call is no text".into()))
}
