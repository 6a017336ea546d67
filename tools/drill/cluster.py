"""What a drill can ask of a cluster, local or Compose."""

import abc
import contextlib
import time
import urllib.request

import rpc

READY_SECONDS = 60
REAP_SECONDS = 3  # instead of 60, so that rounds of reaping meet every fault


class Unavailable(Exception):
    """This cluster, or this machine, cannot do what was asked; says why."""


class Cluster(abc.ABC):
    """Five nodes and two coordinators, started with --enable-faults."""

    nodes = [f"node-{i}" for i in range(1, 6)]
    coordinators = ["coordinator-1", "coordinator-2"]

    @abc.abstractmethod
    def up(self):
        """Starts everything and waits until it is ready."""

    @abc.abstractmethod
    def down(self):
        """Ends everything that up() started, and removes its data."""

    @abc.abstractmethod
    def client_address(self, name):
        """host:port of the process for clients, from where the drill runs."""

    @abc.abstractmethod
    def http_address(self, name):
        """The same for HTTP."""

    @abc.abstractmethod
    def run_cli(self, *arguments, timeout=60):
        """Runs `annulus` against both coordinators; returns (exit code, output)."""

    @abc.abstractmethod
    def start_cli(self, *arguments, cpus=None):
        """The same as a running subprocess.Popen whose standard output is text; limited to so many CPUs."""

    @abc.abstractmethod
    def memory_peak(self, name):
        """The most bytes that the process had resident."""

    # --- what is done to a process, each ended by its counterpart or by heal() ------------------------

    @abc.abstractmethod
    def kill(self, name):
        """kill -9."""

    @abc.abstractmethod
    def start(self, name):
        """Starts it again after a kill; does not wait."""

    @abc.abstractmethod
    def pause(self, name):
        """It stands still, and its connections with it."""

    @abc.abstractmethod
    def resume(self, name):
        """Ends pause()."""

    @abc.abstractmethod
    def move(self, name):
        """Starts it after a kill, with the same data, at another address."""

    @abc.abstractmethod
    def limit(self, name, cpus=None, memory_bytes=None):
        """Limits it to so much; None: no limit."""

    def restart_within_limit(self, name, memory_bytes):
        """A process divides up what it may use when it starts."""
        self.limit(name, memory_bytes=memory_bytes)
        self.kill(name)
        self.start(name)

    def disconnect(self, name):
        """Takes it off the network."""
        raise Unavailable("only containers have a network of their own")

    def connect(self, name):
        """Ends disconnect()."""
        raise Unavailable("only containers have a network of their own")

    @abc.abstractmethod
    def heal(self):
        """Ends every fault and starts what was killed."""

    @abc.abstractmethod
    def log_tail(self, name):
        """The process's last words."""

    @abc.abstractmethod
    def _iptables(self, action, name):
        """Adds (-I) or deletes (-D) the rules that make packets of the process vanish."""

    # --- what all clusters share ----------------------------------------------------------------------

    def __init__(self):
        self.dropped = set()

    def drop_packets(self, name):
        """Its packets vanish, without a word to anyone."""
        self._iptables("-I", name)
        self.dropped.add(name)

    def pass_packets(self, name):
        """Ends drop_packets()."""
        self._iptables("-D", name)
        self.dropped.discard(name)

    def __enter__(self):
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, *_):
        self.down()

    def processes(self):
        return [*self.nodes, *self.coordinators]

    def is_ready(self, name):
        try:
            with self._get(name, "/readyz", seconds=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def _get(self, name, path, seconds):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        return opener.open(f"http://{self.http_address(name)}{path}", timeout=seconds)

    def wait_ready(self, *names, seconds=READY_SECONDS):
        deadline = time.monotonic() + seconds
        for name in names:
            while not self.is_ready(name):
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{name} is not ready after {seconds} s:\n{self.log_tail(name)}")
                time.sleep(0.05)

    def metric(self, name, metric):
        """One that has no labels."""
        with self._get(name, "/metrics", seconds=5) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith(f"{metric} "):
                    return float(line.split()[-1])
        raise RuntimeError(f"{name} has no {metric}")

    def reaped(self, name):
        """Tombstones that the node has deleted for good since it started."""
        return int(self.metric(name, "annulus_tombstones_reaped_total"))

    @contextlib.contextmanager
    def admin(self, name):
        with rpc.channel(self.client_address(name)) as channel:
            yield rpc.admin_grpc.AdminStub(channel)

    def status(self, name):
        with self.admin(name) as admin:
            return admin.Status(rpc.admin.StatusRequest(), timeout=5)

    def set_faults(self, name, *faults):
        """rpc.admin.Fault messages, in place of all that were set before."""
        with self.admin(name) as admin:
            admin.SetFaults(rpc.admin.SetFaultsRequest(clear=True, faults=faults), timeout=5)
