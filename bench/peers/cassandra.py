"""Cassandra from its Maven artifact: three daemons on this machine, each with an address of its own."""

import re
import shutil
import signal
import subprocess
import time

from systems import KEYS, Missing, PEERS, Processes, accepts, free_ports, run_json, say

VERSION = "5.0.6"
NODES = 3
HEAP = "1g"
START_SECONDS = 240

# Each owns the same share of Murmur3's tokens; with as many copies as nodes every node has every key.
TOKENS = [-(1 << 63) + (1 << 64) * i // NODES for i in range(NODES)]

POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>annulus.bench</groupId>
  <artifactId>cassandra</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.cassandra</groupId>
      <artifactId>cassandra-all</artifactId>
      <version>{VERSION}</version>
    </dependency>
  </dependencies>
</project>
"""

# What is not said here is as Cassandra has it by default. Known to each other from the start, the nodes have
# nothing to fetch from one another. commitlog_sync is the promise that is measured. While much of it is still
# to be compiled, some requests take longer than the usual 2 s.
CONFIGURATION = """cluster_name: bench
num_tokens: 1
initial_token: {token}
auto_bootstrap: false
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters:
      - seeds: "{seeds}"
listen_address: {address}
rpc_address: {address}
native_transport_port: {port}
storage_port: {storage_port}
commitlog_sync: batch
read_request_timeout: 10s
write_request_timeout: 10s
"""

# Without one, each line of debugging is logged.
LOGBACK = """<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%-5level %date{HH:mm:ss.SSS} %logger{0}: %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="out"/></root>
</configuration>
"""

# As in its conf/jvm-server.options and conf/jvm17-server.options.
JVM_OPTIONS = ["-ea", f"-Xms{HEAP}", f"-Xmx{HEAP}", "-Xss256k", "-XX:+AlwaysPreTouch", "-XX:+PerfDisableSharedMem",
               "-XX:+ExitOnOutOfMemoryError",
               "-XX:+UseG1GC", "-XX:+ParallelRefProcEnabled", "-XX:MaxTenuringThreshold=1", "-XX:G1HeapRegionSize=16m",
               "-XX:G1RSetUpdatingPauseTimePercent=5", "-XX:MaxGCPauseMillis=300",
               "-XX:InitiatingHeapOccupancyPercent=70", "-Djava.net.preferIPv4Stack=true",
               "-Djdk.attach.allowAttachSelf=true", "-Dio.netty.tryReflectionSetAccessible=true",
               "-Dio.netty.allocator.useCacheForAllThreads=true", "-Dio.netty.allocator.maxOrder=11"]
EXPORTS = ["java.base/java.lang.ref", "java.base/jdk.internal.misc", "java.management.rmi/com.sun.jmx.remote.internal.rmi",
           "java.rmi/sun.rmi.registry", "java.rmi/sun.rmi.server", "java.sql/java.sql", "jdk.attach/sun.tools.attach",
           "jdk.compiler/com.sun.tools.javac.file", "jdk.unsupported/sun.misc"]
OPENS = ["java.base/java.io", "java.base/java.lang", "java.base/java.lang.module", "java.base/java.lang.reflect",
         "java.base/java.util", "java.base/jdk.internal.loader", "java.base/jdk.internal.math",
         "java.base/jdk.internal.module", "java.base/jdk.internal.ref", "java.base/jdk.internal.reflect",
         "java.base/jdk.internal.util.jar", "java.base/sun.nio.ch", "jdk.compiler/com.sun.tools.javac",
         "jdk.management/com.sun.management.internal"]


def cassandra_jars(folder):
    """The folder of its jars, fetched by Maven the first time."""
    _require_java_17()
    if not shutil.which("mvn"):
        raise Missing("mvn (Debian: apt-get install maven)")
    project = folder / f"cassandra-{VERSION}"
    jars = project / "jars"
    if not jars.exists():
        say(f"fetching org.apache.cassandra:cassandra-all:{VERSION} with Maven")
        fetched = project / "fetched"
        shutil.rmtree(project, ignore_errors=True)
        project.mkdir(parents=True)
        (project / "pom.xml").write_text(POM, encoding="utf-8")
        done = subprocess.run(["mvn", "--batch-mode", "--quiet", "dependency:copy-dependencies",
                               "-DincludeScope=runtime", f"-DoutputDirectory={fetched}"], cwd=project,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Missing(f"org.apache.cassandra:cassandra-all:{VERSION}, which Maven could not fetch:\n{done.stdout[-2000:]}"
                          "\nMaven's own settings (~/.m2/settings.xml) say where from, and through which proxy")
        fetched.rename(jars)
    return jars


def _require_java_17():
    """Of the two that Cassandra 5.0 runs on it is the one that the options above are for."""
    wanted = "Java 17 as `java` (Debian: apt-get install openjdk-17-jre-headless)"
    if not shutil.which("java"):
        raise Missing(wanted)
    said = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    if not re.search(r'version "17[."]', said):
        raise Missing(f"{wanted}, not {said.strip().splitlines()[0] if said.strip() else 'one that does not say its version'}")


class Cassandra(Processes):
    """A write is in the commit log of a majority, synced, before it is acknowledged (commitlog_sync: batch).

    Stopped while others are measured: three JVMs compile and compact for a long time after their load. They
    stop together, and each takes it for a pause of its own, not for the end of the others.
    """

    def __init__(self, folder, jars):
        super().__init__(folder)
        self.addresses = [f"127.0.0.{i + 1}" for i in range(NODES)]
        self.port = free_ports(2)
        self.endpoints = [f"{address}:{self.port}" for address in self.addresses]
        (self.folder / "logback.xml").write_text(LOGBACK, encoding="utf-8")
        for address, token in zip(self.addresses, TOKENS):
            home = self.folder / address
            home.mkdir()
            (home / "cassandra.yaml").write_text(
                CONFIGURATION.format(token=token, seeds=",".join(self.addresses), address=address, port=self.port,
                                     storage_port=self.port + 1), encoding="utf-8")
            self.start("java", *JVM_OPTIONS, *(f"--add-exports={name}=ALL-UNNAMED" for name in EXPORTS),
                       *(f"--add-opens={name}=ALL-UNNAMED" for name in OPENS), f"-javaagent:{next(jars.glob('jamm-*.jar'))}",
                       f"-Dcassandra.config={(home / 'cassandra.yaml').as_uri()}", f"-Dcassandra.storagedir={home}",
                       "-Dcassandra-foreground=yes", f"-Dlogback.configurationFile={self.folder / 'logback.xml'}",
                       "-cp", f"{jars}/*", "org.apache.cassandra.service.CassandraDaemon")
        self.began, self.serving = time.monotonic(), 0
        self.wait_for(self._all_serve, "Cassandra", seconds=START_SECONDS)
        self._signal(signal.SIGSTOP)

    def _all_serve(self):
        serving = sum(accepts(self.port, address) for address in self.addresses)
        if serving != self.serving:
            self.serving = serving
            say(f"  cassandra: {serving} of {NODES} nodes serve, after {time.monotonic() - self.began:.0f} s")
        return serving == NODES

    def _signal(self, number):
        for process in self.running:
            process.send_signal(number)

    def bench(self, clients, reads, seconds, *, fill=False, warm_up=3):
        self._signal(signal.SIGCONT)
        try:
            return run_json(PEERS, "cassandra", "--endpoints", ",".join(self.endpoints), "--clients", clients, "--reads",
                            reads, "--seconds", seconds, "--warm-up", warm_up, "--keys", KEYS, *(["--fill"] if fill else []))
        finally:
            self._signal(signal.SIGSTOP)

    def __exit__(self, *details):
        self._signal(signal.SIGCONT)
        super().__exit__(*details)
