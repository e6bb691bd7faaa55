#!/usr/bin/env python3
"""Time warm answers of servers that stay up, asked in turns.

  warm_requests.py --trace FILE [--requests N] [--tools T,T] NAME='COMMAND' [NAME='COMMAND' ...]

COMMAND starts a server in the foreground; {logdir}, {port} and {port2} (two free ports) are filled in.
Each tool is asked for twice, then N times: one request at a time over one kept connection per server, and every other round in
the opposite order, because what a machine did just before changes what the next request takes. A server that does not keep an
answer (its second one takes over 50 ms) is asked ten times only. Prints medians in ms with the status and the bytes of the body
as they come over the wire (gzip). Standard library only.
"""
import argparse
import http.client
import os
import pathlib
import shlex
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.parse

TOOLS = [
    "overview_page", "input_pipeline_analyzer", "framework_op_stats", "hlo_stats", "kernel_stats", "roofline_model", "pod_viewer",
    "op_profile", "smart_suggestion", "trace_viewer@",
]
NOT_KEPT_S = 0.05
FEW = 10


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    def __init__(self, command, trace):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="warm-"))
        run = self.dir / "plugins/profile/run"
        run.mkdir(parents=True)
        shutil.copy(trace, run / "host.xplane.pb")
        port = free_port()
        command = command.format(logdir=self.dir, port=port, port2=free_port())
        self.process = subprocess.Popen(
            shlex.split(command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=900)
        until = time.monotonic() + 60
        while True:
            try:
                self.connection.connect()
                return
            except OSError:
                if time.monotonic() > until or self.process.poll() is not None:
                    raise SystemExit(f"server did not come up: {command}")
                time.sleep(0.02)

    def get(self, path):
        """Seconds, status and length of an answer."""
        try:
            return self.once(path)
        except (http.client.HTTPException, ConnectionError):
            self.connection.close()  # The server does not keep connections.
            return self.once(path)

    def once(self, path):
        began = time.perf_counter()
        self.connection.request("GET", path, headers={"Accept-Encoding": "gzip"})
        response = self.connection.getresponse()
        n_bytes = len(response.read())
        return time.perf_counter() - began, response.status, n_bytes

    def stop(self):
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
        shutil.rmtree(self.dir, ignore_errors=True)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--trace", required=True, type=pathlib.Path)
    a.add_argument("--requests", type=int, default=300)
    a.add_argument("--tools", default=",".join(TOOLS))
    a.add_argument("servers", nargs="+")
    o = a.parse_args()
    servers = {}
    try:
        for name, command in (s.split("=", 1) for s in o.servers):
            servers[name] = Server(command, o.trace)
        for tool in o.tools.split(","):
            path = "/data/plugin/profile/data?" + urllib.parse.urlencode(dict(run="run", tag=tool, host="host"))
            first = {name: server.get(path) for name, server in servers.items()}
            slow = {name for name, server in servers.items() if server.get(path)[0] > NOT_KEPT_S}
            times = {name: [] for name in servers}
            for i in range(o.requests):
                for name in list(servers)[:: 1 if i % 2 else -1]:
                    if name not in slow or i < FEW:
                        times[name].append(servers[name].get(path)[0] * 1000)
            columns = (
                f"{name} {statistics.median(t):9.3f} ms (n={len(t)}, {first[name][1]}, {first[name][2]} B)"
                for name, t in times.items()
            )
            print(f"{tool:26}" + "   ".join(columns), flush=True)
    finally:
        for server in servers.values():
            server.stop()


if __name__ == "__main__":
    main()
