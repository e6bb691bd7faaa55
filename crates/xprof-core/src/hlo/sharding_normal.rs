//! Shardings in the form in which they are printed.
//!
//! Protos can say one sharding in several ways; this gives the one way that HLO text uses.

use super::HloError;
use super::proto::Ints;
use super::sharding::{NamedSharding, OpSharding, ShardingKind};
use super::tile_order::{TileOrder, product};

/// A sharding that is no tuple, in normal form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Normal {
    /// Replicated, manual, unknown or unreduced.
    Simple(ShardingKind),
    /// Everything on one device.
    Maximal(i64),
    /// Tiles.
    Tiled {
        /// Number of tiles per dimension; the last ones divide no data.
        dims: Ints,
        /// The devices.
        order: TileOrder,
        /// Kinds of the dimensions that divide no data.
        last: Vec<ShardingKind>,
    },
}

/// Checks what printing relies on, so that a bad sharding is found when the module is read.
pub(crate) fn check(sharding: &OpSharding) -> Result<(), HloError> {
    sharding.tuple.iter().try_for_each(check)?;
    if let Some(named) = &sharding.named {
        return check_named(named);
    }
    match sharding.kind {
        ShardingKind::Tiled => {}
        ShardingKind::Maximal if sharding.devices.len() != 1 => {
            return Err(HloError::invalid("a maximal sharding is on one device"));
        }
        _ => return Ok(()),
    }
    let total = product(&sharding.tile_dims);
    let devices = if sharding.devices.is_empty() {
        TileOrder::from_iota(&sharding.iota_reshape, &sharding.iota_perm)?;
        product(&sharding.iota_reshape)
    } else {
        sharding.devices.len() as i64
    };
    let positive = sharding.tile_dims.iter().all(|&dim| dim > 0);
    let one_notation = !sharding.replicate_last || sharding.last_tile_dims.is_empty();
    if positive && one_notation && total == devices && sharding.last_tile_dims.len() <= sharding.tile_dims.len() {
        Ok(())
    } else {
        Err(HloError::invalid("tile assignment has the wrong number of devices"))
    }
}

/// Every axis must exist, and a whole axis can be used only once.
fn check_named(named: &NamedSharding) -> Result<(), HloError> {
    let mut used = vec![false; named.mesh.axes.len()];
    let dims = named.dims.iter().flat_map(|(axes, _)| axes);
    for axis in dims.chain(&named.replicated).chain(&named.unreduced).chain(&named.manual) {
        let slot = usize::try_from(axis.axis).ok().and_then(|at| used.get_mut(at));
        let slot = slot.ok_or_else(|| HloError::invalid("sharding by an axis that the mesh does not have"))?;
        if axis.part.is_none() && std::mem::replace(slot, true) {
            return Err(HloError::invalid("sharding uses an axis twice"));
        }
    }
    Ok(())
}

/// The normal form of a sharding that is no tuple and not by mesh axes.
pub(crate) fn normal(sharding: &OpSharding) -> Normal {
    match sharding.kind {
        ShardingKind::Maximal => Normal::Maximal(sharding.devices.first().copied().unwrap_or(0)),
        ShardingKind::Tiled => tiled(sharding),
        kind => Normal::Simple(kind),
    }
}

fn tiled(sharding: &OpSharding) -> Normal {
    let replicated = Normal::Simple(ShardingKind::Replicated);
    let mut dims = sharding.tile_dims.clone();
    if product(&dims) == 1 {
        return replicated;
    }
    let mut order = if sharding.devices.is_empty() {
        let order = TileOrder::from_iota(&sharding.iota_reshape, &sharding.iota_perm);
        order.unwrap_or(TileOrder::List(Vec::new()))
    } else {
        TileOrder::List(sharding.devices.clone())
    };
    if sharding.replicate_last {
        let Some((&group, data)) = dims.split_last() else {
            return replicated;
        };
        if product(data) == 1 {
            return replicated;
        }
        order.sort_groups(group);
        if group == 1 {
            dims.pop();
            return Normal::Tiled { dims, order, last: Vec::new() };
        }
        return Normal::Tiled { dims, order, last: vec![ShardingKind::Replicated] };
    }
    let kinds = &sharding.last_tile_dims;
    let n_data = dims.len().saturating_sub(kinds.len());
    if let Some(&first) = kinds.first()
        && matches!(first, ShardingKind::Manual | ShardingKind::Unreduced | ShardingKind::Replicated)
        && kinds.iter().all(|&kind| kind == first)
        && product(&dims[..n_data]) == 1
    {
        return Normal::Simple(first);
    }
    // Dimensions of one tile say nothing; equal kinds stand together, in a fixed order of kinds.
    let mut subgroups: Vec<usize> = (n_data..dims.len()).filter(|&at| dims[at] != 1).collect();
    subgroups.sort_by_key(|&at| kinds.get(at - n_data).map(|&kind| rank(kind)));
    let dropped = (n_data..dims.len()).filter(|&at| dims[at] == 1);
    let perm: Vec<usize> = (0..n_data).chain(dropped).chain(subgroups.iter().copied()).collect();
    order.transpose(&dims, &perm);
    let mut last: Vec<ShardingKind> = Vec::new();
    let mut sizes: Ints = dims[..n_data].into();
    for at in subgroups {
        let kind = kinds.get(at - n_data).copied().unwrap_or(ShardingKind::Replicated);
        match sizes.last_mut() {
            Some(size) if last.last() == Some(&kind) => *size = size.saturating_mul(dims[at]),
            _ => {
                last.push(kind);
                sizes.push(dims[at]);
            }
        }
    }
    // Among devices that hold the same the order does not matter, so it is made the natural one.
    if last.last() == Some(&ShardingKind::Replicated) {
        order.sort_groups(sizes.last().copied().unwrap_or(1));
    }
    Normal::Tiled { dims: sizes, order, last }
}

/// The order of kinds among the dimensions that divide no data.
fn rank(kind: ShardingKind) -> u8 {
    match kind {
        ShardingKind::Maximal => 0,
        ShardingKind::Manual => 1,
        ShardingKind::Unreduced => 2,
        ShardingKind::Replicated => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_tiled(dims: &[i64], kinds: &[ShardingKind], expect: &str) {
        let sharding = OpSharding {
            kind: ShardingKind::Tiled,
            tile_dims: dims.into(),
            iota_reshape: [product(dims)].as_slice().into(),
            iota_perm: [0].as_slice().into(),
            last_tile_dims: kinds.to_vec(),
            ..OpSharding::default()
        };
        assert_eq!(check(&sharding), Ok(()));
        let got = match normal(&sharding) {
            Normal::Simple(kind) => kind.name().to_owned(),
            Normal::Maximal(device) => device.to_string(),
            Normal::Tiled { dims, last, .. } => format!("{:?} {last:?}", dims.as_slice()),
        };
        assert_eq!(got, expect, "{dims:?}");
    }

    #[test]
    fn normalises_tiles() {
        use ShardingKind::{Manual, Replicated};
        check_tiled(&[1, 1], &[], "replicated");
        check_tiled(&[2, 2], &[], "[2, 2] []");
        check_tiled(&[1, 4], &[Manual], "manual");
        check_tiled(&[2, 2, 2], &[Replicated, Manual], "[2, 2, 2] [Manual, Replicated]");
        check_tiled(&[2, 2, 1, 2], &[Manual, Manual, Manual], "[2, 4] [Manual]");
    }
}
