//! How many clock cycles element-wise operations take, per opcode and type.
//!
//! The numbers are those of one NVIDIA chip (compute capability 8.6); the original uses them for every GPU.

use crate::hlo::opcode::Opcode;
use crate::hlo::shape::PrimitiveType;

/// Cycles of what the table does not list.
const DEFAULT_CYCLES: i64 = 3;

/// Cycles per element.
pub(super) fn cycles(opcode: Opcode, element: PrimitiveType) -> i64 {
    use PrimitiveType as P;
    let row: &[(PrimitiveType, i64)] = match opcode {
        Opcode::Divide => &[
            (P::S8, 370),
            (P::S16, 367),
            (P::S32, 306),
            (P::S64, 918),
            (P::U8, 306),
            (P::U16, 302),
            (P::U32, 115),
            (P::U64, 838),
            (P::F64, 2016),
            (P::C64, 687),
            (P::C128, 7941),
        ],
        Opcode::Power => &[
            (P::S8, 392),
            (P::S16, 396),
            (P::S64, 601),
            (P::U8, 388),
            (P::U16, 399),
            (P::U64, 604),
            (P::F16, 975),
            (P::F32, 925),
            (P::F64, 5511),
            (P::C64, 3351),
            (P::C128, 18205),
        ],
        Opcode::Cbrt => &[(P::F16, 925), (P::F32, 867), (P::F64, 6339)],
        Opcode::Cosine => &[(P::F16, 691), (P::F32, 662), (P::F64, 1717), (P::C128, 6613)],
        Opcode::Sine => &[(P::F32, 662), (P::F64, 1789), (P::C128, 5878)],
        Opcode::Exponential => &[(P::F16, 108), (P::F32, 86), (P::F64, 1652), (P::C64, 1360), (P::C128, 4028)],
        Opcode::ExponentialMinusOne => &[(P::F16, 396), (P::F32, 381), (P::F64, 1900), (P::C64, 1400), (P::C128, 4161)],
        Opcode::Log => &[(P::F16, 266), (P::F32, 244), (P::F64, 608), (P::C64, 950), (P::C128, 7599)],
        Opcode::LogPlusOne => &[(P::F16, 284), (P::F32, 262), (P::F64, 2073), (P::C64, 842), (P::C128, 6962)],
        Opcode::Logistic => &[(P::F16, 226), (P::F32, 176), (P::F64, 2412)],
        Opcode::Tanh => &[(P::F16, 212), (P::F32, 190), (P::F64, 1609), (P::C128, 9939)],
        Opcode::Rsqrt => &[(P::F16, 97), (P::F32, 75), (P::F64, 698), (P::C64, 2383), (P::C128, 11318)],
        Opcode::Sqrt => &[(P::F16, 97), (P::F32, 75), (P::F64, 986), (P::C64, 3193), (P::C128, 15606)],
        Opcode::Atan2 => &[(P::F16, 482), (P::F32, 486), (P::F64, 3747), (P::C64, 5353), (P::C128, 39027)],
        Opcode::Add | Opcode::Subtract => &[(P::F64, 97), (P::C128, 97)],
        Opcode::Multiply => &[(P::F64, 97), (P::C128, 270)],
        _ => &[],
    };
    row.iter().find(|(known, _)| *known == element).map_or(DEFAULT_CYCLES, |&(_, cycles)| cycles)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(opcode: Opcode, element: PrimitiveType, expect: i64) {
        assert_eq!(cycles(opcode, element), expect);
    }

    #[test]
    fn knows_slow_operations() {
        check(Opcode::Add, PrimitiveType::F32, 3);
        check(Opcode::Add, PrimitiveType::F64, 97);
        check(Opcode::Divide, PrimitiveType::F32, 3);
        check(Opcode::Atan2, PrimitiveType::C128, 39027);
    }
}
