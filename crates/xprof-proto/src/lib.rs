//! Rust types, clients and servers generated from the definitions in `proto/`.
//!
//! The modules mirror the packages. Maps are [`BTreeMap`](std::collections::BTreeMap)s, so that equal messages have
//! equal bytes; fields of type `bytes` are [`Bytes`](bytes::Bytes), which share the buffer they were decoded from.
//!
//! Every message knows its full name, so [`prost_types::Any`] packs and unpacks it:
//!
//! ```
//! use prost_types::Any;
//! use xprof_proto::tensorflow::profiler::SparseCoreStepBreakdown;
//!
//! let step = SparseCoreStepBreakdown { sc_busy_ps: 7, ..Default::default() };
//! let any = Any::from_msg(&step)?;
//! assert_eq!(any.type_url, "type.googleapis.com/tensorflow.profiler.SparseCoreStepBreakdown");
//! assert_eq!(any.to_msg::<SparseCoreStepBreakdown>()?, step);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

/// All definitions as an encoded `google.protobuf.FileDescriptorSet`, for gRPC reflection.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.binpb"));

/// Includes the generated code of one package.
macro_rules! package {
    ($name:literal) => {
        include!(concat!(env!("OUT_DIR"), "/", $name, ".rs"));
    };
}

/// Package `tensorflow`.
pub mod tensorflow {
    /// Package `tensorflow.profiler`: trace files and what the tools make of them.
    #[allow(missing_docs, unused_qualifications, clippy::all, clippy::pedantic, rustdoc::all)]
    pub mod profiler {
        package!("tensorflow.profiler");

        /// Package `tensorflow.profiler.op_profile`: answer of the op_profile tool.
        pub mod op_profile {
            package!("tensorflow.profiler.op_profile");
        }
    }
}

/// Package `xla`: compiled programs.
#[allow(missing_docs, unused_qualifications, clippy::all, clippy::pedantic, rustdoc::all)]
pub mod xla {
    package!("xla");
}

/// Package `xprof`: answer of the trace viewer.
#[allow(missing_docs, unused_qualifications, clippy::all, clippy::pedantic, rustdoc::all)]
pub mod xprof {
    package!("xprof");

    /// Package `xprof.pywrap`: XProf's own worker service.
    pub mod pywrap {
        package!("xprof.pywrap");
    }

    /// Package `xprof.worker`.
    pub mod worker {
        /// Package `xprof.worker.v1`: this project's worker service and its artifacts.
        pub mod v1 {
            package!("xprof.worker.v1");
        }
    }
}

#[cfg(test)]
mod tests;
