"""Random op statistics and traces: the input of `random_op_stats.py`, the same for the same seed.

Numbers are often zero or equal to others and sometimes huge, and what hosts say of themselves need not fit together.
What the original leaves to chance or cannot survive is left out: equal ops in self time *and* name, kernels of no occurrence,
steps whose parts exceed them.
"""
import math
import random
import shutil

OPCODES = ["add", "multiply", "copy", "dot", "fusion", "while", "region_0", "all-reduce", "broadcast_add_fusion", "infeed", "call"]
CATEGORIES = [
    "loop fusion", "convolution fusion", "output fusion", "non-fusion elementwise", "data formatting", "copy-done", "convolution",
    "infeed", "outfeed", "infeed fusion", "all-reduce", "all-reduce fusion", "all-to-all", "all-gather", "reduce-scatter", "send",
    "recv-done", "host send", "host recv-done", "sparsecorev0 infeed", "sparsecorev0 infeed wait", "sparsecorev0 infeed transform",
    "sparsecorev0 outfeed", "megacore fusion", "async-done", "while", "call", "conditional", "custom-call", "", "unknown", "Unknown",
]
PROVENANCES = [
    "", "jit(f)/jit(main)/dot_general:", "jit(f)/transpose(jvp(x))/dot_general:", "gradient_tape/m/MatMul:MatMul", "m/Conv2D:Conv2D",
    "gradients_1/m/MatMul:MatMul", "a/transpose:transpose[permutation=(0, 1)]", "noColon", "jit(f)/add_2:", "Iterator::Map",
    "MEMCPYHToD", "jit(f)/while/body/add:Add", "/", "a:b/c:d:e", "jit(f)/rematted_computation/mul:", "x:XlaSendToHost", "é/ü:Ö", "//a//b",
]
HOST_CATEGORIES = ["Dataset", "InfeedEnqueue", "InfeedEnqueueTuple", "MemcpyHToD", "Enqueue", "READ", "preprocessing", "unknown", "Matmul", "IDLE", ""]
HOST_NAMES = ["Iterator::TFRecord", "Iterator::Prefetch::TFRecord", "Iterator::MemoryReader::ArrayRecord", "Iterator::Map", "m/MatMul:MatMul", "jit(f)/add:"]
DEVICES = {
    "cpu": [("CPU", 1)],
    "gpu": [("Nvidia GPU (Hopper)", 2), ("AMD GPU - gfx950", 2), ("GPU TPU", 2)],
    "tpu": [("TPU v4", 3), ("TPU v5p", 3), ("TPU v6 Lite", 3)],
    "odd": [("TPU v4", 0), ("gfx950", 2), ("Nvidia GPU (Hopper)", 3), ("", 0), ("TPU v5", 2), ("CPU", 3), ("a CPU", 1)],
}


