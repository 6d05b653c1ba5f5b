"""`imageway generate`: one request to a running gateway, with progress while it waits, pictures written to files."""

from __future__ import annotations

import base64
import http.client
import json
import mimetypes
import os
import secrets
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imageway.cli.printing import Stop

TIMEOUT_S = 920
FORMATS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}

Item = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Pictures:
    """An answer of the gateway: items with `b64_json` or `url`."""

    items: tuple[Item, ...]
    request_id: str
    size: str
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the command line asked for."""

    prompt: str
    model: str
    size: str | None
    n: int
    seed: int | None
    images: tuple[Path, ...]
    output: Path | None


def generate_pictures(order: Order, *, url: str, key: str | None) -> None:
    """Prints a line per picture written."""
    if not key:
        raise Stop("a key is needed: give --key, or set IMAGEWAY_KEY; make one with: imageway keys create")
    base = url.rstrip("/").removesuffix("/v1")
    body = body_of(order)
    _make_room(order)
    with _Progress(f"{order.model} …"):
        started_s = time.monotonic()
        # What is asked for under such a key stays fetchable when it cannot be saved here.
        answer = post(f"{base}/v1/images/generations", body, key, idempotency_key=secrets.token_hex(16))
        seconds = time.monotonic() - started_s
    for warning in answer.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    for index, item in enumerate(answer.items):
        try:
            content = picture_of(item)
            path = _path(order, index, len(answer.items), content)
            _write(path, content)
        except Stop as stop:
            kept = f"GET {base}/v1/tasks/{answer.request_id} (with your key) shows links to them while they are stored"
            raise Stop(f"{stop}; the pictures are paid for: {kept}") from None
        print(f"{path}  {answer.size}  {len(content):,} bytes  {seconds:.1f} s")


def _make_room(order: Order) -> None:
    """What could keep the pictures from being saved is found out before they are bought."""
    path = order.output or Path("picture")
    if order.output and path.suffix.lower() not in FORMATS:
        raise Stop(f'-o "{path}": its ending says no format that can be made; use {", ".join(FORMATS)}')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Stop(f"-o {path}: {path.parent} cannot be made: {error.strerror}") from None
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise Stop(f"-o {path}: nothing can be written in {path.parent.absolute()}")
    if order.output and path.exists() and (path.is_dir() or not os.access(path, os.W_OK)):
        raise Stop(f"-o {path}: it is there, and cannot be written")


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise Stop(f"{path}: {error.strerror}") from None


def body_of(order: Order) -> dict[str, object]:
    body: dict[str, object] = {"model": order.model, "prompt": order.prompt, "n": order.n}
    if order.size:
        body["size"] = order.size
    if order.seed is not None:
        body["seed"] = order.seed
    if order.images:
        body["image"] = [_data_url(path) for path in order.images]
    if order.output and order.output.suffix.lower() in FORMATS:
        body["output_format"] = FORMATS[order.output.suffix.lower()]
    return body


def post(url: str, body: object, key: str, *, idempotency_key: str = "") -> Pictures:
    """One call for pictures, flat or nested. Raises Stop with the gateway's own message."""
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    if idempotency_key:
        headers["idempotency-key"] = idempotency_key
    content = json.dumps(body).encode()
    try:
        request = urllib.request.Request(url, content, headers)  # noqa: S310  # the person's own address
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as reply:  # noqa: S310
            return _pictures(json.load(reply))
    except urllib.error.HTTPError as error:
        raise Stop(_message(error)) from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Stop(f"no answer from {url}: {error}; is the gateway running? (imageway serve)") from None
    except (KeyError, TypeError, AttributeError):
        raise Stop(f"{url} is no Imageway gateway: it answered with something else") from None


def _pictures(answer: dict[str, Any]) -> Pictures:
    inner = answer["data"] if isinstance(answer["data"], dict) else answer
    warnings = tuple(str(warning["message"]) for warning in answer.get("warnings", ()))
    return Pictures(
        tuple(dict(item) for item in inner["data"]),
        str(answer.get("request_id", "")),
        str(answer.get("size", "")),
        warnings,
    )


def _message(error: urllib.error.HTTPError) -> str:
    try:
        problem = json.load(error)["error"]
        others = [detail["message"] for detail in problem.get("details", [])[1:]]
        return "; ".join([f"{error.code} {problem['code']}: {problem['message']}", *others])
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"the gateway answered {error.code}"


def picture_of(item: Item) -> bytes:
    """Raises Stop when a link cannot be followed."""
    try:
        if item.get("b64_json"):
            return base64.b64decode(item["b64_json"], validate=True)
        with urllib.request.urlopen(item["url"], timeout=60) as reply:  # noqa: S310  # a link of the gateway itself
            content: bytes = reply.read()
            return content
    except (OSError, http.client.HTTPException) as error:
        raise Stop(f"the picture at {item['url']} cannot be fetched: {error}") from None
    except (KeyError, ValueError):
        raise Stop("the answer holds an item that is no picture") from None


def _data_url(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Stop(f"--image {path}: {error.strerror}") from None
    media_type = mimetypes.guess_type(path.name)[0] or "image/png"
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def suffix_of(content: bytes) -> str:
    """By the bytes: ".png", ".jpg" and so on; "" for what is no image."""
    from imageway.bodies import sniff_format

    found = sniff_format(content[:512])
    return ".jpg" if found == "jpeg" else f".{found}" if found else ""


def _path(order: Order, index: int, count: int, content: bytes) -> Path:
    """The name that was wanted, with the ending that the bytes deserve: a format that was asked for need not come."""
    suffix = suffix_of(content)
    chosen = order.output or Path(f"{order.model.replace('/', '-')}-{int(time.time())}{suffix or '.img'}")
    if suffix and FORMATS.get(chosen.suffix.lower()) != FORMATS.get(suffix):
        chosen = chosen.with_suffix(suffix)
    return chosen if count == 1 else chosen.with_stem(f"{chosen.stem}-{index + 1}")


class _Progress:
    """A clock on standard error while the gateway works; silent when nobody looks."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> None:
        if sys.stderr.isatty():
            self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._thread.is_alive():
            self._thread.join()
            print("\r\033[K", end="", file=sys.stderr)

    def _tick(self) -> None:
        started_s = time.monotonic()
        while not self._done.wait(0.1):
            print(f"\r{self._text} {time.monotonic() - started_s:5.1f} s", end="", file=sys.stderr, flush=True)
