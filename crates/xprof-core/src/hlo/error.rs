//! Why an HLO proto cannot be used.

use crate::wire::WireError;

/// What is wrong with an HLO proto. Callers count it and do without the facts of the module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HloError {
    /// The bytes are not protobuf.
    #[error("the bytes are not a protobuf message")]
    Wire(#[from] WireError),
    /// A text is not UTF-8.
    #[error("a text is not UTF-8")]
    NotUtf8,
    /// Messages are nested deeper than protobuf parsers allow.
    #[error("messages are nested too deeply")]
    TooDeep,
    /// More bytes than positions of 32 bits can address.
    #[error("the proto is larger than 4 GiB")]
    TooLarge,
    /// The proto holds no module.
    #[error("No HLO module found in the HLO proto")]
    NoModule,
    /// The module's text is longer than anybody can use.
    #[error("the text of the module is longer than {0} bytes")]
    TextTooLarge(usize),
    /// An opcode that does not exist.
    #[error("Unknown opcode: {0}")]
    UnknownOpcode(String),
    /// A comparison order that does not exist.
    #[error("Unknown comparison order: {0}")]
    UnknownComparisonOrder(String),
    /// The module contradicts itself.
    #[error("{0}")]
    Invalid(String),
}

impl HloError {
    /// An [`HloError::Invalid`].
    pub(crate) fn invalid(reason: impl Into<String>) -> Self {
        Self::Invalid(reason.into())
    }
}
