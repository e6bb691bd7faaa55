"""The original's server, for the scripts that ask it."""
import gzip
import pathlib
import subprocess
import sys
import time
import urllib.error
import urllib.request

VERSION = "2.24.2"


def ask(url):
    """Status and body, (None, reason) without an answer."""
    try:
        with urllib.request.urlopen(url, timeout=120) as response:
            return response.status, plain(response)
    except urllib.error.HTTPError as e:
        return e.code, plain(e)
    except OSError as e:
        return None, str(e).encode()


def plain(response):
    body = response.read()
    return gzip.decompress(body) if response.headers["Content-Encoding"] == "gzip" else body


def get(url):
    """The body of a good answer, else None."""
    status, body = ask(url)
    return body if status == 200 else None


class Original:
    """The server over a log directory, on this port and the next; started again if an input kills it."""

    def __init__(self, logdir, port, *flags):
        self.url = f"http://localhost:{port}/data/plugin/profile/"
        program = str(pathlib.Path(sys.executable).with_name("xprof"))
        self.command = [program, "server", f"--logdir={logdir}", f"--port={port}", f"--grpc_port={port + 1}", *flags]
        self.process = None

    def start(self):
        if self.process is not None and self.process.poll() is None:
            return
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(300):
            if get(self.url + "runs") is not None:
                return
            time.sleep(0.2)
        sys.exit("the original does not start")

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
