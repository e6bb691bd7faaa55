//! The opcodes of HLO, their names and how many operands each takes.
//!
//! Takes the opcode text of an instruction, gives the [`Opcode`]; must not know anything about single instructions.

/// How many operands an instruction may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arity {
    /// Exactly so many.
    Exactly(u8),
    /// Any number.
    Any,
}

macro_rules! arity {
    (n) => {
        Arity::Any
    };
    ($count:literal) => {
        Arity::Exactly($count)
    };
}

macro_rules! opcodes {
    ($($variant:ident $name:literal $arity:tt,)*) => {
        /// What an instruction computes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(missing_docs)] // The variants are the names of the HLO operations.
        pub enum Opcode { $($variant,)* }

        impl Opcode {
            /// Every opcode, sorted by name.
            pub const ALL: &'static [(&'static str, Self)] = &[$(($name, Self::$variant),)*];

            /// The name in HLO text.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// How many operands it takes.
            pub fn arity(self) -> Arity {
                match self { $(Self::$variant => arity!($arity),)* }
            }
        }
    };
}

opcodes! {
    Abs "abs" 1,
    Acos "acos" 1,
    Acosh "acosh" 1,
    Add "add" 2,
    AddDependency "add-dependency" 2,
    AfterAll "after-all" n,
    AllGather "all-gather" n,
    AllGatherDone "all-gather-done" 1,
    AllGatherStart "all-gather-start" n,
    AllReduce "all-reduce" n,
    AllReduceDone "all-reduce-done" 1,
    AllReduceStart "all-reduce-start" n,
    AllToAll "all-to-all" n,
    And "and" 2,
    Asin "asin" 1,
    Asinh "asinh" 1,
    AsyncDone "async-done" 1,
    AsyncStart "async-start" n,
    AsyncUpdate "async-update" n,
    Atan2 "atan2" 2,
    Atanh "atanh" 1,
    BatchNormGrad "batch-norm-grad" 5,
    BatchNormInference "batch-norm-inference" 5,
    BatchNormTraining "batch-norm-training" 3,
    Bitcast "bitcast" 1,
    BitcastConvert "bitcast-convert" 1,
    Broadcast "broadcast" 1,
    Call "call" n,
    Cbrt "cbrt" 1,
    Ceil "ceil" 1,
    Cholesky "cholesky" 1,
    Clamp "clamp" 3,
    CollectiveBroadcast "collective-broadcast" n,
    CollectivePermute "collective-permute" n,
    CollectivePermuteDone "collective-permute-done" 1,
    CollectivePermuteStart "collective-permute-start" n,
    Compare "compare" 2,
    Complex "complex" 2,
    Concatenate "concatenate" n,
    Conditional "conditional" n,
    Constant "constant" 0,
    Convert "convert" 1,
    Convolution "convolution" n,
    Copy "copy" 1,
    CopyDone "copy-done" 1,
    CopyStart "copy-start" 1,
    Cosh "cosh" 1,
    Cosine "cosine" 1,
    CountLeadingZeros "count-leading-zeros" 1,
    CustomCall "custom-call" n,
    Divide "divide" 2,
    Domain "domain" 1,
    Dot "dot" 2,
    DynamicReshape "dynamic-reshape" n,
    DynamicSlice "dynamic-slice" n,
    DynamicUpdateSlice "dynamic-update-slice" n,
    Erf "erf" 1,
    Exponential "exponential" 1,
    ExponentialMinusOne "exponential-minus-one" 1,
    Fft "fft" 1,
    Floor "floor" 1,
    Fusion "fusion" n,
    Gather "gather" 2,
    GetDimensionSize "get-dimension-size" 1,
    GetTupleElement "get-tuple-element" 1,
    Imag "imag" 1,
    Infeed "infeed" 1,
    Iota "iota" 0,
    IsFinite "is-finite" 1,
    Log "log" 1,
    LogPlusOne "log-plus-one" 1,
    Logistic "logistic" 1,
    Map "map" n,
    Maximum "maximum" 2,
    Minimum "minimum" 2,
    Mulhi "mulhi" 2,
    Multiply "multiply" 2,
    Negate "negate" 1,
    Not "not" 1,
    OptimizationBarrier "opt-barrier" 1,
    Or "or" 2,
    Outfeed "outfeed" 2,
    Pad "pad" 2,
    Parameter "parameter" 0,
    PartitionId "partition-id" 0,
    PopulationCount "popcnt" 1,
    Power "power" 2,
    RaggedAllToAll "ragged-all-to-all" 6,
    RaggedDot "ragged-dot" 3,
    Real "real" 1,
    Recv "recv" 1,
    RecvDone "recv-done" 1,
    Reduce "reduce" n,
    ReducePrecision "reduce-precision" 1,
    ReduceScatter "reduce-scatter" n,
    ReduceWindow "reduce-window" n,
    Remainder "remainder" 2,
    ReplicaId "replica-id" 0,
    Reshape "reshape" 1,
    Reverse "reverse" 1,
    Rng "rng" n,
    RngBitGenerator "rng-bit-generator" 1,
    RngGetAndUpdateState "rng-get-and-update-state" 0,
    RoundNearestAfz "round-nearest-afz" 1,
    RoundNearestEven "round-nearest-even" 1,
    Rsqrt "rsqrt" 1,
    ScaledDot "scaled-dot" 4,
    Scan "scan" n,
    Scatter "scatter" n,
    Select "select" 3,
    SelectAndScatter "select-and-scatter" 3,
    Send "send" 2,
    SendDone "send-done" 1,
    SetDimensionSize "set-dimension-size" 2,
    ShiftLeft "shift-left" 2,
    ShiftRightArithmetic "shift-right-arithmetic" 2,
    ShiftRightLogical "shift-right-logical" 2,
    Shuffle "shuffle" 1,
    Sign "sign" 1,
    Sine "sine" 1,
    Sinh "sinh" 1,
    Slice "slice" 1,
    Sort "sort" n,
    Sqrt "sqrt" 1,
    StochasticConvert "stochastic-convert" 2,
    Subtract "subtract" 2,
    Tan "tan" 1,
    Tanh "tanh" 1,
    TopK "topk" 1,
    Transpose "transpose" 1,
    TriangularSolve "triangular-solve" 2,
    Tuple "tuple" n,
    While "while" 1,
    Xor "xor" 2,
}