class Input:
    """The op statistics and the trace of one host."""

    def __init__(self, messages, rng, kind, device, programs, begins):
        self.m, self.rng, self.kind, self.programs, self.begins = messages, rng, kind, programs, begins
        self.device_type, self.hardware = device

    def chance(self, p):
        return self.rng.random() < p

    def size(self, most=1e13):
        """A whole number: often 0 or equal to others, seldom huge, else of any magnitude."""
        case = self.rng.random()
        if case < 0.12:
            return 0
        if case < 0.3:
            return self.rng.choice([1, 1000, 1250, 1_000_000, 5_000_000_000])
        if case < 0.31:
            return min(int(most * 1000) + 1, 2**63)
        return int(math.exp(self.rng.uniform(0, math.log(most))))

    def real(self):
        return self.rng.choice([0.0, 1.0, float(self.size()), self.rng.random() * 1e9, self.rng.random() * 1e-3, 1e-30])

    def parts(self, total, n):
        """`n` whole numbers that add up to at most `total`."""
        cuts = sorted(self.rng.choice([0, total, self.rng.randint(0, total)]) for _ in range(n))
        return [b - a for a, b in zip([0, *cuts], cuts)]

    def n_ops(self):
        return self.rng.choice([0, 1, 2, 3, 5, 8, 15, 30, 30, 60, 130, 130] + [1100] * self.chance(0.1))

    def op(self, name, category, depth=0):
        rng, op = self.rng, self.m.OpMetrics(name=name, category=category)
        op.time_ps = self.size()
        op.self_time_ps = op.time_ps if self.chance(0.7) else self.rng.choice([0, op.time_ps // 3, op.time_ps + 1])
        op.normalized_time_ps = rng.choice([0, op.time_ps, op.time_ps // 2 + 1])
        op.occurrences = rng.choice([0, 1, 1, 3, 400, self.size(1e9)]) & 0xFFFFFFFF
        op.flops_v2, op.model_flops_v2 = self.real(), self.real()
        op.flops, op.model_flops = int(op.flops_v2), int(op.model_flops_v2)
        op.bytes_accessed, op.dma_stall_ps, op.min_time_ps = self.size(), rng.choice([0, op.time_ps // 7]), op.time_ps // 9
        op.provenance = rng.choice(PROVENANCES)
        op.hlo_module_id = self.programs[len(name) % len(self.programs)]
        op.is_eager, op.autotuned = self.chance(0.3), self.chance(0.2)
        op.core_type = rng.choice([0, 1, 1, 2]) if self.kind != "gpu" else 0
        op.num_cores, op.fingerprint, op.computation_primitive_size = rng.randint(0, 4), self.size(1e18), rng.randint(0, 9)
        if self.chance(0.4):
            op.deduplicated_name = rng.choice(["add", "fusion", "copy"])
        if self.chance(0.6):
            tail = rng.choice(["fusion(%p), kind=kLoop", "copy(%p)", "send-done(%p), is_host_transfer=true", 'custom-call(), x="<&>\\n"'])
            op.long_name = f"%{name}{rng.choice(['', '.remat2'])} = bf16[8,{rng.randint(1, 9)}]{{1,0}} {tail}"
        if self.chance(0.4):
            source = op.source_info
            source.file_name, source.line_number = rng.choice(["", "a/b.py", "<'x&y'>"]), rng.choice([-1, 0, 7])
            source.stack_frame = rng.choice(["", 'f\n"g"', "é"])
        if self.chance(0.3):
            op.vdd_energy_j = self.real()
        for _ in range(rng.choice([0, 0, 1, 3])):
            op.memory_accessed_breakdown.add(
                operation_type=rng.randint(0, 2), memory_space=rng.choice([0, 1, 1, 2, 3, 5]), bytes_accessed=self.size()
            )
        for _ in range(rng.choice([0, 0, 0, 2])):
            op.layout.dimensions.add(size=rng.randint(0, 99), alignment=rng.choice([0, 8, 128]), semantics=rng.randint(0, 3))
        if depth < 2 and self.chance(0.12):
            for i in range(rng.randint(1, 3)):
                op.children.metrics_db.append(self.op(f"{name}.child.{i}", rng.choice(CATEGORIES), depth + 1))
        return op

    def table(self, names, categories, n=None):
        rng, db = self.rng, self.m.OpMetricsDb()
        for i in range(self.n_ops() if n is None else n):
            bare = self.chance(0.3) and i < len(names)
            db.metrics_db.append(self.op(names[i] if bare else f"{rng.choice(names)}.{i}", rng.choice(categories)))
        if self.chance(0.5):
            idle = self.m.OpMetrics(name="IDLE", category="IDLE", time_ps=self.size(), occurrences=self.rng.choice([0, 1]))
            idle.self_time_ps = idle.time_ps
            db.metrics_db.append(idle)
        db.total_op_time_ps = sum(op.self_time_ps for op in db.metrics_db if op.category != "IDLE")
        db.total_time_ps = db.total_op_time_ps + self.size()
        db.normalized_total_op_time_ps = rng.choice([0, db.total_op_time_ps, db.total_op_time_ps // 2])
        db.idle_time_ps, db.busy_time_ps = self.size(), self.size()
        db.idle_time_high_confidence_ps, db.busy_time_high_confidence_ps = self.size(), self.size()
        if self.chance(0.5):
            db.precision_stats.compute_16bit_ps, db.precision_stats.compute_32bit_ps = self.size(), self.size()
        return db

    def breakdown(self, core, duration_ps):
        rng = self.rng
        if core >= 1_000_000 and self.chance(0.7):
            parts = self.parts(duration_ps, 4)
            return self.m.SparseCoreStepBreakdown(
                sc_compute_ps=parts[0], sc_infeed_ps=parts[1], sc_outfeed_ps=parts[2], sc_idle_ps=parts[3], sc_busy_ps=sum(parts[:3])
            )
        if self.kind in ("tpu", "odd") and self.chance(0.3):
            names = [f.name for f in self.m.TpuStepBreakdown.DESCRIPTOR.fields if f.name.endswith("_ps")]
            parts = dict(zip(rng.sample(names, len(names)), self.parts(duration_ps, len(names))))
            return self.m.TpuStepBreakdown(scv0_infeed_percent=rng.choice([0.0, 33.3, 100.0]), **parts)
        generic = self.m.GenericStepBreakdown()
        if self.kind in ("tpu", "odd"):
            names = rng.sample([c for c in CATEGORIES if c] + ["IDLE"], 6)
            if self.chance(0.3):
                names[:3] = ["sparsecorev0 infeed", "sparsecorev0 infeed wait", "sparsecorev0 infeed transform"]
            generic.category_ps.update(zip(names, self.parts(duration_ps, 6)))
        else:
            types = rng.sample(range(0, 180, 10), 6)
            generic.type_ps.update(zip(types, self.parts(duration_ps, 6)))
        return generic

    def step(self, number, begin_ps, cores):
        step = self.m.PerCoreStepInfo(step_num=number)
        for core in cores:
            info = step.step_info_per_core[core]
            info.step_num, info.begin_ps = number, begin_ps + self.rng.choice([0, 1000])
            info.duration_ps = self.rng.choice([1_000_000_000, self.rng.randint(1, 2_000_000_000)])
            info.step_name = self.rng.choice(["", "", f"train {number}"])
            info.step_breakdown.Pack(self.breakdown(core, info.duration_ps))
            for i in range(self.rng.choice([0, 0, 2])):
                start = info.begin_ps
                step.all_reduce_db_per_core[core].all_reduce_info.add(
                    id=i, all_reduce_id=i, start_time_ps=start, end_time_ps=start + self.rng.randint(0, info.duration_ps // 9)
                )
        step.hlo_metrics_db.CopyFrom(self.table(OPCODES, CATEGORIES, self.rng.choice([0, 1, 4])))
        return step

    def kernels(self, db):
        rng = self.rng
        ops = [op.name for op in db.metrics_db][:5] + ["m/MatMul", ""]
        for i in range(rng.choice([0, 3, 12])):
            n, total = rng.choice([1, 3, 7]), self.size(1e9)
            yield self.m.KernelReport(
                name=rng.choice(["ampere_h16816gemm", "copy_kernel"]) + str(i), registers_per_thread=rng.randint(0, 255),
                static_shmem_bytes=self.size(1e5) & 0xFFFF, dynamic_shmem_bytes=self.size(1e5) & 0xFFFF, block_dim=[rng.randint(1, 1024), 1, 1],
                grid_dim=[rng.randint(1, 99), 2, 1], total_duration_ns=total, min_duration_ns=total // (2 * n), max_duration_ns=total // n,
                is_kernel_using_tensor_core=self.chance(0.4), is_op_tensor_core_eligible=self.chance(0.4), op_name=rng.choice(ops),
                occurrences=n, occupancy_pct=rng.choice([0.0, 33.3333, 100.0]),
            )

    def cores(self):
        if self.kind in ("cpu", "gpu"):
            return [1]
        return self.rng.choice([[1], [2, 3], [1, 2, 1_000_001], [5]])

    def op_stats(self, host):
        rng, stats = self.rng, self.m.OpStats()
        stats.device_op_metrics_db.CopyFrom(self.table(OPCODES, CATEGORIES))
        stats.host_op_metrics_db.CopyFrom(self.table(HOST_NAMES, HOST_CATEGORIES))
        stats.host_op_metrics_db.total_host_infeed_enq_duration_ps = self.size(1e10)
        stats.host_op_metrics_db.total_host_infeed_enq_start_timestamp_ps_diff = self.size(1e10)
        env = stats.perf_env
        env.peak_tera_flops_per_second = rng.choice([0.0, 0.5, 275.0, 918.0])
        env.peak_hbm_bw_giga_bytes_per_second = rng.choice([0.0, 1228.8, 1638.0])
        env.peak_bws_giga_bytes_per_second.extend(rng.choice([0.0, 100.0, 1228.8, 7000.0]) for _ in range(rng.choice([0, 1, 3, 5, 7, 9])))
        env.has_cmem, env.has_merged_vmem, env.has_megacore = self.chance(0.4), self.chance(0.6), self.chance(0.5)
        run = stats.run_environment
        run.host_count, run.task_count = 1, rng.choice([1, 2, -1])
        run.hostnames[host] = True
        run.device_type, run.hardware_type = self.device_type, self.hardware
        run.device_core_count = rng.choice([0, 1, 2, 8, -1])
        run.replica_count, run.num_cores_per_replica = rng.choice([0, 4]), rng.choice([0, 2])
        run.is_training, run.host_trace_level = self.chance(0.7), rng.randint(0, 3)
        stats.kernel_stats_db.reports.extend(self.kernels(stats.device_op_metrics_db))
        for texts in (stats.diagnostics.info, stats.diagnostics.warnings, stats.diagnostics.errors):
            texts.extend(rng.sample(["b <x>", "a", "ü"], rng.choice([0, 0, 2])))
        if self.chance(0.5):
            stats.performance_counter_result.matrix_unit_utilization_percent = rng.choice([0.0, 55.55, -1.0])
            stats.performance_counter_result.hbm_utilization_percent = rng.choice([0.0, 12.25])
        for program in self.programs[1:]:
            stats.program_id_to_name_map[program] = rng.choice(["jit_f", "", "main"])
        self.add_steps(stats, host)
        return stats

    def add_steps(self, stats, host):
        cores = self.cores()
        for i, begin_ps in enumerate(self.begins):
            stats.step_db.step_sequence.append(self.step(7 + i, begin_ps, cores))
        stats.step_db.use_incomplete_step = self.chance(0.1)
        stats.step_db.num_steps_dropped = self.rng.choice([0, 0, 3])
        for core in cores:
            if self.chance(0.9):
                details = stats.core_id_to_details[core]
                details.hostname, details.device_ordinal, details.is_sparse_core = host, core % 10, core >= 1_000_000
        # Without this table a single host counts as one without TPUs, whose first and last of more than 5 steps are left out
        # before the original stores anything.
        if len(self.begins) > 5 or self.chance(0.6):
            stats.hlo_metrics_db_complete_steps_only.CopyFrom(self.table(OPCODES, CATEGORIES, self.rng.choice([0, 3, 9])))

    def trace(self, host):
        space = self.m.XSpace(hostnames=[host] if self.chance(0.7) else [])
        for n in range(self.rng.choice([0, 1, 2, 4])):
            space.planes.append(self.trace_plane(n))
        return space

    def trace_plane(self, n):
        rng, plane = self.rng, self.m.XPlane(id=n, name=f"/device:TPU:{n}")
        for i, name in enumerate(["group_id", "device_duration_ps", "device_offset_ps"]):
            plane.stat_metadata[i + 1].id, plane.stat_metadata[i + 1].name = i + 1, name
        for i, name in enumerate(["barrier-cores", "my-barrier-cores.1", "fusion.1", "convert_fusion", "copy", "7"]):
            plane.event_metadata[i + 1].id, plane.event_metadata[i + 1].name = i + 1, name
        steps, ops = plane.lines.add(id=1, name="Steps"), plane.lines.add(id=2, name="XLA Ops")
        others = plane.lines.add(id=3, name=rng.choice(["XLA TraceMe", "Async XLA Ops"]))
        begin_ps = 0
        for step in range(rng.choice([0, 1, 2, 2, 3, 6])):
            step_ps = rng.choice([10_000_000, rng.randint(1_000_000, 10_000_000), 99_999, 0])
            steps.events.append(self.trace_event(6, begin_ps, step_ps, step, step_ps if self.chance(0.3) else None))
            at = begin_ps
            while at < begin_ps + step_ps and self.chance(0.9):
                ps = rng.choice([1250, rng.randint(1, 3_000_000)])
                line, name = rng.choice([(ops, rng.randint(1, 5)), (others, rng.randint(1, 2))])
                duration = rng.choice([ps, ps, ps + 1, 0, 1250, None])
                line.events.append(self.trace_event(name, at, ps, step if self.chance(0.9) else None, duration))
                at += ps
            begin_ps += max(step_ps, at - begin_ps)
        return plane

    def trace_event(self, name, begin_ps, ps, group, device_ps):
        event = self.m.XEvent(metadata_id=name, offset_ps=begin_ps, duration_ps=ps)
        if group is not None:
            event.stats.add(metadata_id=1, int64_value=group)
        if device_ps is not None:
            event.stats.add(metadata_id=3, uint64_value=begin_ps)
            stat = event.stats.add(metadata_id=2)
            if self.chance(0.05):
                stat.int64_value = device_ps
            else:
                stat.uint64_value = device_ps
        return event


def write_input(messages, seed, folder):
    rng = random.Random(seed)
    kind = rng.choice(["cpu", "gpu", "tpu", "tpu", "odd"])
    device = rng.choice(DEVICES[kind])
    programs = rng.sample([1, 8, 12190760917235803885, 2**64 - 1], rng.randint(1, 3))
    n_hosts = rng.choice([1, 1, 1, 2, 3, 4])
    n_steps = rng.choice([0, 1, 2, 4, 8])
    begins = [1_000_000_000 + 2_000_000_000 * i for i in range(n_steps)]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for i in range(n_hosts):
        host = f"host{i}"
        first = rng.randint(0, 1) if n_steps > 2 and n_hosts > 1 else 0
        made = Input(messages, rng, kind, device, programs, begins[first:])
        (folder / f"{host}.op_stats_v2.pb").write_bytes(made.op_stats(host).SerializeToString(deterministic=True))
        (folder / f"{host}.xplane.pb").write_bytes(made.trace(host).SerializeToString(deterministic=True))
    return kind, n_hosts, n_steps
