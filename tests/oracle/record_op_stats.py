"""Record what the original makes of each trace: one OpStats file per host, and one of all hosts per session of several.

    python -m venv VENV && VENV/bin/pip install xprof==2.24.2
    VENV/bin/python tests/oracle/record_op_stats.py LOGDIR... [--out target/oracle/op_stats]

Reads LOGDIR/plugins/profile/RUN/HOST.xplane.pb and writes OUT/RUN/HOST.op_stats_v2.pb, and OUT/RUN/ALL_HOSTS.op_stats_v2.pb
with the hosts in the order of their names; the log directories stay as they are.
Each host is asked about alone: a session of one host leaves its statistics as ALL_HOSTS.op_stats_v2.pb, a plain copy of the host's own.
The tool asked is pod_viewer, because most others drop the first and the last step before the file is written.
"""
import argparse
import pathlib
import shutil
import subprocess
import sys
import tempfile

from original import VERSION

# A trace may abort the original, so each is converted in a process of its own.
CONVERT = """
import sys
from xprof.convert import raw_to_tool_data
raw_to_tool_data.xspace_to_tool_data(sys.argv[1:], "pod_viewer", {})
"""


def record(traces, out):
    with tempfile.TemporaryDirectory() as folder:
        copies = [shutil.copy(trace, folder) for trace in traces]
        done = subprocess.run([sys.executable, "-c", CONVERT, *copies], capture_output=True, check=False)
        made = pathlib.Path(folder, "ALL_HOSTS.op_stats_v2.pb")
        if not made.exists():
            print(f"{traces}: nothing was written (exit {done.returncode})", file=sys.stderr)
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

    wanted = {}
    for run in sorted(run for d in args.logdirs for run in d.glob("plugins/profile/*")):
        traces = sorted(run.glob("*.xplane.pb"))
        wanted |= {(run.name, trace.name.removesuffix(".xplane.pb")): [trace] for trace in traces}
        if len(traces) > 1:
            wanted[run.name, "ALL_HOSTS"] = traces
    made = sum(record(traces, args.out / run / f"{host}.op_stats_v2.pb") for (run, host), traces in wanted.items())
    print(f"{made} of {len(wanted)} recorded in {args.out}")
    return 0 if made == len(wanted) else 1


if __name__ == "__main__":
    sys.exit(main())
