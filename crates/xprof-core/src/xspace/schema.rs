//! Known names: stats, planes and lines. A name that is not here is still read and shown; nothing depends on it.

macro_rules! stat_kinds {
    ($($variant:ident = $name:literal,)*) => {
        /// A stat whose name has a meaning for some stage; the variants are the names in camel case,
        /// and the profiler's one-letter names are spelled out.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "the name says it; units are the suffix of the name")]
        pub enum StatKind { $($variant,)* }

        impl StatKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in stat metadata.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The kind of that name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

stat_kinds! {
    GroupId = "group_id",
    StepName = "step_name",
    RootLevel = "_r",
    IsAsync = "_a",
    ProducerType = "_pt",
    ProducerId = "_p",
    ConsumerType = "_ct",
    ConsumerId = "_c",
    ProcessId = "process_id",
    EventProcessId = "_pid",
    Id = "id",
    IterNum = "iter_num",
    StepNum = "step_num",
    GraphType = "graph_type",
    IsFunc = "is_func",
    IsEager = "is_eager",
    CorrelationId = "correlation_id",
    DeviceId = "device_id",
    KernelDetails = "kernel_details",
    MemcpyDetails = "memcpy_details",
    Shape = "shape",
    Equation = "equation",
    TfOp = "tf_op",
    HloOp = "hlo_op",
    HloModule = "hlo_module",
    ProgramId = "program_id",
    SymbolId = "symbol_id",
    HloCategory = "hlo_category",
    DeduplicatedName = "deduplicated_name",
    Source = "source",
    SourceStack = "source_stack",
    Flops = "flops",
    ModelFlops = "model_flops",
    BytesAccessed = "bytes_accessed",
    MemoryAccessBreakdown = "memory_access_breakdown",
    EstimatedFlops = "estimated_flops",
    EstimatedBytesAccessed = "estimated_bytes_accessed",
    VddEnergyJ = "vdd_energy_j",
    DeviceOffsetPs = "device_offset_ps",
    DeviceDurationPs = "device_duration_ps",
    SelfDurationPs = "self_duration_ps",
    MinDurationPs = "min_duration_ps",
    DmaStallDurationPs = "dma_stall_duration_ps",
    StepIdleTimePs = "step_idle_time_ps",
    AllReduceId = "all_reduce_id",
    AllReduceUniqueId = "all_reduce_unique_id",
    OffloadCoreId = "offload_core_id",
    TcOffloadStartId = "tc_offload_start_id",
    RunId = "run_id",
    QueueId = "queue_id",
    CoreType = "core_type",
    DeviceOrdinal = "device_ordinal",
    RequestId = "request_id",
    QueueAddr = "queue_addr",
    InputPipelineStageId = "_ipl_stage_id",
    InputPipelineStageName = "_ipl_stage_name",
    InputPipelineStageCategory = "_ipl_stage_cat",
    ElementId = "element_id",
    ParentId = "parent_id",
    TfFunctionCall = "tf_function_call",
    TracingCount = "tracing_count",
    ScopeRangeId = "scope_range_id",
    CudaGraphId = "cuda_graph_id",
    CudaGraphExecId = "cuda_graph_exec_id",
    MatrixUnitUtilizationPercent = "matrix_unit_utilization_percent",
    HbmUtilizationPercent = "hbm_utilization_percent",
    CoreDetails = "core_details",
    DeviceTypeString = "device_type_string",
    ClockRate = "clock_rate",
    CoreCount = "core_count",
    MemoryBandwidth = "memory_bandwidth",
    MemorySize = "memory_size",
    ComputeCapMajor = "compute_cap_major",
    ComputeCapMinor = "compute_cap_minor",
    DeviceVendor = "device_vendor",
    GpuDeviceName = "gpu_device_name",
    PeakTeraflopsPerSecond = "peak_teraflops_per_second",
    PeakHbmBwGigabytesPerSecond = "peak_hbm_bw_gigabytes_per_second",
    PeakSramRdBwGigabytesPerSecond = "peak_sram_rd_bw_gigabytes_per_second",
    PeakSramWrBwGigabytesPerSecond = "peak_sram_wr_bw_gigabytes_per_second",
    PeakCmemRdBwGigabytesPerSecond = "peak_cmem_rd_bw_gigabytes_per_second",
    PeakCmemWrBwGigabytesPerSecond = "peak_cmem_wr_bw_gigabytes_per_second",
    PeakVmemRdBwGigabytesPerSecond = "peak_vmem_rd_bw_gigabytes_per_second",
    PeakVmemWrBwGigabytesPerSecond = "peak_vmem_wr_bw_gigabytes_per_second",
    PeakSpmemRdBwGigabytesPerSecond = "peak_spmem_rd_bw_gigabytes_per_second",
    PeakSpmemWrBwGigabytesPerSecond = "peak_spmem_wr_bw_gigabytes_per_second",
    PeakScTeraflopsPerSecond = "peak_sc_teraflops_per_second",
    NumSparseCoreTiles = "num_sparse_core_tiles",
    HasMegacore = "has_megacore",
    HasMergedVmem = "has_merged_vmem",
    Flow = "flow",
    LongName = "long_name",
    CounterValue = "counter_value",
    RawBytesAccessed = "raw_bytes_accessed",
    ShapeWithLayout = "shape_with_layout",
    NumLaunches = "num_launches",
    MaxLaunchTimeUs = "max_launch_time_us",
    AvgLaunchTimeUs = "avg_launch_time_us",
    HloText = "hlo_text",
    ModelId = "model_id",
    ModelName = "model_name",
    BytesTransferred = "bytes_transferred",
    BatchSizeAfterPadding = "batch_size_after_padding",
    PaddingAmount = "padding_amount",
    BatchingInputTaskSize = "batching_input_task_size",
    BufferSize = "buffer_size",
    AllocatorName = "allocator_name",
    BytesReserved = "bytes_reserved",
    BytesAllocated = "bytes_allocated",
    BytesAvailable = "bytes_available",
    Fragmentation = "fragmentation",
    PeakBytesInUse = "peak_bytes_in_use",
    RequestedBytes = "requested_bytes",
    AllocationBytes = "allocation_bytes",
    Addr = "addr",
    RegionType = "region_type",
    DataType = "data_type",
    ContextId = "context_id",
    MemallocDetails = "memalloc_details",
    PerformanceCounterId = "performance_counter_id",
    PerformanceCounterDescription = "performance_counter_description",
    PerformanceCounterSets = "performance_counter_sets",
    GraphKey = "graph_key",
    UsesMegacore = "uses_megacore",
    TimeScaleMultiplier = "Time Scale Multiplier",
    HloProto = "Hlo Proto",
    LegacyHloProto = "HLO Proto",
}

/// Names of planes.
pub mod plane_names {
    /// Host threads.
    pub const HOST_CPU: &str = "/host:CPU";
    /// HLO protos and other metadata; has no lines.
    pub const METADATA: &str = "/host:metadata";
    /// Prefix of TPU device planes, SparseCores included.
    pub const TPU_PREFIX: &str = "/device:TPU:";
    /// Prefix of GPU device planes.
    pub const GPU_PREFIX: &str = "/device:GPU:";
    /// Prefix of custom device planes.
    pub const CUSTOM_PREFIX: &str = "/device:CUSTOM:";
    /// The tree of scope ranges that GPU name scopes refer to.
    pub const SCOPE_RANGES: &str = "/host:__ScopeRangeCallStack__";
}

/// Names of lines.
pub mod line_names {
    /// Steps of a TensorCore, or derived on a GPU.
    pub const STEPS: &str = "Steps";
    /// Executions of whole programs.
    pub const XLA_MODULES: &str = "XLA Modules";
    /// Executions of single HLO instructions.
    pub const XLA_OPS: &str = "XLA Ops";
    /// Asynchronous instructions, which overlap others.
    pub const ASYNC_XLA_OPS: &str = "Async XLA Ops";
    /// Derived: framework operations.
    pub const FRAMEWORK_OPS: &str = "Framework Ops";
    /// Derived: nested name scopes.
    pub const FRAMEWORK_NAME_SCOPE: &str = "Framework Name Scope";
    /// Derived: source lines.
    pub const SOURCE: &str = "Source code";
    /// Derived: hull of the launches of a step.
    pub const LAUNCH_STATS: &str = "Launch Stats";
    /// Steps of a SparseCore.
    pub const SPARSE_CORE_STEPS: &str = "Sparse Core Steps";
    /// Programs of a SparseCore.
    pub const SPARSE_CORE_MODULES: &str = "Sparse Core Modules";
    /// Instructions of a SparseCore.
    pub const SPARSE_CORE_OPS: &str = "Sparse Core Ops";
    /// Counter samples.
    pub const COUNTERS: &str = "_counters_";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_kinds_are_one_to_one() {
        for &kind in StatKind::ALL {
            assert_eq!(StatKind::from_name(kind.name()), Some(kind));
        }
        assert!(StatKind::ALL.len() < 256);
        assert_eq!(StatKind::from_name("no such stat"), None);
    }
}
