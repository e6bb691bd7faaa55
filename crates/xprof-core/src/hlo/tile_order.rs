//! The order of devices over tiles, in the compact notation or as a list.
//!
//! A compact order is a box of consecutive numbers that is read in another order of its dimensions.
//! It is kept as (stride, size) pairs in reading order, slowest first: splitting, sorting, moving and merging dimensions are then
//! simple list operations, and a device list is only made when a box cannot express the result.

use smallvec::SmallVec;

use super::HloError;
use super::proto::Ints;

/// Device lists longer than this are not expanded from the compact notation.
const MAX_DEVICES: i64 = 1 << 20;

/// Device numbers in reading order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TileOrder {
    /// Stride and size of each dimension of a box.
    Strided(SmallVec<[(i64, i64); 4]>),
    /// The numbers.
    List(Vec<i64>),
}

/// The product of sizes, saturating.
pub(crate) fn product(sizes: &[i64]) -> i64 {
    sizes.iter().fold(1i64, |n, &size| n.saturating_mul(size))
}

impl TileOrder {
    /// The order that the compact notation of protos describes.
    pub(crate) fn from_iota(reshape: &[i64], perm: &[i64]) -> Result<Self, HloError> {
        let bad = || HloError::invalid("iota dimensions and their permutation disagree");
        if reshape.len() != perm.len() || reshape.iter().any(|&size| size < 1) {
            return Err(bad());
        }
        let mut strides: Ints = Ints::from_elem(1, reshape.len());
        for at in (1..reshape.len()).rev() {
            strides[at - 1] = strides[at].saturating_mul(reshape[at]);
        }
        let mut seen: Ints = Ints::from_elem(0, reshape.len());
        let mut dims = SmallVec::new();
        for &from in perm {
            let from = usize::try_from(from).ok().filter(|&from| from < reshape.len()).ok_or_else(bad)?;
            if std::mem::replace(&mut seen[from], 1) != 0 {
                return Err(bad());
            }
            dims.push((strides[from], reshape[from]));
        }
        Ok(Self::Strided(dims))
    }

    /// Cuts the order into groups of `size` and sorts the devices inside each.
    pub(crate) fn sort_groups(&mut self, size: i64) {
        if size < 2 {
            return;
        }
        if let Self::Strided(dims) = self
            && let Some(start) = split_before(dims, size)
        {
            dims[start..].sort_unstable_by_key(|&(stride, _)| std::cmp::Reverse(stride));
            return;
        }
        self.expand();
        if let Self::List(devices) = self {
            devices.chunks_mut(size as usize).for_each(<[i64]>::sort_unstable);
        }
    }

    /// Reads the box of tiles, of these sizes, in another order of its dimensions.
    pub(crate) fn transpose(&mut self, sizes: &[i64], perm: &[usize]) {
        if perm.is_sorted() {
            return;
        }
        if let Self::Strided(dims) = self
            && let Some(blocks) = blocks(dims, sizes)
        {
            *dims = perm.iter().filter_map(|&from| blocks.get(from)).flatten().copied().collect();
            return;
        }
        self.expand();
        if let Self::List(devices) = self {
            let mut strides: Ints = Ints::from_elem(1, sizes.len());
            for at in (1..sizes.len()).rev() {
                strides[at - 1] = strides[at].saturating_mul(sizes[at]);
            }
            let dims = perm.iter().map(|&from| (strides[from], sizes[from])).collect();
            let places = numbers(&dims);
            *devices = places.iter().filter_map(|&at| devices.get(at as usize)).copied().collect();
        }
    }

    /// Turns a box into a list, unless the list would be absurdly long.
    fn expand(&mut self) {
        if let Self::Strided(dims) = self {
            let n = dims.iter().fold(1i64, |n, &(_, size)| n.saturating_mul(size));
            if n <= MAX_DEVICES {
                *self = Self::List(numbers(dims));
            }
        }
    }

