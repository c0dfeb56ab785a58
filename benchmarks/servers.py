"""Real ClickHouse servers on free ports of the loopback, each in a directory of its own: one, or a replicated cluster.

Debian's packages ``clickhouse-server`` and, for a cluster, ``zookeeper`` are all that is needed.
"""

from __future__ import annotations

import shutil
import signal
import socket
import struct
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

START_SECONDS = 60.0
ZOOKEEPER = "/usr/share/java/zookeeper.jar"

_GREETING = struct.pack(">iiqiqi16x", 44, 0, 0, 4000, 0, 16)
"""ZooKeeper's request for a session: its length, version, last transaction, timeout in ms, session, password."""

USERS = """<?xml version="1.0"?>
<yandex>
  <profiles><default/></profiles>
  <users><default>
    <password></password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>
  </default></users>
  <quotas><default/></quotas>
</yandex>
"""


class NoServer(Exception):
    """A server did not come up; the message ends with what it wrote."""


@dataclass
class Server:
    """One server process. ``http`` is the port for the store, ``native`` the one for the other servers."""

    directory: Path
    cluster: str = ""
    http: int = 0
    native: int = 0
    interserver: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """The URL of a store on this server, without the database."""
        return f"clickhouse://127.0.0.1:{self.http}"

    def configure(self) -> None:
        """Write the configuration."""
        self.directory.mkdir(parents=True, exist_ok=True)
        at = self.directory
        (at / "users.xml").write_text(USERS)
        (at / "config.xml").write_text(
            f"""<?xml version="1.0"?>
<yandex>
  <logger><level>warning</level><console>1</console></logger>
  <listen_host>127.0.0.1</listen_host>
  <http_port>{self.http}</http_port><tcp_port>{self.native}</tcp_port>
  <interserver_http_port>{self.interserver}</interserver_http_port>
  <interserver_http_host>127.0.0.1</interserver_http_host>
  <path>{at}/data/</path><tmp_path>{at}/tmp/</tmp_path><user_files_path>{at}/files/</user_files_path>
  <format_schema_path>{at}/schemas/</format_schema_path>
  <users_config>users.xml</users_config>
  <default_profile>default</default_profile><default_database>default</default_database>
  <mark_cache_size>67108864</mark_cache_size>
  <keep_alive_timeout>10</keep_alive_timeout>
  {self.cluster}
</yandex>
"""
        )

    def start(self) -> None:
        """Start the process and wait until it answers. Raises NoServer."""
        program = shutil.which("clickhouse-server", path="/usr/sbin:/usr/bin:/usr/local/bin")
        if program is None:
            raise NoServer("clickhouse-server is not installed: apt-get install clickhouse-server")
        log = self.directory / "log"
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [program, f"--config-file={self.directory / 'config.xml'}"],
                stdout=output,
                stderr=output,
                cwd=self.directory,
            )
        until = time.monotonic() + START_SECONDS
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > until:
                raise NoServer(f"clickhouse-server did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)

    def answers(self) -> bool:
        """Return whether the server answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/ping", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def listens_for_others(self) -> bool:
        """Return whether the server reads what others of its cluster tell it to do."""
        sql = b"SELECT count() FROM system.zookeeper WHERE path = '/clickhouse/task_queue/ddl'"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/", sql, timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def kill(self) -> None:
        """End the process with SIGKILL."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None


def free_ports(count: int) -> list[int]:
    """Return ports that are free now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


@contextmanager
def one(directory: Path) -> Iterator[Server]:
    """Run one server until the block ends. Raises NoServer."""
    for attempt in range(3):
        http, native, interserver = free_ports(3)
        server = Server(directory / f"clickhouse-{attempt}", http=http, native=native, interserver=interserver)
        server.configure()
        try:
            server.start()
            break
        except NoServer:
            # Somebody else may have taken a port meanwhile.
            server.kill()
            if attempt == 2:
                raise
    try:
        yield server
    finally:
        server.kill()


@dataclass
class Cluster:
    """Servers of which each knows all; the first of a shard and the second hold the same."""

    servers: list[Server]
    name: str = "loopback"

    @property
    def url(self) -> str:
        """The URL of a store on this cluster, without database and options."""
        return "clickhouse://" + ",".join(f"127.0.0.1:{server.http}" for server in self.servers)


@contextmanager
def cluster(directory: Path, shards: int = 2, replicas: int = 2) -> Iterator[Cluster]:
    """Run a cluster with one ZooKeeper until the block ends. Raises NoServer."""
    keeper_port, *ports = free_ports(1 + 3 * shards * replicas)
    servers = []
    for number in range(shards * replicas):
        http, native, interserver = ports[3 * number : 3 * number + 3]
        servers.append(Server(directory / f"clickhouse-{number}", "", http, native, interserver))
    found = Cluster(servers)
    for number, server in enumerate(servers):
        server.cluster = _topology(found, replicas, keeper_port, number)
        server.configure()
    with ExitStack() as stack:
        stack.enter_context(zookeeper(directory / "zookeeper", keeper_port))
        for server in servers:
            stack.callback(server.kill)
            server.start()
        # Version 18.16 may crash when it is told to make a table on all servers before it is ready for that.
        _wait_for_all(servers)
        yield found


def _wait_for_all(servers: list[Server]) -> None:
    until = time.monotonic() + START_SECONDS
    for server in servers:
        while not server.listens_for_others():
            if time.monotonic() > until:
                raise NoServer("the servers of the cluster do not find each other")
            time.sleep(0.05)
    time.sleep(0.5)


def _topology(whole: Cluster, replicas: int, keeper_port: int, own: int) -> str:
    groups = [whole.servers[start : start + replicas] for start in range(0, len(whole.servers), replicas)]
    shards = "".join(
        "<shard><internal_replication>true</internal_replication>"
        + "".join(f"<replica><host>127.0.0.1</host><port>{server.native}</port></replica>" for server in group)
        + "</shard>"
        for group in groups
    )
    shard, replica = divmod(own, replicas)
    return f"""
  <zookeeper>
    <node><host>127.0.0.1</host><port>{keeper_port}</port></node><session_timeout_ms>4000</session_timeout_ms>
  </zookeeper>
  <remote_servers><{whole.name}>{shards}</{whole.name}></remote_servers>
  <macros><shard>{shard}</shard><replica>{replica}</replica></macros>
  <distributed_ddl><path>/clickhouse/task_queue/ddl</path></distributed_ddl>"""


@contextmanager
def zookeeper(directory: Path, port: int) -> Iterator[None]:
    """Run one ZooKeeper server until the block ends. Raises NoServer."""
    directory.mkdir(parents=True)
    settings = {"dataDir": directory, "clientPort": port, "clientPortAddress": "127.0.0.1", "tickTime": 1000}
    more = {"admin.enableServer": "false", "maxClientCnxns": 200, "maxSessionTimeout": 20000}
    config = directory / "zoo.cfg"
    config.write_text("".join(f"{name}={value}\n" for name, value in {**settings, **more}.items()))
    if shutil.which("java") is None or not Path(ZOOKEEPER).exists():
        raise NoServer("ZooKeeper is not installed: apt-get install zookeeper")
    command = ["java", "-Xmx256m", "-cp", ZOOKEEPER]
    with (directory / "log").open("wb") as output:
        process = subprocess.Popen(
            [*command, "org.apache.zookeeper.server.ZooKeeperServerMain", str(config)], stdout=output, stderr=output
        )
    try:
        _wait_for_session(process, port, directory / "log")
        yield
    finally:
        process.kill()
        process.wait()


def _wait_for_session(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                connection.sendall(_GREETING)
                # It listens before it takes sessions, and closes the connections of those who are early.
                if connection.recv(4):
                    return
        except OSError:
            time.sleep(0.1)
        if process.poll() is not None or time.monotonic() > until:
            raise NoServer(f"ZooKeeper did not start: {log.read_text(errors='replace')[-2000:]}")
