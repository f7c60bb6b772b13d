"""Proxies in front of a cluster, with the configurations that the documents give."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from attrs import frozen

from dqtw.check.asking import Address, NoStats
from dqtw.check.doors import open_door
from tests.cluster.cluster import Cluster, root, wait_for
from tests.process.node import free_ports

configurations = root / "docs/how-to/proxy"
proxy_protocol_port = 7712  # as the documents have it


@frozen
class Proxy:
    """A running proxy.

    Attributes:
        doors: where clients come in, by the port that the documents give it.
    """

    process: subprocess.Popen[bytes]
    doors: Mapping[int, Address]

    def end(self) -> None:
        """Ask it to leave; a proxy that does not is killed."""
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def line_behind_proxy(port: int) -> str:
    """The option of a node whose lines come with the PROXY protocol."""
    return f"--line=haproxy:tcp:{port}:interface=127.0.0.1"


@contextmanager
def behind(kind: str, cluster: Cluster) -> Iterator[tuple[Proxy, dict[str, int]]]:
    """Start a cluster with a proxy in front; the ports that take the PROXY protocol are given, too."""
    ports = dict(zip(cluster.ids, free_ports(len(cluster.ids)), strict=True))
    for id in cluster.ids:
        cluster.launch(id, line_behind_proxy(ports[id]))
    cluster.wait_whole()
    proxy = {"haproxy": haproxy, "nginx": nginx}[kind](cluster, ports)
    try:
        yield proxy, ports
    finally:
        proxy.end()


def configuration(name: str, cluster: Cluster, behind_ports: Mapping[str, int]) -> tuple[str, dict[int, Address]]:
    """A documented configuration for this cluster, and where it lets clients in."""
    text = (configurations / name).read_text()
    for number, id in enumerate(cluster.ids, 1):
        place = cluster.places[id]
        text = text.replace(f"10.0.0.{number}:8080", f"127.0.0.1:{place.http_port}")
        for documented, port in ((7711, place.line_port), (proxy_protocol_port, behind_ports[id])):
            text = text.replace(f"10.0.0.{number}:{documented}", f"127.0.0.1:{port}")
    doors = {}
    for documented, scheme in ((8080, "http"), (7711, "line"), (proxy_protocol_port, "line")):
        (port,) = free_ports(1)
        doors[documented] = Address(scheme, "127.0.0.1", port)
        text = text.replace(f"10.0.0.10:{documented}", f"127.0.0.1:{port}")
    return text, doors


def haproxy(cluster: Cluster, behind_ports: Mapping[str, int]) -> Proxy:
    program = _program("haproxy")
    if not program:
        pytest.skip("needs haproxy")
    text, doors = configuration("haproxy.cfg", cluster, behind_ports)
    file = cluster.directory / "haproxy.cfg"
    file.write_text(text)
    return _started([program, "-db", "-f", str(file)], cluster.directory / "haproxy.log", doors)


def nginx(cluster: Cluster, behind_ports: Mapping[str, int]) -> Proxy:
    program, module = _program("nginx"), Path("/usr/lib/nginx/modules/ngx_stream_module.so")
    if not program or not module.exists():
        pytest.skip("needs nginx with its stream module")
    text, doors = configuration("nginx.conf", cluster, behind_ports)
    file = cluster.directory / "nginx.conf"
    file.write_text(_in_directory(text, cluster.directory).replace("modules/ngx_stream_module.so", str(module)))
    del doors[proxy_protocol_port]
    return _started([program, "-p", str(cluster.directory), "-c", str(file)], cluster.directory / "nginx.log", doors)


def _program(name: str) -> str:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin") or ""


def _in_directory(text: str, directory: Path) -> str:
    """Keep nginx in the foreground, and let it write nowhere else; its workers must be able to write there."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"    {kind}_temp_path {directory}/{kind};\n" for kind in kinds)
    user = "user root;\n" if os.geteuid() == 0 else ""
    here = f"{user}pid {directory}/nginx.pid; error_log {directory}/nginx.err; daemon off;\n"
    return here + text.replace("http {\n", f"http {{\n    access_log off;\n{paths}")


def _started(command: list[str], log_file: Path, doors: Mapping[int, Address]) -> Proxy:
    with log_file.open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
    proxy = Proxy(process, doors)
    try:
        for door in doors.values():
            wait_for(lambda door=door: _answers(door), f"no node behind {door}", story=log_file.read_text)  # type: ignore[misc]
    except BaseException:
        proxy.end()
        raise
    return proxy


def _answers(address: Address) -> bool:
    with closing(open_door(address, 2.0)) as door, suppress(NoStats):
        return bool(door.stats())
    return False
