"""Make random op statistics and traces, and record what the original makes of them.

    python -m venv VENV && VENV/bin/pip install xprof==2.24.2 grpcio-tools
    VENV/bin/python tests/oracle/random_op_stats.py [--seeds 0-99] [--out target/oracle/random]

Writes one folder per seed: OUT/SEED/HOST.op_stats_v2.pb and HOST.xplane.pb (the input), HOSTS (their order), TOOL.json or
TOOL,NAME=VALUE.json (the answer), HOST.NAME.fractions (shares of steps of the events called NAME) and ALL_HOSTS.op_stats_v2.pb (all hosts as one). Then
`cargo test -p xprof-core --test random_oracle` compares what this project makes of the same input.

The original reads op statistics that it finds beside a trace, so any can be put before it: of a single host as the file of
all hosts, of several through a worker of our own that answers with them. Only `smart_suggestion` reads the traces.
The input is made by `random_inputs.py`.
"""
import argparse
import concurrent.futures
import importlib
import importlib.metadata
import os
import pathlib
import shutil
import sys
import tempfile

from original import VERSION, Original, get
from random_inputs import write_input

ROOT = pathlib.Path(__file__).resolve().parents[2]
METHOD = "/xprof.pywrap.XprofAnalysisWorkerService/GetProfileData"
TOOLS = [
    "framework_op_stats", "hlo_stats", "input_pipeline_analyzer", "kernel_stats", "op_profile", "overview_page", "pod_viewer",
    "roofline_model", "smart_suggestion", "op_profile,group_by=category", "op_profile,group_by=provenance",
]
EVENT_NAMES = ["barrier-cores", "fusion"]


def load_messages(folder):
    """Compiles the project's definitions; gives a namespace that finds each message by its name."""
    from grpc_tools import protoc

    files = [str(f.relative_to(ROOT / "proto")) for f in sorted((ROOT / "proto" / "xprof").glob("*.proto"))]
    well_known = importlib.import_module("grpc_tools").__path__[0] + "/_proto"
    if protoc.main(["", f"-I{ROOT / 'proto'}", f"-I{well_known}", f"--python_out={folder}", *files]) != 0:
        sys.exit("the definitions do not compile")
    # The installed xprof is a package of the same name; this one must be a whole package to come first.
    pathlib.Path(folder, "xprof", "__init__.py").touch()
    sys.path.insert(0, str(folder))
    modules = [importlib.import_module(f.removesuffix(".proto").replace("/", ".") + "_pb2") for f in files]

    class Messages:
        def __getattr__(self, name):
            return next(getattr(m, name) for m in modules if hasattr(m, name))

    return Messages()

def start_worker(messages, address, made, back):
    """A worker that answers with the op statistics in `made`, and hands everything else on to the original's own at `back`."""
    import grpc

    channel = grpc.insecure_channel(back)
    forward = channel.unary_unary(METHOD, lambda r: r.SerializeToString(), lambda b: b)

    def answer(request, _context):
        if request.origin_request.tool_name == "event_time_fraction_analyzer":
            return forward(request)
        trace = pathlib.Path(request.origin_request.session_id)
        name = trace.name.replace(".xplane.pb", ".op_stats_v2.pb")
        shutil.copy(made / trace.parent.name / name, trace.with_name(name))
        return messages.WorkerProfileDataResponse(output=str(trace.with_name(name)).encode()).SerializeToString()

    handler = grpc.unary_unary_rpc_method_handler(answer, messages.WorkerProfileDataRequest.FromString, lambda b: b)
    service, method = METHOD.strip("/").split("/")
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {method: handler})])
    server.add_insecure_port(address)
    server.start()
    return server, forward


def record(messages, original, logdir, forward, seed, out):
    """Asks for every tool; gives the names of those that were not answered."""
    run = pathlib.Path(logdir, "plugins/profile", str(seed))
    run.mkdir(parents=True)
    (run / "cache_version.txt").write_text(VERSION)
    for trace in out.glob("*.xplane.pb"):
        shutil.copy(trace, run)
    # Hosts are combined in the order of the directory.
    hosts = [f.removesuffix(".xplane.pb") for f in os.listdir(run) if f.endswith(".xplane.pb")]
    (out / "HOSTS").write_text("\n".join(hosts))
    if len(hosts) == 1:
        shutil.copy(out / f"{hosts[0]}.op_stats_v2.pb", run / "ALL_HOSTS.op_stats_v2.pb")
    missing = []
    for name in TOOLS:
        tool, *options = name.split(",")
        original.start()
        answer = get(original.url + "data?" + "&".join([f"run={seed}", f"tag={tool}", "host=ALL_HOSTS", *options]))
        if answer is None:
            missing.append(name)
        else:
            (out / f"{name}.json").write_bytes(answer)
    for host in hosts:
        for event_name in EVENT_NAMES:
            request = messages.WorkerProfileDataRequest()
            request.origin_request.session_id = str(run / f"{host}.xplane.pb")
            request.origin_request.tool_name = "event_time_fraction_analyzer"
            request.origin_request.parameters["event_name"] = event_name
            answer = messages.WorkerProfileDataResponse.FromString(forward(request))
            (out / f"{host}.{event_name}.fractions").write_bytes(answer.output)
    shutil.copy(run / "ALL_HOSTS.op_stats_v2.pb", out)
    shutil.rmtree(run)
    return missing


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0-99", help="FIRST-LAST")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "target/oracle/random")
    parser.add_argument("--port", type=int, default=21290, help="this one and the two after it")
    args = parser.parse_args()
    found = importlib.metadata.version("xprof")
    if found != VERSION:
        sys.exit(f"expected answers come from xprof {VERSION}, this is {found}")
    first, last = map(int, args.seeds.split("-"))
    n_missing = 0
    with tempfile.TemporaryDirectory() as compiled, tempfile.TemporaryDirectory() as logdir:
        messages = load_messages(compiled)
        original = Original(logdir, args.port, f"--worker_service_address=localhost:{args.port + 2}")
        _server, forward = start_worker(messages, f"localhost:{args.port + 2}", args.out, f"localhost:{args.port + 1}")
        try:
            for seed in range(first, last + 1):
                kind, n_hosts, n_steps = write_input(messages, seed, args.out / str(seed))
                missing = record(messages, original, logdir, forward, seed, args.out / str(seed))
                n_missing += len(missing)
                print(f"seed {seed}: {kind}, {n_hosts} hosts, {n_steps} steps", f"NOT ANSWERED {missing}" if missing else "", flush=True)
        finally:
            original.stop()
    print(f"seeds {args.seeds} recorded in {args.out}, {n_missing} answers are missing")
    return 1 if n_missing else 0


if __name__ == "__main__":
    sys.exit(main())
