"""The diagonal: a field that nobody knows reaches a provider who speaks the caller's own dialect, untouched, beside
what the gateway writes and never in its place; it reaches no other provider, and never passes for honoured."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import imageway.sandbox
from imageway.ledger.ops import CreateKey, CreateWorkspace, TopUp
from imageway.sandbox import Room
from imageway.sandbox.journal import Entry
from imageway.server.bootstrap import open_gateway
from imageway.server.configuration import Settings
from imageway.server.http import Host
from imageway.server.serving import listen, url_of
from tests.acceptance.tongues import (
    TONGUES,
    Ark,
    DashScope,
    DashScopeTask,
    Gemini,
    Json,
    Order,
    Told,
    Tongue,
    Unified,
    Vertex,
    picture,
)
from tests.integration.processes import call, wait_for

KEY = "sk-iw-test-diagonal"
MODELS = {
    "openai_images": "gpt-image-1-mini",
    "gemini": "gemini-2.5-flash-image",
    "ark": "doubao-seedream-4-0-250828",
    "dashscope": "qwen-image-plus",
}
PNG = picture(size=(64, 64))
# Whatever JSON can hold, with text that the gateway keeps apart from the rest of the body
INVENTED: Json = {
    "level": [1, -2.5, None, True, {"deep": 'ä\u2028"\\'}, []],
    "": "no name",
    "large": base64.b64encode(bytes(range(256)) * 64).decode(),
    "link": "data:image/png;base64,iVBORw0KGgo=",
    "text": "x" * 9000,
}
INSIDE = {  # objects of each dialect in which unknown fields go along
    "openai_images": (),
    "gemini": (("generationConfig",), ("generationConfig", "imageConfig")),
    "ark": (("optimize_prompt_options",),),
    "dashscope": (("input",), ("parameters",)),
}
SPEAKERS: tuple[Tongue, ...] = (Unified(), Gemini(), Ark(), DashScope())
speakers = pytest.mark.parametrize("tongue", SPEAKERS, ids=lambda tongue: tongue.name)


class Running:
    """A gateway on its sandbox in a loop of its own thread, behind a socket; `room` is the sandbox."""

    def __init__(self, data: Path, rooms: list[Room]) -> None:
        self._loop, self._stop = asyncio.new_event_loop(), asyncio.Event()
        self._opened: Future[str] = Future()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(data),), daemon=True)
        self._thread.start()
        self.url = self._opened.result(timeout=20)
        (self.room,) = rooms

    async def _run(self, data: Path) -> None:
        listener = listen("127.0.0.1", 0)
        settings = Settings(data=data, sandbox=True, drain_s=2)
        async with open_gateway(settings, public_url=url_of(listener, "127.0.0.1"), environment={}) as gateway:
            digest = hashlib.sha256(KEY.encode()).digest()
            key = CreateKey("key_1", "ws_1", "", digest, KEY[-4:], (), 1)
            await gateway.tools.store.commit(CreateWorkspace("ws_1", "w", 1), TopUp("t_1", "ws_1", 50_000_000, 1), key)
            host = Host(gateway.app, settings.connections)
            server = await self._loop.create_server(host.connection, sock=listener)
            self._opened.set_result(url_of(listener, "127.0.0.1"))
            await self._stop.wait()
            server.close()
            await host.close(2)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=10)

    def sent(self, before: int) -> list[Entry]:
        """What reached pretend providers since there were `before` entries."""
        return list(self.room.journal.entries[before:])


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    rooms: list[Room] = []
    opened = imageway.sandbox.open_sandbox

    def remembered(**options: Any) -> Room:
        rooms.append(opened(**options))
        return rooms[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(imageway.sandbox, "open_sandbox", remembered)
        made = Running(tmp_path_factory.mktemp("diagonal") / "data", rooms)
    yield made
    made.close()


@dataclass(frozen=True)
class Heard:
    told: Told
    entries: tuple[Entry, ...]

    @property
    def body(self) -> Json:
        (entry,) = self.entries
        body: Json = entry.received.json
        return body


def ask(running: Running, tongue: Tongue, order: Order, body: Json, headers: Mapping[str, str] | None = None) -> Heard:
    before = len(running.room.journal.entries)
    sent = {**tongue.credential(KEY), **(headers or {})}
    told = tongue.read(call(running.url + tongue.path(order), body, headers=sent))
    if told.status == 200:  # of a task there is only the receipt so far
        wait_for(lambda: [each for each in running.sent(before) if each.outcome != "open"])
    return Heard(told, tuple(running.sent(before)))


def planted(tree: Any, path: tuple[str | int, ...], value: object) -> Any:
    """A copy of the tree with `value` at `path`; objects on the way that are not there are made."""
    if not path:
        return value
    if isinstance(tree, list):
        return [planted(each, path[1:], value) if index == path[0] else each for index, each in enumerate(tree)]
    tree = tree or {}
    return {**tree, path[0]: planted(tree.get(path[0]), path[1:], value)}


def at(tree: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        tree = tree[step]
    return tree


def leaves(tree: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    if not isinstance(tree, dict | list):
        return [path]
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree)
    return [leaf for key, inner in pairs for leaf in leaves(inner, (*path, key))]


def invent(tongue: Tongue, body: Json, name: str = "newest_field") -> tuple[Json, list[tuple[str, ...]]]:
    """The body with an invented field at the top and in every open object; and where they are."""
    places = [(*inside, name) for inside in ((), *INSIDE[tongue.name])]
    for place in places:
        body = planted(body, place, INVENTED)
    return body, places


@speakers
def test_it_reaches_its_own_family_untouched(running: Running, tongue: Tongue) -> None:
    """Everywhere it was put, beside exactly what is sent without it. Who knows no such field refuses it: then the
    caller is told which one it was, and pays nothing; who passes it over serves the request, without a word that it
    was honoured, for nobody knows."""
    order = Order(model=MODELS[tongue.name])
    plain = ask(running, tongue, order, tongue.body(order))
    assert plain.told.status == 200
    body, places = invent(tongue, tongue.body(order))
    heard = ask(running, tongue, order, body)
    for place in places:
        assert at(heard.body, place) == INVENTED
    assert without(heard.body, places) == without(plain.body, places)
    if heard.entries[0].outcome == "200":
        assert heard.told.status == 200
    else:
        assert heard.told.status == 400
        assert "newest_field" in heard.told.message or "generationConfig" in heard.told.message
    assert not heard.told.warnings


def without(tree: Json, places: list[tuple[str, ...]]) -> Json:
    """Without the invented fields, and without objects that only held them."""
    gone = {place[-1] for place in places}

    def cleaned(inner: Any) -> Any:
        if not isinstance(inner, dict):
            return inner
        kept = {name: cleaned(value) for name, value in inner.items() if name not in gone}
        return {name: value for name, value in kept.items() if value != {}}

    result: Json = cleaned(tree)
    return result


def test_both_spellings_of_an_object_go_to_the_same_place(running: Running) -> None:
    """What stands in `generation_config` is sent in `generationConfig`, where the gateway's own fields are."""
    tongue, order = Gemini(), Order(model=MODELS["gemini"])
    body = {
        "contents": tongue.body(order)["contents"],
        "generation_config": {"image_config": {"aspect_ratio": "1:1", "image_mood": "calm"}, "newest": 1},
    }
    heard = ask(running, tongue, order, body)
    assert heard.body["generationConfig"]["imageConfig"] == {"aspectRatio": "1:1", "image_mood": "calm"}
    assert heard.body["generationConfig"]["newest"] == 1
    assert "generation_config" not in heard.body