impl Opcode {
    /// The opcode of that name, `None` if there is none.
    pub fn from_name(name: &str) -> Option<Self> {
        let at = Self::ALL.binary_search_by_key(&name, |(known, _)| known).ok()?;
        Some(Self::ALL.get(at)?.1)
    }

    /// The comparison that older compilers wrote as an opcode of its own, as direction of today's `compare`.
    pub fn legacy_comparison(name: &str) -> Option<&'static str> {
        Some(match name {
            "equal-to" => "EQ",
            "not-equal-to" => "NE",
            "greater-than-or-equal-to" => "GE",
            "greater-than" => "GT",
            "less-than-or-equal-to" => "LE",
            "less-than" => "LT",
            _ => return None,
        })
    }

    /// Whether each element of the result depends only on the elements at the same place in the operands.
    pub fn is_elementwise(self) -> bool {
        self == Self::Copy || self.is_elementwise_math()
    }

    /// Whether op statistics file it with the element-wise operations.
    pub fn is_elementwise_category(self) -> bool {
        self.is_elementwise() || matches!(self, Self::Constant | Self::Map | Self::Rng)
    }

    /// [`Opcode::is_elementwise`] without `copy`, which moves data but computes nothing.
    // tidy: a table
    pub fn is_elementwise_math(self) -> bool {
        use Opcode::{
            Abs, Acos, Acosh, Add, And, Asin, Asinh, Atan2, Atanh, BitcastConvert, Cbrt, Ceil, Clamp, Compare, Complex,
            Convert, Cosh, Cosine, CountLeadingZeros, Divide, Erf, Exponential, ExponentialMinusOne, Floor, Imag,
            IsFinite, Log, LogPlusOne, Logistic, Maximum, Minimum, Mulhi, Multiply, Negate, Not, Or, PopulationCount,
            Power, Real, ReducePrecision, Remainder, RoundNearestAfz, RoundNearestEven, Rsqrt, Select, ShiftLeft,
            ShiftRightArithmetic, ShiftRightLogical, Sign, Sine, Sinh, Sqrt, StochasticConvert, Subtract, Tan, Tanh,
            Xor,
        };
        matches!(
            self,
            Abs | Acos
                | Acosh
                | Add
                | And
                | Asin
                | Asinh
                | Atan2
                | Atanh
                | BitcastConvert
                | Cbrt
                | Ceil
                | Clamp
                | Compare
                | Complex
                | Convert
                | Cosh
                | Cosine
                | CountLeadingZeros
                | Divide
                | Erf
                | Exponential
                | ExponentialMinusOne
                | Floor
                | Imag
                | IsFinite
                | Log
                | LogPlusOne
                | Logistic
                | Maximum
                | Minimum
                | Mulhi
                | Multiply
                | Negate
                | Not
                | Or
                | PopulationCount
                | Power
                | Real
                | ReducePrecision
                | Remainder
                | RoundNearestAfz
                | RoundNearestEven
                | Rsqrt
                | Select
                | ShiftLeft
                | ShiftRightArithmetic
                | ShiftRightLogical
                | Sign
                | Sine
                | Sinh
                | Sqrt
                | StochasticConvert
                | Subtract
                | Tan
                | Tanh
                | Xor
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_opcode_by_its_name() {
        assert!(Opcode::ALL.is_sorted());
        for &(name, opcode) in Opcode::ALL {
            assert_eq!(Opcode::from_name(name), Some(opcode));
            assert_eq!(opcode.name(), name);
        }
        for other in ["", "equal-to", "Add", "zzz"] {
            assert_eq!(Opcode::from_name(other), None);
        }
        assert_eq!(Opcode::legacy_comparison("less-than"), Some("LT"));
    }
}
