//! Events with a meaning for grouping, told by their names.
//!
//! Takes the metadata of a plane, gives one small number per row, so that no name is looked at twice.

use crate::op_name::{self, OpCategory};
use crate::xspace::Plane;

/// What the name of an event says about its place in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EventType {
    /// Nothing; it may still be the launch or the execution of a kernel, see [`EventType::Unknown`]'s users.
    #[default]
    Unknown,
    /// A name that the profiler knows but that means nothing for grouping.
    Other,
    /// Root of a training or inference step.
    TraceContext,
    /// Root that the runtime made, not the user: its name is not shown.
    ImplicitRoot,
    /// One iteration of a TensorFlow executor; an implicit root too.
    ExecutorProcess,
    /// An eagerly executed operation or function.
    EagerExecute,
    /// A function of the input pipeline.
    CapturedFunction,
    /// Takes an element from the input pipeline.
    IteratorGetNext,
    /// The same, if there is one.
    IteratorGetNextAsOptional,
    /// Launch of a kernel by its own name.
    KernelLaunch,
    /// Execution of a kernel by its own name.
    KernelExecute,
    /// A TensorFlow operation.
    TfOpRun,
    /// A stage of the input pipeline.
    Iterator,
}

/// Names that the profiler knows and that are no operations.
const OTHER: &[&str] = &[
    "RunGraphDone",
    "ExecutorDoneCallback",
    "MemoryAllocation",
    "MemoryDeallocation",
    "RemotePerfCounter",
    "ParallelForOp",
    "ForeverOp",
    "WhileOp-EvalCond",
    "WhileOp-StartBody",
    "ForOp",
    "Iterator::Prefetch::Generator",
    "PrefetchProduce",
    "PrefetchConsume",
    "ParallelInterleaveProduce",
    "ParallelInterleaveConsume",
    "ParallelInterleaveInitializeInput",
    "ParallelMapProduce",
    "ParallelMapConsume",
    "MapAndBatchProduce",
    "MapAndBatchConsume",
    "ParseExampleProduce",
    "ParseExampleConsume",
    "ParallelBatchProduce",
    "ParallelBatchConsume",
    "BatchingSessionRun",
    "ProcessBatch",
    "BrainSessionRun",
    "ConcatInputTensors",
    "MergeInputTensors",
    "ScheduleWithoutSplit",
    "ScheduleWithSplit",
    "ScheduleWithEagerSplit",
    "ASBSQueue::Schedule",
    "OrbaxServing::ConcatInputBuffers",
    "OrbaxServing::ProcessBatch",
    "TfrtModelRun",
    "ServingModelRun",
    "EnqueueRequestLocked",
    "RunProgramRequest",
    "HostCallbackRequest",
    "TransferH2DRequest",
    "TransferPreprocessedH2DRequest",
    "TransferD2HRequest",
    "OnDeviceSendRequest",
    "OnDeviceRecvRequest",
    "OnDeviceSendRecvLocalRequest",
    "CustomWait",
    "OnDeviceSendRequestMulti",
    "OnDeviceRecvRequestMulti",
    "PjrtAsyncWait",
    "DoEnqueueProgram",
    "DoEnqueueContinuationProgram",
    "WriteHbm",
    "ReadHbm",
    "TpuExecuteOp",
    "CompleteCallbacks",
    "tpu::System::TransferToDevice=>IssueEvent",
    "tpu::System::TransferToDevice=>IssueEvent=>Done",
    "tpu::System::TransferFromDevice=>IssueEvent",
    "tpu::System::TransferFromDevice=>IssueEvent=>Done",
    "tpu::System::Execute",
    "TPUPartitionedCallOp-InitializeVarOnTPU",
    "TPUPartitionedCallOp-ExecuteRemote",
    "TPUPartitionedCallOp-ExecuteLocal",
    "Linearize",
    "Delinearize",
    "TransferBufferFromDevice-FastPath",
    "ThreadpoolListener::Record",
    "ThreadpoolListener::StartRegion",
    "ThreadpoolListener::StopRegion",
    "ThreadpoolListener::Region",
];

/// Names of TensorFlow's loop operations.
const LOOPS: [&str; 5] = ["WhileOp-EvalCond", "WhileOp-StartBody", "ForOp", "ParallelForOp", "ForeverOp"];

impl EventType {
    /// The type that a name alone implies.
    pub fn of_name(name: &str) -> Self {
        match name {
            "TraceContext" => Self::TraceContext,
            "FunctionRun" | "SessionRun" | "RunGraph" => Self::ImplicitRoot,
            "ExecutorState::Process" => Self::ExecutorProcess,
            "EagerExecute" => Self::EagerExecute,
            "InstantiatedCapturedFunction::Run"
            | "InstantiatedCapturedFunction::RunWithBorrowedArgs"
            | "InstantiatedCapturedFunction::RunInstantiated"
            | "InstantiatedCapturedFunction::RunAsync" => Self::CapturedFunction,
            "IteratorGetNextOp::DoCompute" => Self::IteratorGetNext,
            "IteratorGetNextAsOptionalOp::DoCompute" => Self::IteratorGetNextAsOptional,
            "KernelLaunch" => Self::KernelLaunch,
            "KernelExecute" => Self::KernelExecute,
            "TfOpRun" => Self::TfOpRun,
            "Iterator" => Self::Iterator,
            _ if OTHER.contains(&name) => Self::Other,
            _ => match op_name::parse(name).category {
                OpCategory::TensorFlow => Self::TfOpRun,
                OpCategory::TfData => Self::Iterator,
                _ => Self::Unknown,
            },
        }
    }

    /// Whether grouping looks at the stats of such an event, whatever they are.
    pub fn has_facts(self) -> bool {
        !matches!(self, Self::Unknown | Self::Other | Self::ImplicitRoot | Self::Iterator)
    }

    /// Whether an event of this type may begin a group, or is an execution that is told whether it ran eagerly.
    pub fn can_cause(self) -> bool {
        matches!(
            self,
            Self::TraceContext | Self::ExecutorProcess | Self::EagerExecute | Self::KernelExecute | Self::TfOpRun
        )
    }

    /// Whether a group is not named after a root of this type.
    pub fn is_implicit_root(self) -> bool {
        matches!(self, Self::ImplicitRoot | Self::ExecutorProcess)
    }
}

/// The types of all metadata rows of a plane.
pub fn of_plane(plane: &Plane) -> Vec<EventType> {
    plane.event_metadata.iter().map(|m| EventType::of_name(&m.name)).collect()
}

/// Whether the plane knows one of TensorFlow's loop operations, whether or not an event is one.
/// `parity:` in such a trace nothing is grouped.
pub fn has_loops(plane: &Plane) -> bool {
    plane.event_metadata.iter().any(|m| LOOPS.contains(&&*m.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_names_come_before_parsed_ones() {
        let check = |name: &str, expect: EventType| assert_eq!(EventType::of_name(name), expect, "{name}");
        check("ExecutorState::Process", EventType::ExecutorProcess);
        check("MemoryAllocation", EventType::Other);
        check("model/dense/MatMul:MatMul", EventType::TfOpRun);
        check("Iterator::Root::Prefetch", EventType::Iterator);
        check("loop_add_fusion.3", EventType::Unknown);
        check("", EventType::Unknown);
    }
}
