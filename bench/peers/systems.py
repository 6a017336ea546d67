"""The systems that are measured, each on loopback with its data in a folder of its own: started, and ended
with everything that was started. Also the loads: each returns what its run came to."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
ANNULUS = ROOT / "build/release/tuned/annulus"
PEERS = ROOT / "build/release/tuned/annulus_peers"
START_SECONDS = 60
# Of an operation that is refused, within its timeout.
RETRIES = 50
KEYS = 100_000
VALUE_BYTES = 100


class Missing(Exception):
    """This machine lacks what the system needs; says what."""


def say(text):
    print(text, flush=True)


def free_ports(count):
    """Neighbours, all free, below the range that systems hand out to clients."""
    for base in range(21000 + os.getpid() % 50 * 100, 30000, 100):
        probes = [socket.socket() for _ in range(count)]
        try:
            for offset, probe in enumerate(probes):
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", base + offset))
            return base
        except OSError:
            continue
        finally:
            for probe in probes:
                probe.close()
    raise RuntimeError("no free ports")


def resident_bytes(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"process {pid} has no VmRSS")


class Processes(contextlib.AbstractContextManager):
    """Processes and the folder of one system."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.running = []

    def start(self, *words, executable=None):
        with open(self.folder / f"log-{len(self.running)}", "wb") as log:
            process = subprocess.Popen(list(map(str, words)), executable=executable, stdin=subprocess.DEVNULL, stdout=log,
                                       stderr=subprocess.STDOUT, cwd=self.folder, start_new_session=True)
        self.running.append(process)
        return process

    def wait_for(self, condition, what, seconds=START_SECONDS):
        """Until it is met. Where it is not, or where somebody lost patience, nothing is left running."""
        deadline = time.monotonic() + seconds
        try:
            while not condition():
                ended = [process for process in self.running if process.poll() is not None]
                if ended or time.monotonic() > deadline:
                    logs = "".join((self.folder / f"log-{i}").read_text(errors="replace")[-2000:]
                                   for i in range(len(self.running)))
                    raise RuntimeError(f"{what} did not start:\n{logs}")
                time.sleep(0.01)
        except BaseException:
            self.__exit__()
            raise

    def disk_bytes(self):
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def __exit__(self, *_):
        for process in reversed(self.running):
            process.terminate()
        for process in self.running:
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def accepts(port, address="127.0.0.1"):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((address, port)) == 0


