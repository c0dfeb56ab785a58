"""Real ClickHouse servers on free ports of the loopback, each in a directory of its own: one, or a replicated cluster.

Debian's packages ``clickhouse-server`` and, for a cluster, ``zookeeper`` are all that is needed.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

START_SECONDS = 60.0

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
