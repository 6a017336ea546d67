"""A cluster of containers: deploy/compose.yaml as a project of its own, removed afterwards.

It takes a Linux host, whose root reaches containers by their addresses, and an image: ANNULUS_IMAGE
(`./x drill --compose` packages this machine's binary).
"""

import contextlib
import os
import pathlib
import secrets
import subprocess

from cluster import REAP_SECONDS, Cluster, Unavailable

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMPOSE = os.environ.get("ANNULUS_COMPOSE", "docker compose").split()
PROJECT = "annulus-drill"
NETWORK = f"{PROJECT}_default"
CLIENT, PEER, HTTP = 50051, 50052, 8080
NODE_CPUS, COORDINATOR_CPUS = 1.0, 1.0  # as in compose.yaml
NODE_BYTES, COORDINATOR_BYTES = 512 << 20, 256 << 20
HELPERS = ["client"]


class ComposeCluster(Cluster):
    def __init__(self):
        super().__init__()
        self.environment = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": PROJECT,
            "ANNULUS_IMAGE": os.environ.get("ANNULUS_IMAGE", "annulus:local"),
            "ANNULUS_SECRET": secrets.token_hex(32),
            "ANNULUS_MEMBERS": ",".join(f"{node}={node}:{PEER}" for node in self.nodes),
            "ANNULUS_ENABLE_FAULTS": "true",
            "ANNULUS_REAP_INTERVAL": str(REAP_SECONDS),
            # Any free port of the host: the drill goes to the containers' own addresses.
            **{name: "" for name in ("ANNULUS_PORT_1", "ANNULUS_PORT_2", "ANNULUS_HTTP_1", "ANNULUS_HTTP_2")},
        }
        self.ids = {}
        self.addresses, self.paused, self.gone, self.limited = {}, set(), set(), set()

    def _run(self, *words, check=True, timeout=300):
        done = subprocess.run(words, capture_output=True, text=True, timeout=timeout, env=self.environment,
                              stdin=subprocess.DEVNULL, check=False)
        if check and done.returncode != 0:
            raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def _compose(self, *words, **options):
        return self._run(*COMPOSE, "--project-name", PROJECT, "--project-directory", str(ROOT / "deploy"),
                         "-f", str(ROOT / "deploy/compose.yaml"), *words, **options)

    def _container(self, name):
        if name not in self.ids:
            self.ids[name] = self._run("docker", "ps", "-a", "-q",
                                       "--filter", f"label=com.docker.compose.project={PROJECT}", "--filter", f"label=com.docker.compose.service={name}")
        return self.ids[name]

    def _learn_address(self, name):
        template = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        address = self._run("docker", "inspect", "--format", template, self._container(name))
        if address:
            self.addresses[name] = address

    def client_address(self, name):
        return f"{self.addresses[name]}:{CLIENT}"

    def http_address(self, name):
        return f"{self.addresses[name]}:{HTTP}"

    # --- life -----------------------------------------------------------------------------------------

    def up(self):
        self.down()  # what a run that was cut short left behind
        self._compose("up", "-d", "--no-build", *self.processes(), *HELPERS)
        for name in self.processes():
            self._learn_address(name)
        self.wait_ready(*self.processes(), seconds=120)

    def down(self):
        for name in list(self.dropped):
            with contextlib.suppress(Exception):
                self.pass_packets(name)
        self._compose("down", "--volumes", "--remove-orphans", "--timeout", "3", check=False)
        self.ids.clear()

    def heal(self):
        for name in list(self.dropped):
            self.pass_packets(name)
        for name in list(self.gone):
            self.connect(name)
        for name in list(self.limited):
            self.limit(name)
        for name in list(self.paused):
            self.resume(name)
        for name in self.processes():
            if self._run("docker", "inspect", "--format", "{{.State.Running}}", self._container(name)) != "true":
                self.start(name)
            self._learn_address(name)
        self.wait_ready(*self.processes())
        for name in self.processes():
            self.set_faults(name)

    def kill(self, name):
        self._run("docker", "kill", self._container(name))
        self.paused.discard(name)

    def start(self, name):
        self._run("docker", "start", self._container(name))
        self._learn_address(name)

    def pause(self, name):
        self._run("docker", "pause", self._container(name))
        self.paused.add(name)

    def resume(self, name):
        self._run("docker", "unpause", self._container(name))
        self.paused.discard(name)

    def move(self, name):
        """A new container on the old volume; another one takes the first free address before it."""
        self._run("docker", "rm", "-f", self._container(name))
        del self.ids[name]
        before, squatter = self.addresses[name], f"{PROJECT}-squatter"
        self._run("docker", "run", "-d", "--rm", "--name", squatter, "--network", NETWORK, "--entrypoint", "sleep",
                  self.environment["ANNULUS_IMAGE"], "infinity")
        try:
            self._compose("up", "-d", "--no-build", "--no-deps", name)
            self._learn_address(name)
        finally:
            self._run("docker", "rm", "-f", squatter)
        if self.addresses[name] == before:
            raise Unavailable("the engine gave the new container the old address")

    # --- the network ----------------------------------------------------------------------------------

    def disconnect(self, name):
        self._run("docker", "network", "disconnect", NETWORK, self._container(name))
        self.gone.add(name)

    def connect(self, name):
        self._run("docker", "network", "connect", "--alias", name, NETWORK, self._container(name))
        self.gone.discard(name)
        self._learn_address(name)

    def _iptables(self, action, name):
        # In the container's own network, by the host's program: the image has none.
        pid = self._run("docker", "inspect", "--format", "{{.State.Pid}}", self._container(name))
        for chain in ("INPUT", "OUTPUT"):
            done = subprocess.run(["nsenter", "-t", pid, "-n", "iptables", "-w", action, chain, "-p", "tcp",
                                   "!", "-i" if chain == "INPUT" else "-o", "lo", "-j", "DROP"],
                                  capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise Unavailable(f"iptables in {name}: {done.stderr.strip()}")

    # --- the rest -------------------------------------------------------------------------------------

    def limit(self, name, cpus=None, memory_bytes=None):
        node = name in self.nodes
        cpus = cpus or (NODE_CPUS if node else COORDINATOR_CPUS)
        memory_bytes = memory_bytes or (NODE_BYTES if node else COORDINATOR_BYTES)
        self.limited.add(name)
        self._run("docker", "update", "--cpus", str(cpus), "--memory", str(memory_bytes), "--memory-swap",
                  str(memory_bytes), self._container(name))

    def run_cli(self, *arguments, timeout=60):
        done = subprocess.run(["docker", "exec", self._container("client"), "annulus", *map(str, arguments)],
                              capture_output=True, text=True, timeout=timeout, check=False, stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout + done.stderr

    def start_cli(self, *arguments, cpus=None):
        self._run("docker", "update", "--cpus", str(cpus or NODE_CPUS), self._container("client"))
        return subprocess.Popen(["docker", "exec", self._container("client"), "annulus", *map(str, arguments)],
                                stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)

    def memory_peak(self, name):
        for line in self._run("docker", "exec", self._container(name), "cat", "/proc/1/status").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
        return 0

    def log_tail(self, name):
        return self._run("docker", "logs", "--tail", "20", self._container(name), check=False)
