"""Record what the original answers about every HLO module of a trace: texts, neighbours, graphs, memory.

    python -m venv VENV && VENV/bin/pip install xprof==2.24.2 jax protobuf grpcio-tools
    VENV/bin/python tests/oracle/record_programs.py [TRACE.xplane.pb] [--out target/oracle/programs]

Without a trace, one of many JAX programs is made by `jax_programs.py`. Writes OUT/host0.xplane.pb, OUT/answers.jsonl with one
question a line, and the answer to line N, counted from 0, as OUT/N. Then `cargo test -p xprof-core --test programs_oracle` compares what
this project answers to the same questions. A trace with few programs is compared, and then refused for showing little.
"""
import argparse
import concurrent.futures
import functools
import importlib.metadata
import json
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse

from google.protobuf import descriptor_pb2, json_format, message_factory

from original import VERSION, Original, ask

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RUN = "programs"
# So many instructions of a module are looked at, and so many edges around each.
N_NODES = 6
WIDTHS = ("0", "1", "2", "3", "7")
MEMORY_SPACES = ("0", "1", "5")


def questions(module, text):
    """All questions about a module, whose long text is given; it may be empty."""
    yield from (dict(tag="graph_viewer", type=kind) for kind in ("short_txt", "long_txt", "pbtxt", "pb", "json"))
    yield from (dict(tag="graph_viewer", type=kind, show_metadata="true") for kind in ("short_txt", "long_txt"))
    yield from (dict(tag="memory_viewer", memory_space=space) for space in MEMORY_SPACES)
    yield dict(tag="memory_viewer", memory_space="0", view_memory_allocation_timeline="true")
    instructions = re.findall(r"^  (?:ROOT )?%([\w.\-]+) = ", text, re.M)
    computations = re.findall(r"^(?:ENTRY )?%([\w.\-]+) \(", text, re.M)
    custom_calls = re.findall(r"^  (?:ROOT )?%([\w.\-]+) = .* custom-call\(", text, re.M)
    # The same choice whenever a module of this name is asked about.
    chosen = random.Random(module)
    graph = dict(tag="graph_viewer", type="graph")
    for node in chosen.sample(instructions, min(N_NODES, len(instructions))):
        yield dict(tag="graph_viewer", type="adj_nodes", node_name=node)
        for flags in ({}, dict(merge_fusion="true"), dict(show_metadata="true")):
            yield dict(graph, format="dot", node_name=node, graph_width=chosen.choice(WIDTHS)) | flags
    for node in chosen.sample(computations, min(2, len(computations))):
        yield dict(graph, format="dot", node_name=node)
        yield dict(tag="graph_viewer", type="adj_nodes", node_name=node)
    for node in (instructions[-1:] or [""]) + ["no_such_node", ""]:
        yield from (dict(graph, format=format, node_name=node) for format in ("html", "dot", "url"))
        yield dict(tag="graph_viewer", type="adj_nodes", node_name=node)
    for node in chosen.sample(custom_calls, min(2, len(custom_calls))) + instructions[:1] + ["no_such_node"]:
        yield dict(tag="graph_viewer", type="custom_call", node_name=node)


def json_of(proto):
    """The JSON of a module's proto as protobuf's own library writes it, by the definitions of this project."""
    return json_format.MessageToJson(hlo_proto().FromString(proto), indent=None).encode()


@functools.cache
def hlo_proto():
    """The class of `xla.HloProto`."""
    with tempfile.TemporaryDirectory() as scratch:
        out = pathlib.Path(scratch, "set")
        files = sorted((ROOT / "proto/xla").glob("*.proto"))
        names = [str(file.relative_to(ROOT / "proto")) for file in files]
        options = [f"-I{ROOT / 'proto'}", f"--descriptor_set_out={out}", "--include_imports"]
        subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *options, *names], check=True)
        definitions = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    return message_factory.GetMessages(definitions.file)["xla.HloProto"]


def record(original, out):
    """Asks every question about every module; gives the numbers of modules, of answers and of questions."""
    _, modules = ask(original.url + f"module_list?run={RUN}")
    data = lambda question: ask(original.url + "data?" + urllib.parse.urlencode(dict(run=RUN, host="host0") | question))
    asked = []
    modules = sorted(modules.decode().split(","))
    for module in modules:
        status, text = data(dict(tag="graph_viewer", module_name=module, type="long_txt"))
        # A module without a text is asked about all the same: the other answers must be the same errors.
        asked += [dict(q, module_name=module) for q in questions(module, text.decode() if status == 200 else "")]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(data, asked))
    silent = [question for question, (status, _) in zip(asked, answers) if status is None]
    if silent:
        sys.exit(f"{len(silent)} questions have no answer, the first is {silent[0]}")
    # The original does not write JSON. What it should say is made of the proto that it does write.
    protos = {q["module_name"]: body for q, (status, body) in zip(asked, answers) if q.get("type") == "pb" and status == 200}
    for n, question in enumerate(asked):
        if question.get("type") == "json" and question["module_name"] in protos:
            answers[n] = 200, json_of(protos[question["module_name"]])
    with open(out / "answers.jsonl", "w") as index:
        for n, (question, (status, body)) in enumerate(zip(asked, answers)):
            (out / str(n)).write_bytes(body)
            index.write(json.dumps(dict(status=status, question=question)) + "\n")
    return len(modules), sum(status == 200 for status, _ in answers), len(answers)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trace", nargs="?", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "target/oracle/programs")
    parser.add_argument("--port", type=int, default=21390, help="this one and the next")
    args = parser.parse_args()
    found = importlib.metadata.version("xprof")
    if found != VERSION:
        sys.exit(f"expected answers come from xprof {VERSION}, this is {found}")
    shutil.rmtree(args.out, ignore_errors=True)
    args.out.mkdir(parents=True)
    trace = args.out / "host0.xplane.pb"
    if args.trace:
        shutil.copyfile(args.trace, trace)
    else:
        subprocess.run([sys.executable, HERE / "jax_programs.py", trace], check=True)
    with tempfile.TemporaryDirectory() as logdir:
        run = pathlib.Path(logdir, "plugins/profile", RUN)
        run.mkdir(parents=True)
        shutil.copy(trace, run)
        original = Original(logdir, args.port)
        original.start()
        try:
            n_modules, n_answered, n_asked = record(original, args.out)
        finally:
            original.stop()
    print(f"{n_asked} answers about {n_modules} modules in {args.out}, {n_asked - n_answered} of them errors")


if __name__ == "__main__":
    main()