    /// The shortest box that reads the same: its dimensions and the order in which they are read.
    pub(crate) fn canonical(dims: &[(i64, i64)]) -> (Ints, Vec<usize>) {
        let mut merged: SmallVec<[(i64, i64); 4]> = SmallVec::new();
        for &(stride, size) in dims.iter().filter(|&&(_, size)| size != 1) {
            match merged.last_mut() {
                Some(last) if last.0 == stride.saturating_mul(size) => {
                    *last = (stride, last.1.saturating_mul(size));
                }
                _ => merged.push((stride, size)),
            }
        }
        let mut by_stride: Vec<usize> = (0..merged.len()).collect();
        by_stride.sort_unstable_by_key(|&at| std::cmp::Reverse(merged[at].0));
        let sizes = by_stride.iter().map(|&at| merged[at].1).collect();
        let mut perm = vec![0; merged.len()];
        for (place, &at) in by_stride.iter().enumerate() {
            perm[at] = place;
        }
        (sizes, perm)
    }
}

/// The numbers of a box in reading order.
fn numbers(dims: &SmallVec<[(i64, i64); 4]>) -> Vec<i64> {
    let mut numbers = vec![0i64];
    for &(stride, size) in dims {
        numbers = numbers.iter().flat_map(|&n| (0..size).map(move |i| n.saturating_add(i * stride))).collect();
    }
    numbers
}

/// Splits a dimension if needed so that the last dimensions hold exactly `size` numbers; the position of the first of them.
fn split_before(dims: &mut SmallVec<[(i64, i64); 4]>, size: i64) -> Option<usize> {
    let (mut at, mut rest) = (dims.len(), size);
    while rest > 1 {
        at = at.checked_sub(1)?;
        let (stride, have) = dims[at];
        if rest % have == 0 {
            rest /= have;
        } else if have % rest == 0 {
            dims[at] = (stride.saturating_mul(rest), have / rest);
            dims.insert(at + 1, (stride, rest));
            return Some(at + 1);
        } else {
            return None;
        }
    }
    Some(at)
}

/// The parts of the box that each dimension of the tiles covers, `None` if they cut across each other.
fn blocks(dims: &SmallVec<[(i64, i64); 4]>, sizes: &[i64]) -> Option<Vec<Vec<(i64, i64)>>> {
    let mut rest = dims.clone();
    let mut blocks = Vec::new();
    for &size in sizes.iter().rev() {
        let start = split_before(&mut rest, size)?;
        blocks.push(rest.drain(start..).collect());
    }
    blocks.reverse();
    rest.iter().all(|&(_, size)| size == 1).then_some(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(order: &TileOrder, expect: &str) {
        let got = match order {
            TileOrder::Strided(dims) => {
                let (sizes, perm) = TileOrder::canonical(dims);
                format!("{:?}T{perm:?}", sizes.as_slice())
            }
            TileOrder::List(devices) => format!("{devices:?}"),
        };
        assert_eq!(got, expect);
    }

    #[test]
    fn works_on_boxes() {
        let iota = |reshape: &[i64], perm: &[i64]| TileOrder::from_iota(reshape, perm).expect("valid");
        check(&iota(&[2, 1, 4], &[0, 1, 2]), "[8]T[0]");
        check(&iota(&[2, 2, 2], &[0, 2, 1]), "[2, 2, 2]T[0, 2, 1]");
        check(&iota(&[1], &[0]), "[]T[]");
        let mut order = iota(&[2, 2, 2], &[2, 1, 0]);
        order.sort_groups(4);
        check(&order, "[4, 2]T[1, 0]");
        let mut order = iota(&[4, 2], &[0, 1]);
        order.transpose(&[2, 2, 2], &[0, 2, 1]);
        check(&order, "[2, 2, 2]T[0, 2, 1]");
        let mut order = iota(&[6], &[0]);
        order.sort_groups(4);
        check(&order, "[0, 1, 2, 3, 4, 5]");
        let mut order = TileOrder::List(vec![3, 2, 1, 0]);
        order.sort_groups(2);
        check(&order, "[2, 3, 0, 1]");
        order.transpose(&[2, 2], &[1, 0]);
        check(&order, "[2, 0, 3, 1]");
        assert!(TileOrder::from_iota(&[2, 2], &[0, 0]).is_err());
        assert!(TileOrder::from_iota(&[2, 2], &[]).is_err());
    }
}
