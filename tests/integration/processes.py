"""Real processes for tests: `imageway serve` and `imageway sandbox` on free loopback ports, ended by their own ids."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from imageway.core.ids import new_id
from imageway.core.money import format_usd, parse_usd
from imageway.core.ops import Committed, Store
from imageway.ledger.ops import CreateKey, CreateWorkspace, TopUp
from imageway.ledger.queries import FindWorkspace, ListUsage, ShowWallet, Wallet
from imageway.ledger.usage import FindUsage, UsageDetail
from imageway.ledger.verifying import Finding, verify
from imageway.server.auth import digest_of, new_key
from imageway.server.books import open_books
from imageway.server.configuration import read_settings
from imageway.server.machine import SystemRandom

T = TypeVar("T")
CHANCE = SystemRandom()

PROVIDER_VARIABLES = ("OPENAI", "GEMINI", "VERTEX", "ARK", "DASHSCOPE")
START_S = 30
CRASHES = ("Traceback", "request.crashed", "task.crashed", "Exception in ASGI", "never retrieved")


def clean_environment(**extra: str) -> dict[str, str]:
    """Ours, without any provider's credential, with `extra`."""
    names = {f"{provider}_{suffix}" for provider in PROVIDER_VARIABLES for suffix in ("API_KEY", "BASE_URL")}
    kept = {name: value for name, value in os.environ.items() if name not in names and not name.startswith("IMAGEWAY")}
    return {**kept, **extra}


@dataclass
class Process:
    """One command that serves. `url` is what its ready line said."""

    child: subprocess.Popen[str]
    url: str
    log: Path

    def kill(self) -> None:
        self.child.kill()
        self.child.wait(timeout=10)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.child.terminate()
        return self.child.wait(timeout=40)

    def wait_killed(self) -> int:
        return self.child.wait(timeout=30)


