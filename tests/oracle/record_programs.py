"""Record what the original answers about every HLO module of a trace: texts, neighbours, graphs, memory.

    python -m venv VENV && VENV/bin/pip install xprof==2.24.2 jax
    VENV/bin/python tests/oracle/record_programs.py [TRACE.xplane.pb] [--out target/oracle/programs]

Without a trace, one of many JAX programs is made by `jax_programs.py`. Writes OUT/host0.xplane.pb, OUT/answers.jsonl with one
question a line, and the answer to line N, counted from 0, as OUT/N. Then `cargo test -p xprof-core --test programs_oracle` compares what
this project answers to the same questions.
"""
import argparse
import concurrent.futures
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

from original import VERSION, Original, ask

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RUN = "programs"
# So many instructions of a module are looked at, and so many edges around each.
N_NODES = 6
WIDTHS = ("0", "1", "2", "3", "7")
MEMORY_SPACES = ("0", "1", "5")


def questions(module, text):
    """All questions about a module, whose long text is given."""
    yield from (dict(tag="graph_viewer", type=kind) for kind in ("short_txt", "long_txt", "pbtxt", "pb"))
    yield from (dict(tag="graph_viewer", type=kind, show_metadata="true") for kind in ("short_txt", "long_txt"))
    yield from (dict(tag="memory_viewer", memory_space=space) for space in MEMORY_SPACES)
    yield dict(tag="memory_viewer", memory_space="0", view_memory_allocation_timeline="true")
    instructions = re.findall(r"^  (?:ROOT )?%([\w.\-]+) = ", text, re.M)
    computations = re.findall(r"^(?:ENTRY )?%([\w.\-]+) \(", text, re.M)
    # The same choice whenever a module of this name is asked about.
    chosen = random.Random(module)
    for node in chosen.sample(instructions, min(N_NODES, len(instructions))):
        yield dict(tag="graph_viewer", type="adj_nodes", node_name=node)
        for flags in ({}, dict(merge_fusion="true"), dict(show_metadata="true")):
            yield dict(tag="graph_viewer", type="graph", format="dot", node_name=node, graph_width=chosen.choice(WIDTHS)) | flags
    for node in chosen.sample(computations, min(2, len(computations))):
        yield dict(tag="graph_viewer", type="graph", format="dot", node_name=node)


def record(original, out):
    """Asks every question about every module; gives how many were answered, and how many not."""
    _, modules = ask(original.url + f"module_list?run={RUN}")
    data = lambda question: ask(original.url + "data?" + urllib.parse.urlencode(dict(run=RUN, host="host0") | question))
    asked = []
    for module in sorted(modules.decode().split(",")):
        _, text = data(dict(tag="graph_viewer", module_name=module, type="long_txt"))
        asked += [dict(q, module_name=module) for q in questions(module, text.decode())]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(data, asked))
    with open(out / "answers.jsonl", "w") as index:
        for n, (question, (status, body)) in enumerate(zip(asked, answers)):
            (out / str(n)).write_bytes(body)
            index.write(json.dumps(dict(status=status, question=question)) + "\n")
    return sum(status == 200 for status, _ in answers), len(answers)


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
            n_answered, n_asked = record(original, args.out)
        finally:
            original.stop()
    print(f"{n_asked} answers in {args.out}, {n_asked - n_answered} of them errors")


if __name__ == "__main__":
    main()
