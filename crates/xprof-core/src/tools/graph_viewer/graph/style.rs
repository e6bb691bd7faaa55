//! Colours and shapes of nodes.

use crate::hlo::{Instruction, Opcode};

/// Outline of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outline {
    /// Most nodes.
    Rect,
    /// Loops.
    Ellipse,
    /// The centre.
    Diamond,
    /// The mark of the result.
    Circle,
}

impl Outline {
    /// The word in DOT.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rect => "rect",
            Self::Ellipse => "ellipse",
            Self::Diamond => "diamond",
            Self::Circle => "circle",
        }
    }
}

/// How a node looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Its outline.
    pub shape: Outline,
    /// Whether the border is dashed: something next to it is not shown.
    pub is_dashed: bool,
    /// Colour of the area.
    pub fill: &'static str,
    /// Colour of the border.
    pub border: &'static str,
    /// Colour of the text.
    pub text: &'static str,
}

impl Style {
    /// The attributes in DOT besides the shape.
    pub fn attributes(&self) -> String {
        let style = if self.is_dashed { "filled,dashed" } else { "filled" };
        let Self { fill, border, text, .. } = self;
        format!("style=\"{style}\", fontcolor=\"{text}\", color=\"{border}\", fillcolor=\"{fill}\"")
    }
}

/// Fill, border and text.
pub(super) type Colours = (&'static str, &'static str, &'static str);

const WHITE: Colours = ("white", "#9e9e9e", "black");
const YELLOW: Colours = ("#fff9c4", "#cbc693", "black");
const GREEN: Colours = ("#c8e6c9", "#97b498", "black");
const DARK_BLUE: Colours = ("#1565c0", "#003c8f", "white");
const ORANGE: Colours = ("#ffe0b2", "#cbae82", "black");
const DARK_ORANGE: Colours = ("#ffb74d", "#c88719", "black");
const PURPLE: Colours = ("#e1bee7", "#af8eb5", "black");
const GRAY: Colours = ("#cfd8dc", "#9ea7aa", "black");
pub(super) const BROWN: Colours = ("#bcaaa4", "#8c7b75", "black");
const DARK_GREEN: Colours = ("#2e7d32", "#005005", "white");
/// Nodes without a value in a module that has statistics.
const LIGHT_GRAY: Colours = ("#f5f5f5", "#c2c2c2", "black");
pub(super) const CENTRE: Colours = ("#b71c1c", "#7f0000", "white");
pub(super) const DASHED: Colours = ("white", "#757575", "#757575");

/// The colour of a parameter.
pub(super) fn parameter(is_small: bool) -> Colours {
    if is_small { ORANGE } else { DARK_ORANGE }
}

/// The colour of an instruction by what it does. `is_fused` is whether it is in the body of a fusion.
#[allow(clippy::match_same_arms, reason = "one arm per line of the table")]
pub(super) fn by_opcode(opcode: Opcode, is_fused: bool, is_small: bool) -> Colours {
    use Opcode as O;
    match opcode {
        O::Parameter => parameter(is_small),
        O::Broadcast | O::DynamicUpdateSlice => YELLOW,
        O::Bitcast if is_fused => GREEN,
        O::Concatenate | O::DynamicSlice | O::Reshape | O::DynamicReshape | O::Reverse | O::Transpose => GREEN,
        O::Copy | O::CopyStart | O::CopyDone => GREEN,
        O::Convolution | O::Dot | O::RaggedDot | O::ScaledDot | O::Fft | O::TriangularSolve | O::Cholesky => DARK_BLUE,
        O::BatchNormGrad | O::BatchNormInference | O::BatchNormTraining | O::Reduce | O::ReduceWindow => PURPLE,
        O::Scan | O::Scatter | O::SelectAndScatter | O::Gather => PURPLE,
        O::Domain | O::Fusion | O::Map | O::GetDimensionSize | O::SetDimensionSize => GRAY,
        O::AllGather | O::AllGatherStart | O::AllGatherDone | O::AllReduce | O::AllReduceStart => BROWN,
        O::AllReduceDone | O::AllToAll | O::RaggedAllToAll | O::CollectiveBroadcast | O::CollectivePermute => BROWN,
        O::CollectivePermuteStart | O::CollectivePermuteDone | O::ReduceScatter | O::Infeed | O::Outfeed => BROWN,
        O::PartitionId | O::ReplicaId | O::Send | O::SendDone | O::Recv | O::RecvDone => BROWN,
        O::Call | O::Conditional | O::CustomCall | O::While => DARK_GREEN,
        _ => WHITE,
    }
}

/// The colour by the statistic that is to be shown, `None` if the instruction has none.
pub(super) fn by_statistic(instruction: &Instruction) -> Option<Colours> {
    const STEPS: [(f64, &str, &str); 10] = [
        (10.0, "#f7d4cc", "black"),
        (20.0, "#f8b2a3", "black"),
        (30.0, "#f9a28f", "black"),
        (40.0, "#fa917b", "black"),
        (50.0, "#fb8066", "black"),
        (60.0, "#fc7052", "black"),
        (70.0, "#fd5f3d", "white"),
        (80.0, "#fd4e29", "white"),
        (90.0, "#fe3e14", "white"),
        (f64::INFINITY, "#ff2d00", "white"),
    ];
    let statistics = instruction.statistics()?;
    let index = usize::try_from(statistics.visualizing_index).ok()?;
    let &(_, value) = statistics.values.get(index)?;
    if value == 0.0 {
        return Some(LIGHT_GRAY);
    }
    let step = STEPS.iter().find(|(limit, ..)| value < *limit).or(STEPS.last());
    step.map(|&(_, fill, text)| (fill, "#c2c2c2", text))
}

/// The colour of an instruction without a statistic in a module whose others have one.
pub(super) fn without_statistic() -> Colours {
    LIGHT_GRAY
}
