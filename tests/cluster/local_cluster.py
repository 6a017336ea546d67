"""What the cluster tests share: a cluster of real processes on loopback, and clients for it.

The tests use nothing of this project but its binary and its .proto files: stubs come from the stock
protoc and its stock Python plugin, everything else from Python's and Debian's own libraries.
"""

import contextlib
import importlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("ANNULUS_BINARY", str(ROOT / "build/release/annulus"))
START_SECONDS = 60


def environment(more=None):
    """Ours without the settings of whoever runs the tests."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("ANNULUS_")}
    return {**clean, **(more or {})}


def run(*arguments, timeout=60, env=None, **options):
    """Runs the binary; returns the finished process with its output as text."""
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True,
                          timeout=timeout, env=environment(env), **options)


# --- ports ----------------------------------------------------------------------------------------

def port_is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
            return True
        except OSError:
            return False


def free_base_port(offsets, start=20000, stop=30000, step=100):
    """A port such that it and all its offsets are free. Below the range that systems hand out to
    clients, so that no connection takes one before the server does."""
    first = start + os.getpid() * step % (stop - start)
    for i in range((stop - start) // step):
        base = start + (first - start + i * step) % (stop - start)
        if all(port_is_free(base + offset) for offset in offsets):
            return base
    raise RuntimeError(f"no free ports from {start} to {stop}")


# --- the local cluster ----------------------------------------------------------------------------

class LocalCluster:
    """`annulus dev`: a supervisor and its nodes. Survives, as a name for a data directory and ports,
    the processes that it starts."""

    def __init__(self, nodes=3):
        self.count = nodes
        self.data = pathlib.Path(tempfile.mkdtemp(prefix="annulus-test-"))
        client = [10 * i + j for i in range(nodes) for j in (0, 1)]
        http = [50 + 10 * i for i in range(nodes)]
        self.port = free_base_port(client + http)
        self.http_port = self.port + 50
        self.process = None
        self.nodes = []

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()
        shutil.rmtree(self.data, ignore_errors=True)

    def start(self):
        assert self.process is None
        described = self.data / "cluster.json"
        described.unlink(missing_ok=True)
        with open(self.data.with_suffix(".log"), "ab") as log:
            self.process = subprocess.Popen(
                [BINARY, "dev", "--nodes", str(self.count), "--data", str(self.data),
                 "--port", str(self.port), "--http-port", str(self.http_port)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment())
        try:
            self._wait(lambda: described.exists() and described.stat().st_size > 0)
            self.nodes = json.loads(described.read_text())["nodes"]
            self._wait(lambda: all(is_ready(node["http"]) for node in self.nodes))
        except BaseException:
            print(self.log()[-4000:], file=sys.stderr)
            self.kill()
            raise

    def _wait(self, condition):
        deadline = time.monotonic() + START_SECONDS
        while not condition():
            if self.process.poll() is not None:
                raise RuntimeError(f"annulus dev ended with {self.process.returncode}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"the cluster was not ready within {START_SECONDS} s")
            time.sleep(0.05)

    def log(self):
        with contextlib.suppress(OSError):
            return self.data.with_suffix(".log").read_text(errors="replace")
        return ""

    def kill(self):
        """SIGKILL to everything at once. The nodes first: they end themselves when the supervisor does,
        and then would get to answer."""
        if self.process is None:
            return
        for node in self.nodes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(node["pid"], signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        self._wait_gone([node["pid"] for node in self.nodes])
        self.process, self.nodes = None, []
        # The log has served; a failure has printed it before.
        self.data.with_suffix(".log").unlink(missing_ok=True)

    @staticmethod
    def _wait_gone(pids):
        deadline = time.monotonic() + 10
        while any(is_running(pid) for pid in pids):
            if time.monotonic() > deadline:
                raise RuntimeError("a killed node is still there")
            time.sleep(0.01)

    def stop(self):
        """SIGTERM, as a user's Ctrl-C; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=60)
        self.process, self.nodes = None, []
        return code

    def endpoints(self):
        return ",".join(node["client"] for node in self.nodes)

    def cli(self, *arguments, **options):
        return run(*arguments, env={"ANNULUS_ENDPOINTS": self.endpoints()}, **options)


def is_running(pid):
    """Whether the process runs; a zombie that nobody has waited for does not."""
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")


def is_ready(http):
    """Whether /readyz at host:port answers 200."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{http}/readyz", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


# --- stubs and messages ---------------------------------------------------------------------------

def _protoc(*arguments):
    subprocess.run(["protoc", f"-I{ROOT / 'proto'}", *map(str, arguments)], check=True)


def generate_kv():
    """Stubs of kv.proto, made by the stock plugin; returns (kv_pb2, kv_pb2_grpc)."""
    return generate_stubs("kv")["kv"]


def generate_stubs(*services):
    """The same for several of kv and admin at once: {"kv": (kv_pb2, kv_pb2_grpc), ...}."""
    plugin = shutil.which("grpc_python_plugin")
    if not plugin or not shutil.which("protoc"):
        raise RuntimeError("protoc or its Python plugin is missing: apt-get install protobuf-compiler-grpc")
    out = tempfile.mkdtemp(prefix="annulus-stubs-")
    _protoc(f"--python_out={out}", f"--grpc_python_out={out}", f"--plugin=protoc-gen-grpc_python={plugin}",
            *(f"annulus/{name}/v1/{name}.proto" for name in services))
    sys.path.insert(0, out)
    try:
        return {name: tuple(importlib.import_module(f"annulus.{name}.v1.{name}_{suffix}")
                            for suffix in ("pb2", "pb2_grpc")) for name in services}
    finally:
        sys.path.remove(out)
        shutil.rmtree(out, ignore_errors=True)


class Messages:
    """Message classes of .proto files by full name, without generated modules: for packages (google,
    grpc) whose generated modules would hide the installed ones."""

    def __init__(self, *files):
        self.pool = descriptor_pool.DescriptorPool()
        with tempfile.NamedTemporaryFile() as out:
            _protoc("--include_imports", f"--descriptor_set_out={out.name}", *files)
            described = descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(out.name).read_bytes())
        for file in described.file:
            self.pool.Add(file)

    def __getitem__(self, name):
        return message_class(self.pool, name)


def message_class(pool, name):
    return message_factory.MessageFactory(pool).GetPrototype(pool.FindMessageTypeByName(name))


def channel(address):
    # Tests go straight to loopback, whatever proxy the machine has.
    return grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])


def error_info(error, statuses=None):
    """The google.rpc.ErrorInfo of a failed call, decoded as any standard client would; None without."""
    statuses = statuses or Messages("google/rpc/status.proto", "google/rpc/error_details.proto")
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in statuses["google.rpc.Status"].FromString(value).details:
                if detail.type_url == "type.googleapis.com/google.rpc.ErrorInfo":
                    return statuses["google.rpc.ErrorInfo"].FromString(detail.value)
    return None
