//! Which kernels use tensor cores (AMD: matrix cores), and which ops could, by their names.

use crate::xspace::{Plane, StatKind, StatValue};

/// Who made the GPU, as far as kernel names depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vendor {
    /// Nvidia.
    Nvidia,
    /// AMD.
    Amd,
    /// Anybody else.
    Other,
}

/// Parts of the names of Nvidia's kernels.
const NVIDIA_PATTERNS: [&str; 19] = [
    "16816",
    "c1688",
    "conv1x1",
    "conv2d_c1_k1",
    "dgrad_1x1_stride_2x2",
    "direct_group",
    "first_layer_wgrad_kernel",
    "h1688",
    "h884",
    "hmma",
    "i16832",
    "i8816",
    "s884",
    "s1688",
    "xmma_gemm",
    "xmma_implicit_gemm",
    "xmma_sparse_conv",
    "xmma_sparse_gemm",
    "xmma_warp_specialized_implicit_gemm",
];

/// Parts of the names of AMD's kernels.
const AMD_PATTERNS: [&str; 17] = [
    "gemm_fusion",
    "Custom_Cijk_",
    "_xdl",
    "gtcx",
    "miopenSp3AsmConvRage",
    "moe_gemm",
    "moe_mxgemm",
    "wmma",
    "aiter",
    "FMHA_FWD",
    "attn_fwd",
    "bwd_kernel_",
    "mfma",
    "TileGemmShape<",
    "TileFlatmmShape<",
    "TileFmhaShape<",
    "TileFmhaBwdShape<",
];

/// Ends of the names of ops that tensor cores can run.
const ELIGIBLE_ENDS: [&str; 12] = [
    "Conv2D",
    "Conv2DBackpropFilter",
    "Conv2DBackpropInput",
    "Conv3D",
    "DepthwiseConv2dNative",
    "DepthwiseConv2dNativeBackpropFilter",
    "DepthwiseConv2dNativeBackpropInput",
    "/MatMul",
    "FusedMatMul",
    "/CudnnRNN",
    "XlaDot",
    "XlaDotV2",
];

/// Parts of the names of ops that tensor cores can run.
const ELIGIBLE_PARTS: [&str; 6] =
    ["BatchMatMul", "CudnnRNNV", "CudnnRNNForward", "CudnnRNNBackprop", "dot_general", "conv_general_dilated"];

impl Vendor {
    /// As the plane says.
    pub fn of(plane: &Plane) -> Self {
        match plane.stat(StatKind::DeviceVendor).map(StatValue::text).as_deref() {
            Some("Nvidia") => Self::Nvidia,
            Some("AMD") => Self::Amd,
            _ => Self::Other,
        }
    }

    /// Whether a kernel of that name uses tensor cores.
    pub fn uses_tensor_core(self, kernel: &str) -> bool {
        match self {
            Self::Nvidia => NVIDIA_PATTERNS.iter().any(|part| kernel.contains(part)),
            Self::Amd => AMD_PATTERNS.iter().any(|part| kernel.contains(part)) || has_macro_tile(kernel),
            Self::Other => false,
        }
    }
}

/// Whether the name tells a macro tile, such as `_MI16x16x16x1_`.
fn has_macro_tile(kernel: &str) -> bool {
    fn digits(text: &str) -> &str {
        text.trim_start_matches(|c: char| c.is_ascii_digit())
    }
    kernel.match_indices("_MI").any(|(at, mark)| {
        let mut rest = &kernel[at + mark.len()..];
        for last in [false, false, true] {
            let after = digits(rest);
            if after.len() == rest.len() {
                return false;
            }
            if last {
                return true;
            }
            let Some(next) = after.strip_prefix('x') else {
                return false;
            };
            rest = next;
        }
        false
    })
}

/// Whether tensor cores can run an op of that name.
pub fn is_eligible_op(op_name: &str) -> bool {
    ELIGIBLE_ENDS.iter().any(|end| op_name.ends_with(end)) || ELIGIBLE_PARTS.iter().any(|part| op_name.contains(part))
}

/// Whether an einsum of that equation is a product of two tensors.
pub fn is_eligible_equation(equation: &str) -> bool {
    let mut sides = equation.split("->");
    match (sides.next(), sides.next(), sides.next()) {
        (Some(inputs), Some(_), None) => inputs.matches(',').count() == 1,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_told_by_vendor() {
        for (kernel, nvidia, amd) in [
            ("volta_fp16_s884gemm", true, false),
            ("volta_gemm_fp32", false, false),
            ("sm80_xmma_gemm_f16", true, false),
            ("Cijk_Alik_MT64x64x32_MI16x16x16x1_SN", false, true),
            ("Cijk_MI16x16_SN", false, false),
            ("_MI_MI16x16x4x1", false, true),
            ("wmma_kernel", false, true),
            ("ck::TileFmhaBwdShape<", false, true),
        ] {
            assert_eq!(Vendor::Nvidia.uses_tensor_core(kernel), nvidia, "{kernel}");
            assert_eq!(Vendor::Amd.uses_tensor_core(kernel), amd, "{kernel}");
            assert!(!Vendor::Other.uses_tensor_core(kernel));
        }
    }

    #[test]
    fn ops_are_eligible_by_name_or_equation() {
        for (name, expect) in [
            ("model/conv/Conv2D", true),
            ("model/MatMul", true),
            ("MatMul", false),
            ("a/BatchMatMulV2", true),
            ("jit(f)/dot_general", true),
            ("jit(f)/add", false),
        ] {
            assert_eq!(is_eligible_op(name), expect, "{name}");
        }
        for (equation, expect) in
            [("ab,bc->ac", true), ("ab->ba", false), ("a,b,c->abc", false), ("ab,bc", false), ("a,b->c->d", false)]
        {
            assert_eq!(is_eligible_equation(equation), expect, "{equation}");
        }
    }
}