def _get(port, path):
    """What an HTTP server on loopback answers; None where it does not, or refuses."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}{path}", timeout=1) as answer:
            return answer.read()
    except OSError:
        return None


# --- what each client sees --------------------------------------------------------------------------

def run_json(*words, timeout=3600, failures_allowed=False):
    """The totals of a load: the last line of its output."""
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=timeout, check=False,
                          env={k: v for k, v in os.environ.items() if not k.startswith("ANNULUS_")})
    lines = done.stdout.strip().splitlines()
    if not lines or '"total"' not in lines[-1]:
        raise RuntimeError(f"{' '.join(map(str, words))} ended with {done.returncode}:\n{done.stdout[-1000:]}{done.stderr}")
    total = json.loads(lines[-1])["total"]
    if total["failed"] and not failures_allowed:
        raise RuntimeError(f"{' '.join(map(str, words))}: {total['failed']} failed: {total.get('failures')}")
    return total


def bench(endpoints, mode, clients, reads, seconds, *, rate=0, group=1, keys=KEYS, fill=False, warm_up=1,
          value_bytes=VALUE_BYTES, more=(), binary=ANNULUS, failures_allowed=False):
    # A node that a slow hour leaves behind refuses a part of 341 writes under way (ADR 12): they are made again
    # after the time that it names, which their latency contains, and only those that it has taken count.
    return run_json(binary, "bench", "--endpoints", ",".join(endpoints), "--mode", mode, "--clients", clients,
                    "--retries", RETRIES,
                    "--group", group, "--reads", reads, "--keys", keys, "--value-bytes", value_bytes, "--duration",
                    f"{round(seconds * 1000)}ms", "--warm-up", f"{round(warm_up * 1000)}ms", "-o", "json",
                    *(["--rate", rate] if rate else []), *(["--fill"] if fill else []), *more,
                    failures_allowed=failures_allowed)


# --- the systems ------------------------------------------------------------------------------------

class Echo(Processes):
    """gRPC alone."""

    def __init__(self, folder, kind, binary=PEERS):
        super().__init__(folder)
        self.port = free_ports(1)
        self.start(binary, "echo", "--kind", kind, "--address", f"127.0.0.1:{self.port}")
        self.wait_for(lambda: accepts(self.port), f"the echo server ({kind})")

    def bench(self, *arguments, **options):
        return bench([f"127.0.0.1:{self.port}"], *arguments, more=("--endpoints-only",), **options)


class Annulus(Processes):
    """`annulus dev`: real node processes, each write synced before it is acknowledged."""

    def __init__(self, folder, nodes, replicas, binary=ANNULUS):
        super().__init__(folder)
        self.port = free_ports(50 + 10 * nodes)
        self.http = self.port + 50
        self.endpoints = [f"127.0.0.1:{self.port + 10 * i}" for i in range(nodes)]
        began = time.monotonic()
        self.start(binary, "dev", "--nodes", nodes, "--replicas", replicas, "--data", self.folder / "data", "--port",
                   self.port, "--http-port", self.http, "--log-level", "warn")
        self.wait_for(self._ready, f"Annulus with {nodes} nodes")
        self.start_seconds = time.monotonic() - began

    def _ready(self):
        return all(_get(self.http + 10 * i, "/readyz") is not None for i in range(len(self.endpoints)))

    def pids(self):
        cluster = json.loads((self.folder / "data/cluster.json").read_text(encoding="utf-8"))
        return [node["pid"] for node in cluster["nodes"]]

    def bench(self, *arguments, **options):
        return bench(self.endpoints, *arguments, **options)


class Etcd(Processes):
    """etcd's own defaults: every put in the log of a majority, synced."""

    def __init__(self, folder, binary, nodes=3):
        super().__init__(folder)
        self.port = free_ports(2 * nodes)
        cluster = ",".join(f"e{i}=http://127.0.0.1:{self.port + 2 * i + 1}" for i in range(nodes))
        self.endpoints = [f"127.0.0.1:{self.port + 2 * i}" for i in range(nodes)]
        for i in range(nodes):
            client, peer = f"http://127.0.0.1:{self.port + 2 * i}", f"http://127.0.0.1:{self.port + 2 * i + 1}"
            self.start(binary, "--name", f"e{i}", "--data-dir", self.folder / f"e{i}", "--listen-client-urls", client,
                       "--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls",
                       peer, "--initial-cluster", cluster, "--initial-cluster-state", "new", "--log-level", "error",
                       "--quota-backend-bytes", 8 << 30)
        self.wait_for(lambda: all(map(self._healthy, range(nodes))), "etcd")

    def _healthy(self, index):
        answer = _get(self.port + 2 * index, "/health")
        return answer is not None and json.loads(answer).get("health") == "true"

    def bench(self, clients, reads, seconds, *, rate=0, fill=False, serializable=False, warm_up=1):
        return run_json(PEERS, "etcd", "--endpoints", ",".join(self.endpoints), "--clients", clients, "--reads", reads,
                        "--seconds", seconds, "--warm-up", warm_up, "--keys", KEYS, "--rate", rate,
                        *(["--fill"] if fill else []), *(["--serializable"] if serializable else []))


class Redis(Processes):
    """One process; `synced`: its log is synced before each answer (appendfsync always)."""

    def __init__(self, folder, binary, synced):
        super().__init__(folder)
        self.port = free_ports(1)
        # Debian's redis-tools has the server under another name, and looks at what it was called.
        self.start("redis-server", "--port", self.port, "--bind", "127.0.0.1", "--save", "", "--dir", self.folder,
                   *(["--appendonly", "yes", "--appendfsync", "always"] if synced else []), executable=binary)
        self.wait_for(lambda: accepts(self.port), "Redis")

    def bench(self, command, clients, requests, pipeline=1):
        """By its own redis-benchmark."""
        done = subprocess.run(["redis-benchmark", "-p", str(self.port), "-t", command, "-c", str(clients), "-n",
                               str(requests), "-P", str(pipeline), "-d", str(VALUE_BYTES), "-r", str(KEYS), "--csv"],
                              capture_output=True, text=True, timeout=600, check=True)
        row = re.findall(r'"([^"]*)"', done.stdout.strip().splitlines()[-1])
        return {"ok_per_s": float(row[1]), "p50_us": float(row[4]) * 1000, "p99_us": float(row[6]) * 1000}


def etcd_binary(folder):
    """Debian's etcd, unpacked and not installed: its package would start a service."""
    found = shutil.which("etcd")
    return found or _unpacked(folder, "etcd-server", "usr/bin/etcd")


def redis_binary():
    found = shutil.which("redis-server") or shutil.which("redis-check-rdb")
    if not found or not shutil.which("redis-benchmark"):
        raise Missing("redis-tools")
    return found


def _unpacked(folder, package, path):
    target = pathlib.Path(folder) / package
    if not (target / path).exists():
        target.mkdir(parents=True, exist_ok=True)
        for words in (["apt-get", "download", package], ["sh", "-c", f"dpkg-deb -x {package}_*.deb ."]):
            done = subprocess.run(words, cwd=target, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise Missing(f"{package} ({done.stderr.strip()})")
    return str(target / path)