def start(arguments: list[str], log: Path, environment: Mapping[str, str]) -> Process:
    with log.open("a") as errors:
        child = subprocess.Popen(
            [sys.executable, "-m", "imageway.cli.main", *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            env=dict(environment),
            text=True,
        )
    assert child.stdout is not None
    line = child.stdout.readline()
    if not line.startswith("ready "):
        child.kill()
        raise AssertionError(f"{arguments} did not start: {log.read_text()[-2000:]}")
    return Process(child, line.split()[1], log)


def command(*arguments: str, data: Path, environment: Mapping[str, str] | None = None) -> Any:
    """A command that ends, with --json where it has it; its JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "imageway.cli.main", *arguments, "--json", "--data", str(data)],
        capture_output=True,
        text=True,
        timeout=60,
        env=dict(environment or clean_environment()),
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)


def call(
    url: str,
    body: object = None,
    *,
    key: str | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 60,
) -> Answer:
    """One HTTP call. A connection that breaks raises OSError."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
    sent = {
        "content-type": "application/json",
        **({"authorization": f"Bearer {key}"} if key else {}),
        **(headers or {}),
    }
    request = urllib.request.Request(url, content, sent)
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as reply:
            return Answer(reply.status, _lower(reply.headers), reply.read())
    except urllib.error.HTTPError as error:
        return Answer(error.code, _lower(error.headers), error.read())


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def connect(url: str, *, timeout_s: float = 15) -> socket.socket:
    """A raw connection to where `url` points."""
    parts = urlsplit(url)
    assert parts.hostname
    return socket.create_connection((parts.hostname, parts.port or 80), timeout=timeout_s)


def read_to_end(connection: socket.socket) -> bytes:
    """Everything until the other side closes; a reset ends it too. Fails when nobody closes in time."""
    received = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while chunk := connection.recv(65536):
            received += chunk
    return bytes(received)


def exchange(url: str, content: bytes, *, timeout_s: float = 15) -> bytes:
    """What comes back for exactly these bytes, until the other side closes."""
    with connect(url, timeout_s=timeout_s) as connection:
        connection.sendall(content)
        return read_to_end(connection)


def answer_of(received: bytes) -> Answer:
    """The first answer in what came back over a raw connection; its body by length."""
    head, _, rest = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    assert first.startswith("HTTP/1.1 "), received[:200]
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Answer(int(first.split()[1]), headers, rest[: int(headers.get("content-length", len(rest)))])


def assert_told(answer: Answer, status: int, code: str, param: str | None = None) -> dict[str, Any]:
    """An error in the unified envelope, fit for a caller's eyes."""
    assert answer.status == status, answer.content[:500]
    error: dict[str, Any] = answer.json["error"]
    assert error["code"] == code, error
    if param is not None:
        assert error["param"] == param, error
    assert error["request_id"] == answer.headers["x-request-id"]
    assert error["message"]
    assert b"Traceback" not in answer.content
    assert b'File "' not in answer.content
    assert len(answer.content) < 32_768
    return error


@dataclass
class House:
    """A data directory, a key with money, and the gateway processes that come and go on it."""

    data: Path
    environment: dict[str, str]
    arguments: tuple[str, ...] = ()
    key: str = ""
    running: list[Process] = field(default_factory=list)

    def fund(self, usd: str = "10", *, models: tuple[str, ...] = ()) -> str:
        self.key = self.key_for("w", usd, models=models)
        return self.key

    def key_for(self, workspace: str, usd: str = "0", *, models: tuple[str, ...] = ()) -> str:
        """A key of a workspace of its own, whose wallet is topped up. Like all of a house's books it is done in this
        process, a hundred times as fast as a command; commands have tests of their own."""
        key, now_ms = new_key(CHANCE), int(time.time() * 1000)

        async def make(store: Store) -> None:
            await store.commit(CreateWorkspace(new_id("ws", CHANCE), workspace, now_ms))  # refused when it is there
            owner = await store.read(FindWorkspace(workspace))
            assert owner is not None
            named = CreateKey(new_id("key", CHANCE), owner.id, "", digest_of(key), key[-4:], models, now_ms)
            paid = (TopUp(new_id("top", CHANCE), owner.id, parse_usd(usd), now_ms),) if usd != "0" else ()
            assert isinstance(await store.commit(named, *paid), Committed)

        self._with_books(make)
        return key

    def serve(self, **environment: str) -> Process:
        log = self.data.parent / "gateway.log"
        arguments = ["serve", "--port", "0", "--data", str(self.data), *self.arguments]
        process = start(arguments, log, {**self.environment, **environment})
        self.running.append(process)
        return process

    def wallet(self, workspace: str = "w") -> dict[str, str]:
        """As `wallet show --json` has it."""
        found = self.money(workspace)
        amounts = {"available_usd": found.available, "held_usd": found.held, "spent_usd": found.spent}
        return {"workspace": workspace, **{name: format_usd(amount) for name, amount in amounts.items()}}

    def money(self, workspace: str = "w") -> Wallet:
        """The wallet in micro-dollars."""

        async def read(store: Store) -> Wallet:
            owner = await store.read(FindWorkspace(workspace))
            assert owner is not None
            wallet = await store.read(ShowWallet(owner.id))
            assert wallet is not None
            return wallet

        return self._with_books(read)

    def usage(self) -> list[dict[str, Any]]:
        """Newest first, with the fields of `usage --json`."""
        rows = self._with_books(lambda store: store.read(ListUsage()))
        return [
            {
                **{
                    name: getattr(row, name)
                    for name in ("request_id", "workspace", "model", "outcome", "n", "delivered")
                },
                "price_usd": format_usd(row.price_usd_micros),
                "cost_usd": format_usd(row.cost_usd_micros),
                "delivery": row.delivery,
                "upstream": row.upstream_id,
            }
            for row in rows
        ]

    def newest(self) -> UsageDetail:
        """The last usage record, whole."""
        (row,) = self._with_books(lambda store: store.read(FindUsage(limit=1)))
        return row

    def differences(self) -> tuple[Finding, ...]:
        """What `ledger verify` would tell."""
        return self._with_books(verify)

    def _with_books(self, work: Callable[[Store], Awaitable[T]]) -> T:
        async def opened() -> T:
            async with open_books(read_settings({"data": self.data}, self.environment)) as store:
                return await work(store)

        return asyncio.run(opened())

    def close(self) -> None:
        for process in self.running:
            if process.child.poll() is None:
                process.kill()


@contextlib.contextmanager
def unharmed_by(house: House, gateway: Process) -> Iterator[None]:
    """What happens inside leaves the workspace `w` as it was, nothing held, nothing spent, and the gateway well."""
    seen, spent = len(gateway.log.read_text()), house.money().spent
    yield
    wait_for(lambda: house.money().held == 0, seconds=8)
    assert house.money().spent == spent
    assert gateway.child.poll() is None
    assert call(f"{gateway.url}/healthz", timeout_s=5).status == 200
    news = gateway.log.read_text()[seen:]
    assert not [word for word in CRASHES if word in news], news[-4000:]
    assert not [line for line in news.splitlines() if not line.startswith('{"')], news[-4000:]


def wait_for(what: Any, *, seconds: float = 20) -> Any:
    """Asks until the answer is true; fails after a while."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if got := what():
            return got
        time.sleep(0.1)
    raise AssertionError("it did not happen in time")
