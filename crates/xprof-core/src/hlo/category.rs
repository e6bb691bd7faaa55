//! What op statistics call the kind of an instruction.

use super::field;
use super::instruction::Instruction;
use super::opcode::Opcode;

/// The category of an instruction, such as `loop fusion` or `data formatting`.
pub fn category(instruction: &Instruction) -> &'static str {
    match instruction.opcode {
        Opcode::Transpose | Opcode::Copy | Opcode::Reshape | Opcode::DynamicReshape => "data formatting",
        Opcode::Fusion => match instruction.text(field::FUSION_KIND) {
            "kLoop" => "loop fusion",
            "kInput" => "input fusion",
            "kOutput" => "output fusion",
            _ => "custom fusion",
        },
        Opcode::Convolution => {
            let dilated_base = instruction.window().iter().any(|dim| dim.base_dilation != 1);
            let dilated_window = instruction.window().iter().any(|dim| dim.window_dilation != 1);
            match (dilated_base, dilated_window) {
                (false, false) => "convolution",
                (true, false) => "convolution base-dilated",
                (false, true) => "convolution window-dilated",
                (true, true) => "convolution base-dilated window-dilated",
            }
        }
        opcode if opcode.is_elementwise_category() => "non-fusion elementwise",
        opcode => opcode.name(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hlo::attribute::Attribute;
    use crate::hlo::shape::Shape;

    fn check(opcode: Opcode, attributes: Vec<Attribute>, expect: &str) {
        let instruction = Instruction {
            id: 0,
            name: "x".into(),
            opcode,
            shape: std::sync::Arc::new(Shape::Token),
            operands: smallvec::SmallVec::new(),
            predecessors: Vec::new(),
            called: smallvec::SmallVec::new(),
            metadata: None,
            attributes,
        };
        assert_eq!(category(&instruction), expect);
    }

    #[test]
    fn names_the_kinds() {
        use crate::hlo::dims::WindowDim;
        let window = |base_dilation, window_dilation| {
            vec![Attribute::Window(vec![WindowDim { window_dilation, base_dilation, ..WindowDim::default() }])]
        };
        check(Opcode::Copy, vec![], "data formatting");
        check(Opcode::Fusion, vec![Attribute::Text(field::FUSION_KIND, "kInput".into())], "input fusion");
        check(Opcode::Convolution, window(1, 1), "convolution");
        check(Opcode::Convolution, window(2, 3), "convolution base-dilated window-dilated");
        check(Opcode::Add, vec![], "non-fusion elementwise");
        check(Opcode::Constant, vec![], "non-fusion elementwise");
        check(Opcode::AllReduceDone, vec![], "all-reduce-done");
    }
}
