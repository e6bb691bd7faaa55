//! Tests of what the service relies on in the generated code.

use std::collections::BTreeMap;

use prost::Message;
use prost_types::{Any, FileDescriptorSet};

use crate::DESCRIPTOR_SET;
use crate::tensorflow::profiler::{
    CoreDetails, GenericStepBreakdown, HardwareType, OpMetrics, OpMetricsDb, OpStats, PerCoreStepInfo, RunEnvironment,
    StepDatabaseResult, StepInfoResult, XEventMetadata, XPlane, XSpace, XStat, x_stat,
};

fn op_stats() -> OpStats {
    let breakdown =
        GenericStepBreakdown { type_ps: [(140, 20), (0, 10)].into(), category_ps: [("fusion".to_owned(), 20)].into() };
    let step = StepInfoResult {
        step_num: 1,
        duration_ps: 30,
        step_breakdown: Some(Any::from_msg(&breakdown).unwrap()),
        ..Default::default()
    };
    let op = OpMetrics {
        name: "fusion.1".to_owned(),
        self_time_ps: u64::MAX,
        vdd_energy_j: Some(0.0),
        children: Some(OpMetricsDb::default()),
        ..Default::default()
    };
    OpStats {
        device_op_metrics_db: Some(OpMetricsDb { metrics_db: vec![op], total_time_ps: 40, ..Default::default() }),
        step_db: Some(StepDatabaseResult {
            step_sequence: vec![PerCoreStepInfo {
                step_num: 1,
                step_info_per_core: [(3, step.clone()), (1, step)].into(),
                ..Default::default()
            }],
            ..Default::default()
        }),
        run_environment: Some(RunEnvironment {
            hostnames: [("host1".to_owned(), true), ("host0".to_owned(), true)].into(),
            hardware_type: HardwareType::Tpu.into(),
            ..Default::default()
        }),
        core_id_to_details: (0..9).map(|core| (core, CoreDetails { core_num: core, ..Default::default() })).collect(),
        program_id_to_name_map: [(u64::MAX, "jit_f".to_owned())].into(),
        ..Default::default()
    }
}

#[test]
fn op_stats_survive_a_round_trip() {
    let stats = op_stats();
    let encoded = stats.encode_to_vec();
    let decoded = OpStats::decode(encoded.as_slice()).unwrap();
    assert_eq!(decoded, stats);
    assert_eq!(decoded.encode_to_vec(), encoded);

    let step = &decoded.step_db.unwrap().step_sequence[0].step_info_per_core[&3];
    let breakdown: GenericStepBreakdown = step.step_breakdown.as_ref().unwrap().to_msg().unwrap();
    assert_eq!(breakdown.type_ps, BTreeMap::from([(0, 10), (140, 20)]));
}

#[test]
fn the_last_of_equal_map_keys_wins() {
    // Two entries of XPlane.stat_metadata with key 7: {key 7, value {id 7, name "a" or "b"}}.
    let entry = |name: u8| [0x2a, 9, 0x08, 7, 0x12, 5, 0x08, 7, 0x12, 1, name];
    let plane = [entry(b'a'), entry(b'b')].concat();
    let mut file = vec![0x0a, u8::try_from(plane.len()).unwrap()];
    file.extend(&plane);

    let space = XSpace::decode(file.as_slice()).unwrap();
    let metadata = &space.planes[0].stat_metadata;
    assert_eq!(metadata.len(), 1);
    assert_eq!((metadata[&7].id, metadata[&7].name.as_str()), (7, "b"));

    let encoded = space.encode_to_vec();
    assert_eq!(encoded[2..], entry(b'b'));
    assert_eq!(XSpace::decode(encoded.as_slice()).unwrap(), space);
}

#[test]
fn stat_values_have_their_numbers() {
    let stat = |value| XStat { metadata_id: 1, value: Some(value) }.encode_to_vec();
    assert_eq!(stat(x_stat::Value::StrValue("x".to_owned())), [0x08, 1, 0x2a, 1, b'x']);
    assert_eq!(stat(x_stat::Value::RefValue(5)), [0x08, 1, 0x38, 5]);
    assert_eq!(stat(x_stat::Value::CompressedStrValue("x".into())), [0x08, 1, 0x42, 1, b'x']);
}

#[test]
fn equal_messages_have_equal_bytes() {
    let plane = |keys: [i64; 3]| XPlane {
        event_metadata: keys.into_iter().map(|key| (key, XEventMetadata::default())).collect(),
        ..Default::default()
    };
    assert_eq!(plane([1, 2, 3]).encode_to_vec(), plane([3, 1, 2]).encode_to_vec());
}

#[test]
fn descriptors_name_both_services() {
    let set = FileDescriptorSet::decode(DESCRIPTOR_SET).unwrap();
    let mut services: Vec<String> = set
        .file
        .iter()
        .flat_map(|file| file.service.iter().map(|service| format!("{}.{}", file.package(), service.name())))
        .collect();
    services.sort();
    assert_eq!(services, ["xprof.pywrap.XprofAnalysisWorkerService", "xprof.worker.v1.Worker"]);
}
