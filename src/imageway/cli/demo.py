"""`imageway demo`: the gateway on its embedded default, and pictures through it over a real socket.

Only pretend upstreams are used, whatever credentials the environment holds: a demo never spends money."""

from __future__ import annotations

import base64
import os
import shlex
import socket
import sys
import time
import tomllib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from imageway.catalog import load
from imageway.cli.books import Books, usage_prices, wallet_of
from imageway.cli.children import Child, child_gateway
from imageway.cli.generating import picture_of, post, suffix_of
from imageway.cli.operating import operate, vault_of
from imageway.cli.printing import Stop, print_table
from imageway.server.administration.keys import KeyAsked, create_key
from imageway.server.administration.office import Office
from imageway.server.administration.wallets import MoveAsked, move

WORKSPACE = "demo"
TOP_UP_USD = "5"
PORT = 8400
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
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Stop(f'--output "{output}" cannot be made: {error.strerror}') from None
    key = _funded_key(books)
    try:
        with _gateway(books) as gateway:
            print(f"The gateway answers at {gateway.url}\n", flush=True)
            before = wallet_of(books, WORKSPACE)
            _print_results(books, _make_all(gateway.url, key, output), before)
            if not stop:
                print(f"\nMake another:\n\n{_curl(gateway.url, key)}\n")
                print("The gateway keeps running; Ctrl-C ends it.", flush=True)
                raise Stop(f"the gateway ended by itself, with {gateway.wait()}; see {_log(books)}")
        print(f"\nThe gateway has ended. Without --stop it stays, for more pictures:\n\n{_command(output, books)}")
    except KeyboardInterrupt:
        print()


def _funded_key(books: Books) -> str:
    """A key of a workspace whose wallet has just been topped up; both are made when they are not there."""
    settings = books.settings()

    async def make(office: Office) -> str:
        asked = KeyAsked(workspace=WORKSPACE, name="demo")
        made = await create_key(office, vault_of(settings, office.store), asked)
        await move(office, WORKSPACE, "topup", MoveAsked(usd=TOP_UP_USD))
        return made.key

    return operate(books, make)


def _gateway(books: Books) -> AbstractContextManager[Child]:
    """A process of its own, without any provider's real credential."""
    secret_names = {
        name for provider in load().providers.values() for name in (provider.key_env, provider.base_url_env)
    }
    environment = {name: value for name, value in os.environ.items() if name not in secret_names}
    data = books.settings().data
    config = books.config or data / "demo.toml"
    config.touch()  # an empty one, so that an imageway.toml lying here brings no real credential in
    arguments = ["--sandbox", "--data", str(data), "--config", str(config)]
    ports = (PORT, 0) if _is_free(PORT) else (0,)
    return child_gateway(arguments, ports, _log(books), {**environment, "IMAGEWAY_LOG_LEVEL": "info"})


def _log(books: Books) -> Path:
    return books.settings().data / "gateway.log"


def _command(output: Path, books: Books) -> str:
    """This demo as a command line for any directory."""
    program = Path(sys.argv[0])
    words = [str(program.absolute()) if program.name == "imageway" else "imageway", "demo"]
    words += ["--output", str(output.absolute()), "--data", str(books.settings().data)]
    return shlex.join([*words, "--config", str(books.config.absolute())] if books.config else words)


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
    file = output / f"{shot.name}{suffix_of(content)}"
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
