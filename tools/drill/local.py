"""A cluster of real processes on loopback, each with an address, a configuration and a log of its own.

As root every process runs in a mount namespace with a hosts file of the drill's, so that members have
names whose addresses can change; otherwise they are addresses. CPU and memory limits take a cgroup.
"""

import contextlib
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import tempfile
import time

from cluster import REAP_SECONDS, Cluster, Unavailable
from local_cluster import BINARY, environment, free_base_port

STEP = 10  # ports between processes
CLIENT, PEER, HTTP = 0, 1, 2
CGROUPS = pathlib.Path("/sys/fs/cgroup")


class LocalCluster(Cluster):
    def __init__(self):
        super().__init__()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="annulus-drill-"))
        self.hosts = self.folder / "hosts"
        self.names = os.geteuid() == 0 and shutil.which("unshare") is not None
        count = len(self.processes())
        self.base = free_base_port([STEP * i + j for i in range(count) for j in (CLIENT, PEER, HTTP)])
        self.addresses = {name: f"127.0.0.{i + 1}" for i, name in enumerate(self.processes())}
        self.running, self.paused, self.cgroups = {}, set(), {}

    # --- addresses ------------------------------------------------------------------------------------

    def _port(self, name, which):
        return self.base + STEP * self.processes().index(name) + which

    def client_address(self, name):
        return f"{self.addresses[name]}:{self._port(name, CLIENT)}"

    def http_address(self, name):
        return f"{self.addresses[name]}:{self._port(name, HTTP)}"

    def _write_hosts(self):
        # In place: the processes have this very file before their eyes.
        lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in self.addresses.items())]
        with open(self.hosts, "w", encoding="ascii") as file:
            file.write("\n".join(lines) + "\n")

    def _with_names(self, command):
        """The command, where our hosts file is the system's; exec keeps the process id."""
        if not self.names:
            return command
        return ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', str(self.hosts),
                *command]

    # --- life -----------------------------------------------------------------------------------------

    def up(self):
        self._write_hosts()
        secret = secrets.token_hex(32)
        members = [f"{name}={name if self.names else self.addresses[name]}:{self._port(name, PEER)}"
                   for name in self.nodes]
        for name in self.processes():
            role = "node" if name in self.nodes else "coordinator"
            (self.folder / f"{name}.toml").write_text(
                f'name = "{name}"\nrole = "{role}"\ndata_dir = "{self.folder / name}"\nsecret = "{secret}"\n'
                f'members = {members!r}\nenable_faults = true\n'
                f'reap_interval = {REAP_SECONDS}\n', encoding="utf-8")
        for name in self.processes():
            self.start(name)
        self.wait_ready(*self.processes())

    def start(self, name):
        address = self.addresses[name]
        command = [BINARY, "serve", "--config", str(self.folder / f"{name}.toml"),
                   "--listen-client", f"{address}:{self._port(name, CLIENT)}",
                   "--listen-peer", f"{address}:{self._port(name, PEER)}",
                   "--listen-http", f"{address}:{self._port(name, HTTP)}"]
        if name in self.coordinators:
            command += ["--advertise-peer", f"{address}:{self._port(name, PEER)}"]
        if name in self.cgroups:
            command = self.cgroups[name].joined(command)
        with open(self.folder / f"{name}.log", "ab") as log:
            # pylint: disable=consider-using-with
            self.running[name] = subprocess.Popen(self._with_names(command), stdin=subprocess.DEVNULL,
                                                  stdout=log, stderr=log, env=environment())

    def down(self):
        with contextlib.suppress(Unavailable):
            for name in list(self.dropped):
                self.pass_packets(name)
        for process in self.running.values():
            process.kill()  # meets a paused process too
        for process in self.running.values():
            process.wait()
        self.running.clear()
        for name in list(self.cgroups):
            self.limit(name)
        shutil.rmtree(self.folder, ignore_errors=True)

    def heal(self):
        for name in list(self.dropped):
            self.pass_packets(name)
        for name in list(self.cgroups):
            self.limit(name)
        for name in list(self.paused):
            self.resume(name)
        for name in self.processes():
            if name not in self.running or self.running[name].poll() is not None:
                self.start(name)
        self.wait_ready(*self.processes())
        for name in self.processes():
            self.set_faults(name)

    def kill(self, name):
        process = self.running.pop(name)
        process.kill()
        process.wait()
        self.paused.discard(name)

    def pause(self, name):
        self.running[name].send_signal(signal.SIGSTOP)
        self.paused.add(name)

    def resume(self, name):
        self.running[name].send_signal(signal.SIGCONT)
        self.paused.discard(name)

    def move(self, name):
        if not self.names:
            raise Unavailable("names whose addresses change take root and unshare")
        number = self.processes().index(name) + 1
        self.addresses[name] = f"127.0.{'1' if self.addresses[name].startswith('127.0.0.') else '0'}.{number}"
        self._write_hosts()
        self.start(name)

    def pid(self, name):
        return self.running[name].pid

    # --- packets --------------------------------------------------------------------------------------

    def _iptables(self, action, name):
        """On the links to its peer port; those that it has opened itself stay."""
        if os.geteuid() != 0:
            raise Unavailable("iptables takes root")
        if shutil.which("iptables") is None:
            raise Unavailable("there is no iptables on this machine")
        for side in ("--dport", "--sport"):
            done = subprocess.run(["iptables", "-w", action, "INPUT", "-i", "lo", "-p", "tcp", side,
                                   str(self._port(name, PEER)), "-j", "DROP"], capture_output=True, text=True,
                                  check=False)
            if done.returncode != 0:
                raise Unavailable(f"iptables: {done.stderr.strip()}")

    # --- limits ---------------------------------------------------------------------------------------

    def limit(self, name, cpus=None, memory_bytes=None):
        if name in self.cgroups:
            self.cgroups.pop(name).remove()
        if cpus is not None or memory_bytes is not None:
            self.cgroups[name] = Cgroup(f"annulus-drill-{os.getpid()}-{name}", self.pid(name), cpus, memory_bytes)

    # --- the rest -------------------------------------------------------------------------------------

    def run_cli(self, *arguments, timeout=60):
        endpoints = ",".join(map(self.client_address, self.coordinators))
        done = subprocess.run(self._with_names([BINARY, *map(str, arguments)]), capture_output=True, text=True,
                              timeout=timeout, env=environment({"ANNULUS_ENDPOINTS": endpoints}), check=False)
        return done.returncode, done.stdout + done.stderr

    def start_cli(self, *arguments, cpus=None):
        endpoints = ",".join(map(self.client_address, self.coordinators))
        process = subprocess.Popen(self._with_names([BINARY, *map(str, arguments)]), stdout=subprocess.PIPE, text=True,
                                   stdin=subprocess.DEVNULL, env=environment({"ANNULUS_ENDPOINTS": endpoints}))
        name = f"cli-{process.pid}"
        if cpus is not None:
            self.cgroups[name] = Cgroup(f"annulus-drill-{os.getpid()}-{name}", process.pid, cpus, None)
        return process

    def memory_peak(self, name):
        for line in pathlib.Path(f"/proc/{self.pid(name)}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
        return 0

    def log_tail(self, name):
        with contextlib.suppress(OSError):
            return (self.folder / f"{name}.log").read_text(errors="replace")[-2000:]
        return ""


class Cgroup:
    """One process in a control group of its own, of version 1 or 2."""

    PERIOD_US = 100_000

    def __init__(self, name, pid, cpus, memory_bytes):
        self.folders = []
        second = (CGROUPS / "cgroup.controllers").exists()
        try:
            if cpus is not None:
                quota = int(cpus * self.PERIOD_US)
                if second:
                    self._write(CGROUPS / name, "cpu.max", f"{quota} {self.PERIOD_US}")
                else:
                    self._write(CGROUPS / "cpu" / name, "cpu.cfs_quota_us", quota)
            if memory_bytes is not None:
                if second:
                    self._write(CGROUPS / name, "memory.max", memory_bytes)
                else:
                    self._write(CGROUPS / "memory" / name, "memory.limit_in_bytes", memory_bytes)
            for folder in self.folders:
                (folder / "cgroup.procs").write_text(str(pid), encoding="ascii")
        except OSError as error:
            self.remove()
            raise Unavailable(f"no control groups to write to: {error}") from None

    def joined(self, command):
        """The command, which joins the group before it begins; exec keeps the process id."""
        joins = "".join(f"echo $$ >{folder}/cgroup.procs; " for folder in self.folders)
        return ["sh", "-c", f'{joins}exec "$@"', "sh", *command]

    def _write(self, folder, file, value):
        folder.mkdir(exist_ok=True)
        if folder not in self.folders:
            self.folders.append(folder)
        (folder / file).write_text(str(value), encoding="ascii")

    def remove(self):
        for folder in self.folders:
            with contextlib.suppress(OSError):
                for pid in (folder / "cgroup.procs").read_text(encoding="ascii").split():
                    (folder.parent / "cgroup.procs").write_text(pid, encoding="ascii")
            # The kernel may take a moment to let go of it.
            for _ in range(50):
                try:
                    folder.rmdir()
                    break
                except OSError:
                    time.sleep(0.02)
