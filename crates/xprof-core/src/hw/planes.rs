//! Which planes of a trace are devices.

use crate::xspace::schema::plane_names;
use crate::xspace::{Plane, XSpace};

/// The device planes that op statistics are made of.
#[derive(Debug, Clone)]
pub enum DevicePlanes<'a> {
    /// At least one plane with the name prefix of TPUs; GPU planes beside them are not looked at.
    Tpu(Vec<&'a Plane>),
    /// At least one GPU plane and no TPU plane.
    Gpu(Vec<&'a Plane>),
    /// Neither.
    None,
}

impl<'a> DevicePlanes<'a> {
    /// The device planes of a trace in the order of the file.
    pub fn of(space: &'a XSpace) -> Self {
        let tpu: Vec<_> = space.planes_with_prefix(plane_names::TPU_PREFIX).collect();
        if !tpu.is_empty() {
            return Self::Tpu(tpu);
        }
        let gpu: Vec<_> = space.planes_with_prefix(plane_names::GPU_PREFIX).collect();
        if gpu.is_empty() { Self::None } else { Self::Gpu(gpu) }
    }

    /// The planes, of whatever kind.
    pub fn all(&self) -> &[&'a Plane] {
        match self {
            Self::Tpu(planes) | Self::Gpu(planes) => planes,
            Self::None => &[],
        }
    }
}
