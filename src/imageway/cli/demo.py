"""`imageway demo`: the gateway on its embedded default, and pictures through it over a real socket.

Only pretend upstreams are used, whatever credentials the environment holds: a demo never spends money."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from imageway.catalog import load
from imageway.cli.books import Books, make_funded_key, usage_prices, wallet_of
from imageway.cli.generating import picture_of, post
from imageway.cli.printing import Stop, print_table

WORKSPACE = "demo"
TOP_UP_USD = "5"
PORT = 8400
READY_S = 30
SHOTS = Path(__file__).with_name("demo.toml")


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture to make; `uses` names an earlier one that its body needs."""

    name: str
    what: str
    body: Mapping[str, object]
    uses: str = ""


@dataclass(frozen=True, slots=True)
class Made:
    shot: Shot
    size: str
    seconds: float
    request_id: str
    file: Path
    content: bytes


def run_demo(output: Path, books: Books, *, stop: bool) -> None:
    """Leaves the gateway running until Ctrl-C, unless `stop`."""
    output.mkdir(parents=True, exist_ok=True)
    key = make_funded_key(books, WORKSPACE, TOP_UP_USD)
    gateway, url = _start(books)
    try:
        before = wallet_of(books, WORKSPACE)
        made = _make_all(url, key, output)
        _print_results(books, made, before)
        print(f"\nMake another:\n\n{_curl(url, key)}\n")
        if not stop:
            print("The gateway keeps running; Ctrl-C ends it.", flush=True)
            gateway.wait()
    except KeyboardInterrupt:
        print()
    finally:
        gateway.terminate()
        gateway.wait(timeout=40)


def _start(books: Books) -> tuple[subprocess.Popen[str], str]:
    """The gateway as a process of its own, without any provider's real credential."""
    secret_names = {
        name for provider in load().providers.values() for name in (provider.key_env, provider.base_url_env)
    }
    environment = {name: value for name, value in os.environ.items() if name not in secret_names}
    data = books.settings().data
    config = books.config or data / "demo.toml"
    config.touch()  # an empty one, so that an imageway.toml lying here brings no real credential in
    command = [sys.executable, "-m", "imageway.cli.main", "serve", "--sandbox", "--data", str(data)]
    command += ["--config", str(config)]
    command += ["--port", str(PORT if _is_free(PORT) else 0)]
    log = (data / "gateway.log").open("a")
    gateway = subprocess.Popen(  # noqa: S603  # our own program
        command, stdout=subprocess.PIPE, stderr=log, env={**environment, "IMAGEWAY_LOG_LEVEL": "info"}, text=True
    )
    log.close()
    line = gateway.stdout.readline() if gateway.stdout else ""
    if not line.startswith("ready "):
        gateway.kill()
        raise Stop(f"the gateway did not start; see {data / 'gateway.log'}")
    url = line.split()[1]
    print(f"The gateway answers at {url}\n", flush=True)
    return gateway, url


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _make_all(url: str, key: str, output: Path) -> list[Made]:
    made: dict[str, Made] = {}
    rows = tomllib.loads(SHOTS.read_text())["shots"]
    for shot in (Shot(**row) for row in rows):
        print(f"  {shot.body['model']}: {shot.what} … ", end="", flush=True)
        made[shot.name] = _make(url, key, shot, made, output)
        print(f"{made[shot.name].seconds:.1f} s", flush=True)
    return list(made.values())


def _make(url: str, key: str, shot: Shot, before: Mapping[str, Made], output: Path) -> Made:
    body = _filled(shot.body, before[shot.uses].content) if shot.uses else shot.body
    started_s = time.monotonic()
    answer = post(f"{url}/v1/images/generations", body, key)
    content = picture_of(answer.items[0])
    seconds = time.monotonic() - started_s
    ending = {b"\x89P": "png", b"\xff\xd8": "jpg"}.get(content[:2], "webp")
    file = output / f"{shot.name}.{ending}"
    file.write_bytes(content)
    return Made(shot, _size(content), seconds, answer.request_id, file, content)


def _filled(body: object, content: bytes) -> object:
    """The body with "{picture}" replaced by a picture made before, as a data URL."""
    if isinstance(body, dict):
        return {name: _filled(value, content) for name, value in body.items()}
    if isinstance(body, list):
        return [_filled(value, content) for value in body]
    if body != "{picture}":
        return body
    media_type = "image/png" if content.startswith(b"\x89PNG") else "image/jpeg"
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def _size(content: bytes) -> str:
    from imageway.bodies import blob_of

    facts = blob_of(content).facts
    return f"{facts.width}x{facts.height} {facts.format}" if facts else "?"


def _print_results(books: Books, made: list[Made], before: str) -> None:
    prices = usage_prices(books, WORKSPACE)
    rows = [
        (
            str(one.shot.body["model"]),
            one.shot.what,
            one.size,
            f"{one.seconds:.1f}",
            f"${prices.get(one.request_id, '?')}",
            str(one.file),
        )
        for one in made
    ]
    print()
    print_table(("model", "what", "size", "seconds", "price", "file"), rows)
    print(f"\nWallet before: ${before}   after: ${wallet_of(books, WORKSPACE)}")


def _curl(url: str, key: str) -> str:
    body = '{"model":"%s","prompt":"A red fox in the snow","size":"1024x1024","response_format":"url"}'
    model = tomllib.loads(SHOTS.read_text())["shots"][1]["body"]["model"]
    return (
        f"curl -s {url}/v1/images/generations \\\n"
        f"  -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\\n"
        f"  -d '{body % model}'"
    )
