//! What a span of time means for a step on hosts and GPUs.

/// A kind of event; the number is its priority where spans overlap, and its key in a step's breakdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventType(pub i32);

impl EventType {
    /// Time in which nothing known happened.
    pub const UNKNOWN: Self = Self(0);
    /// Work on the host.
    pub const HOST_COMPUTE: Self = Self(10);
    /// Compiling on the host.
    pub const HOST_COMPILE: Self = Self(60);
    /// Copies inside host memory.
    pub const HOST_TO_HOST: Self = Self(70);
    /// Copies to a device.
    pub const HOST_TO_DEVICE: Self = Self(80);
    /// The host prepares launches.
    pub const HOST_PREPARE: Self = Self(90);
    /// Collectives.
    pub const DEVICE_COLLECTIVES: Self = Self(100);
    /// The host waits for input.
    pub const HOST_WAIT_INPUT: Self = Self(110);
    /// Copies between devices.
    pub const DEVICE_TO_DEVICE: Self = Self(120);
    /// Copies from a device.
    pub const DEVICE_TO_HOST: Self = Self(130);
    /// Kernels of 32-bit and wider numbers.
    pub const DEVICE_COMPUTE_32: Self = Self(140);
    /// Kernels of 16-bit numbers.
    pub const DEVICE_COMPUTE_16: Self = Self(150);
    /// A device waits for another one.
    pub const DEVICE_WAIT_DEVICE: Self = Self(160);
    /// A device waits for its host.
    pub const DEVICE_WAIT_HOST: Self = Self(170);

    /// Kinds are multiples of ten, and each has a slot.
    pub const N_SLOTS: usize = 18;

    /// The kind's place in a list of all.
    pub fn slot(self) -> usize {
        (self.0 / 10) as usize
    }

    /// The kind of a slot below [`Self::N_SLOTS`].
    pub fn of_slot(slot: usize) -> Self {
        Self(slot as i32 * 10)
    }
}