def test_it_stands_in_forms_too(running: Running) -> None:
    """OpenAI's edits are forms here and there: an object is its bracketed fields."""
    order = Order(model=MODELS["openai_images"], images=(PNG,))
    content, content_type = Unified().content(order)
    extra = '--edge\r\nContent-Disposition: form-data; name="newest[a]"\r\n\r\nsomething new\r\n'
    before = len(running.room.journal.entries)
    sent = {"content-type": content_type, "authorization": f"Bearer {KEY}"}
    call(f"{running.url}/v1/images/edits", extra.encode() + content, headers=sent)
    (entry,) = running.sent(before)
    assert entry.path == "/openai/v1/images/edits"
    assert b'name="newest[a]"\r\n\r\nsomething new\r\n' in (entry.received.body or b"")


@speakers
def test_it_never_overrides_what_is_sent(running: Running, tongue: Tongue) -> None:
    """A caller who writes something odd wherever the gateway itself writes to the provider: it is refused, understood
    or reported, but never arrives there as it is."""
    order = Order(model=MODELS[tongue.name])
    plain = ask(running, tongue, order, tongue.body(order))
    tried = leaves(plain.body)
    assert len(tried) > 3
    for place in tried:
        heard = ask(running, tongue, order, planted(tongue.body(order), place, {"intruder": [1]}))
        assert heard.told.status in (200, 400), (place, heard.told.whole)
        assert all(b"intruder" not in (entry.received.body or b"") for entry in heard.entries), place
        if heard.told.status == 200:
            assert at(heard.body, place) == at(plain.body, place), place
            assert heard.told.warnings, place


