//! Shardings and meshes as text.

use super::origin::Origin;
use super::shape::elements;
use super::writer::Writer;
use crate::hlo::replica_groups::{AxisRef, Mesh};
use crate::hlo::sharding::{NamedSharding, OpSharding, ShardingKind};
use crate::hlo::sharding_normal::{Normal, normal};
use crate::hlo::tile_order::TileOrder;

/// Appends a sharding in normal form, with where it was written if `origin` is given.
pub(crate) fn sharding(out: &mut Writer, sharding: &OpSharding, origin: Option<&Origin<'_>>) {
    if sharding.kind == ShardingKind::Tuple {
        out.push("{");
        elements(out, &sharding.tuple, |out, element| self::sharding(out, element, origin));
        return out.push("}");
    }
    out.push("{");
    let mut is_unreduced = false;
    if let Some(named) = &sharding.named {
        self::named(out, named);
    } else {
        let normal = normal(sharding);
        leaf(out, &normal);
        is_unreduced = match &normal {
            Normal::Simple(kind) => *kind == ShardingKind::Unreduced,
            Normal::Tiled { last, .. } => last.contains(&ShardingKind::Unreduced),
            Normal::Maximal(_) => false,
        };
    }
    if let Some((id, follows)) = sharding.shard_group {
        out.format(format_args!(" {} {id}", if follows { "shard_like" } else { "shard_as" }));
    }
    if let Some(origin) = origin {
        metadata(out, sharding, is_unreduced, origin);
    }
    out.push("}");
}

/// Appends where a sharding was written. How partial results are combined counts as such a place.
fn metadata(out: &mut Writer, sharding: &OpSharding, is_unreduced: bool, origin: &Origin<'_>) {
    let places = sharding.metadata.iter().map(Some).chain(is_unreduced.then_some(None));
    let n = sharding.metadata.len() + usize::from(is_unreduced);
    if n == 0 {
        return;
    }
    out.push(" metadata={");
    out.list(", ", places, |out, place| {
        out.push(if n > 1 { "{" } else { "" });
        match place {
            Some(place) => origin.print(out, place),
            None => out.push("op_type=\"sdy::reduction_op\" op_name=\"SUM\""),
        }
        out.push(if n > 1 { "}" } else { "" });
    });
    out.push("}");
}

fn leaf(out: &mut Writer, normal: &Normal) {
    match normal {
        Normal::Simple(kind) => out.push(kind.name()),
        Normal::Maximal(device) => out.format(format_args!("maximal device={device}")),
        Normal::Tiled { dims, order, last } => {
            out.push("devices=[");
            out.list(",", dims, |out, &dim| out.int(dim));
            out.push("]");
            match order {
                TileOrder::List(devices) => out.list(",", devices, |out, &device| out.int(device)),
                TileOrder::Strided(dims) => iota(out, dims),
            }
            match last.as_slice() {
                [] => {}
                [ShardingKind::Replicated] => out.push(" last_tile_dim_replicate"),
                kinds => {
                    out.push(" last_tile_dims={");
                    out.list(", ", kinds, |out, kind| out.push(subgroup_name(*kind)));
                    out.push("}");
                }
            }
        }
    }
}

/// The word for a kind of devices inside a tiled sharding; only three kinds make sense there.
fn subgroup_name(kind: ShardingKind) -> &'static str {
    match kind {
        ShardingKind::Replicated | ShardingKind::Maximal | ShardingKind::Manual | ShardingKind::Unreduced => {
            kind.name()
        }
        _ => "error_type.",
    }
}

/// Appends `<=[4,2]T(1,0)` for a box in reading order.
pub(crate) fn iota(out: &mut Writer, dims: &[(i64, i64)]) {
    let (sizes, perm) = TileOrder::canonical(dims);
    out.push("<=[");
    if sizes.is_empty() {
        out.push("1");
    }
    out.list(",", &sizes, |out, &size| out.int(size));
    out.push("]");
    if perm.len() > 1 {
        out.push("T(");
        out.list(",", &perm, |out, &at| out.int(at as i64));
        out.push(")");
    }
}

/// Appends `mesh['x'=2,'y'=4]`.
pub(crate) fn mesh(out: &mut Writer, mesh: &Mesh) {
    out.push("mesh[");
    out.list(",", &mesh.axes, |out, (name, size)| {
        out.format(format_args!("'{name}'={size}"));
    });
    out.push("]");
    if !mesh.device_ids.is_empty() {
        out.push(", device_ids=(");
        out.list(",", &mesh.device_ids, |out, &id| out.int(id));
        out.push(")");
    } else if let Some((dims, perm)) = mesh.device_iota.as_ref().filter(|(_, perm)| !perm.is_sorted()) {
        out.push(", device_ids=([");
        out.list(",", dims, |out, &dim| out.int(dim));
        out.push("]T(");
        out.list(",", perm, |out, &at| out.int(at));
        out.push("))");
    }
}

