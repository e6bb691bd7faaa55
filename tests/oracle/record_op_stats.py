"""Record what the original makes of each trace: one OpStats file per host.

    python -m venv VENV && VENV/bin/pip install xprof==2.24.2
    VENV/bin/python tests/oracle/record_op_stats.py LOGDIR... [--out target/oracle/op_stats]

Reads LOGDIR/plugins/profile/RUN/HOST.xplane.pb and writes OUT/RUN/HOST.op_stats_v2.pb; the log directories stay as they are.
Each host is asked about alone: a session of one host leaves its statistics as ALL_HOSTS.op_stats_v2.pb, a plain copy of the host's own.
The tool asked is pod_viewer, because most others drop the first and the last step before the file is written.
"""
import argparse
import pathlib
import shutil
import subprocess
import sys
import tempfile

VERSION = "2.24.2"
# A trace may abort the original, so each is converted in a process of its own.
CONVERT = """
import sys
from xprof.convert import raw_to_tool_data
raw_to_tool_data.xspace_to_tool_data([sys.argv[1]], "pod_viewer", {})
"""


def record(trace, out):
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder, trace.name)
        shutil.copy(trace, copy)
        done = subprocess.run([sys.executable, "-c", CONVERT, str(copy)], capture_output=True, check=False)
        made = pathlib.Path(folder, "ALL_HOSTS.op_stats_v2.pb")
        if not made.exists():
            print(f"{trace}: nothing was written (exit {done.returncode})", file=sys.stderr)
            return False
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(made, out)
        return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logdirs", nargs="+", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("target/oracle/op_stats"))
    args = parser.parse_args()

    import importlib.metadata

    found = importlib.metadata.version("xprof")
    if found != VERSION:
        sys.exit(f"expected files come from xprof {VERSION}, this is {found}")

    traces = [t for d in args.logdirs for t in sorted(d.glob("plugins/profile/*/*.xplane.pb"))]
    made = 0
    for trace in traces:
        host = trace.name.removesuffix(".xplane.pb")
        made += record(trace, args.out / trace.parent.name / f"{host}.op_stats_v2.pb")
    print(f"{made} of {len(traces)} traces recorded in {args.out}")
    return 0 if made == len(traces) else 1


if __name__ == "__main__":
    sys.exit(main())