FAMILIES = {
    **{tongue.name: tongue.name for tongue in SPEAKERS},
    "nested": "openai_images",
    "vertex": "gemini",
    "dashscope_async": "dashscope",
}
ABROAD = [(tongue, home) for tongue in TONGUES for home in MODELS if home != FAMILIES.get(tongue.name)]


@pytest.mark.parametrize(("tongue", "home"), ABROAD, ids=[f"{tongue.name}-{home}" for tongue, home in ABROAD])
def test_it_reaches_no_other_family(running: Running, tongue: Tongue, home: str) -> None:
    """Not one byte of it. The caller is told of every place; strictly, it is refused."""
    order = Order(model=MODELS[home])
    inside = INSIDE.get(tongue.name, {"vertex": INSIDE["gemini"]}.get(tongue.name, ()))
    places = [(*each, "newest_field") for each in ((), *inside)]
    body = tongue.body(order)
    for place in places:
        body = planted(body, place, "invented-value")
    headers = {"x-dashscope-async": "enable"} if isinstance(tongue, DashScopeTask) else {}
    heard = ask(running, tongue, order, body, headers)
    if tongue.name == "omixa":
        assert (heard.told.status, heard.told.code) == (422, "unknown_parameter")
        return
    assert heard.told.status == 200, heard.told.whole
    told = {each["param"]: each for each in heard.told.warnings}
    for place in places:
        assert told[".".join(place)]["code"] == "parameter_ignored"
        assert "not sent" in told[".".join(place)]["message"]
    assert heard.entries
    assert all(b"newest_field" not in (entry.received.body or b"") for entry in heard.entries)
    assert all(b"invented-value" not in (entry.received.body or b"") for entry in heard.entries)
    strict = ask(running, tongue, order, body, {**headers, "imageway-strict": "1"})
    assert (strict.told.status, strict.entries) == (400, ())
    assert "newest_field" in strict.told.message


@pytest.mark.parametrize(("tongue", "field"), [(Unified(), "generationConfig"), (Ark(), "contents"), (Ark(), "mask")])
def test_what_another_family_knows_is_not_forwarded(running: Running, tongue: Tongue, field: str) -> None:
    """A field with a meaning elsewhere is a mistake, not an invention: it is reported, and goes nowhere."""
    order = Order(model=MODELS[tongue.name])
    heard = ask(running, tongue, order, {**tongue.body(order), field: {"aspectRatio": "1:1"}})
    assert field not in heard.body
    assert field in {each["param"] for each in heard.told.warnings}


def test_vertex_speaks_for_the_same_family(running: Running) -> None:
    order = Order(model=MODELS["gemini"])
    heard = ask(running, Vertex(), order, {**Vertex().body(order), "newest": {"a": [1]}})
    assert heard.body["newest"] == {"a": [1]}