/// Appends `{'x','y':(1)2}` without the braces.
pub(crate) fn axes(out: &mut Writer, mesh: &Mesh, list: &[AxisRef], separator: &str) {
    out.list(separator, list, |out, axis| {
        let name = usize::try_from(axis.axis).ok().and_then(|at| mesh.axes.get(at)).map_or("", |(name, _)| name);
        out.format(format_args!("'{name}'"));
        if let Some((before, size)) = axis.part {
            out.format(format_args!(":({before}){size}"));
        }
    });
}

fn named(out: &mut Writer, named: &NamedSharding) {
    let mesh = &named.mesh;
    if let ([], [device]) = (mesh.axes.as_slice(), mesh.device_ids.as_slice()) {
        return out.format(format_args!("single_device[device_id={device}]"));
    }
    self::mesh(out, mesh);
    out.push(", ");
    let all_axes = [&named.replicated, &named.unreduced, &named.manual];
    if mesh.axes.is_empty() || (named.dims.is_empty() && all_axes.iter().all(|axes| axes.is_empty())) {
        return out.push("replicated");
    }
    out.push("[");
    out.list(", ", &named.dims, |out, (list, open)| {
        out.push("{");
        axes(out, mesh, list, ", ");
        if *open {
            out.push(if list.is_empty() { "?" } else { ", ?" });
        }
        out.push("}");
    });
    out.push("]");
    let reduction = match named.reduction {
        1 => "unreduced=max",
        2 => "unreduced=min",
        _ => "unreduced=",
    };
    for (word, list) in [("replicated=", &named.replicated), (reduction, &named.unreduced), ("manual=", &named.manual)]
    {
        if !list.is_empty() {
            out.format(format_args!(", {word}{{"));
            axes(out, mesh, list, ", ");
            out.push("}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &OpSharding, expect: &str) {
        let mut out = Writer::new(1000);
        sharding(&mut out, value, None);
        assert_eq!(out.finish(), expect);
    }

    fn tiled(dims: &[i64], devices: &[i64]) -> OpSharding {
        OpSharding {
            kind: ShardingKind::Tiled,
            tile_dims: dims.into(),
            devices: devices.to_vec(),
            ..OpSharding::default()
        }
    }

    #[test]
    fn prints_shardings() {
        check(&OpSharding::default(), "{replicated}");
        check(&tiled(&[2, 2], &[0, 1, 2, 3]), "{devices=[2,2]0,1,2,3}");
        let partial = OpSharding { replicate_last: true, ..tiled(&[2, 1, 2], &[1, 0, 2, 3]) };
        check(&partial, "{devices=[2,1,2]0,1,2,3 last_tile_dim_replicate}");
        let iota = OpSharding {
            iota_reshape: [2, 2, 2].as_slice().into(),
            iota_perm: [2, 1, 0].as_slice().into(),
            replicate_last: true,
            shard_group: Some((7, true)),
            ..tiled(&[2, 1, 4], &[])
        };
        check(&iota, "{devices=[2,1,4]<=[4,2]T(1,0) last_tile_dim_replicate shard_like 7}");
        let tuple = OpSharding {
            kind: ShardingKind::Tuple,
            tuple: vec![OpSharding::default(), OpSharding { kind: ShardingKind::Unknown, ..OpSharding::default() }],
            ..OpSharding::default()
        };
        check(&tuple, "{{replicated}, {unknown}}");
    }

    #[test]
    fn prints_mesh_axes() {
        let mesh = Mesh { axes: vec![("x".into(), 2), ("y".into(), 4)], ..Mesh::default() };
        let x = AxisRef { axis: 0, part: None };
        let y = AxisRef { axis: 1, part: Some((1, 2)) };
        let named = NamedSharding {
            mesh,
            dims: vec![(vec![x], false), (vec![y], true)],
            replicated: vec![AxisRef { axis: 1, part: None }],
            ..NamedSharding::default()
        };
        let value = OpSharding { named: Some(Box::new(named)), ..OpSharding::default() };
        check(&value, "{mesh['x'=2,'y'=4], [{'x'}, {'y':(1)2, ?}], replicated={'y'}}");
    }
}
