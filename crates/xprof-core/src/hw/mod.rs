//! Device kinds: which planes are devices, what they are called and how fast they can go.
//!
//! Takes planes, gives names and peak rates. The numbers of real hardware are in [`tables`], nowhere else.
//! It must not look at lines or events.

pub mod capabilities;
pub mod planes;
pub mod tables;

pub use capabilities::{gpu_model_name, perf_env_of_gpu, perf_env_of_tpu};
pub use planes::DevicePlanes;
