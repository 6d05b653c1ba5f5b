"""Whatever arrives, as JSON or as a form, a dialect answers an intent or InvalidRequest, and what it answers can be
written as JSON."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args
from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imageway.bodies import blob_of
from imageway.catalog import load
from imageway.core.errors import InvalidRequest
from imageway.core.intents import Answer, Dialect, Generate, Inbound, Intent, Where
from imageway.core.requests import ImageRequest
from imageway.core.steps import FormBody, FormFile
from imageway.dialects import DIALECTS
from imageway.server.routes import Head, RouteTable

FOLDER = Path(__file__).parents[1] / "wire" / "dialects"
INTENTS = get_args(Intent)
CATALOG = load()


def golden_requests(dialect: str) -> list[tuple[str, Any]]:
    """(path, body) of every golden request with a body; placeholders for pictures are as good as any text here."""
    return [(words[-1], body) for words, body in golden(dialect) if words[:2] == ["request", "POST"]]


def golden_forms(dialect: str) -> list[tuple[str, Any]]:
    """(path, parts) of every golden form."""
    return [(words[-1], parts) for words, parts in golden(dialect) if words[0] == "form"]


def golden(dialect: str) -> Iterator[tuple[list[str], Any]]:
    for file in sorted((FOLDER / dialect).glob("*.txt")):
        for piece in re.split(r"^== ", file.read_text(), flags=re.MULTILINE)[1:]:
            title, _, rest = piece.partition("\n")
            body = re.sub(r"\A([a-z-]+: .*\n)*", "", re.sub(r"^# .*\n", "", rest, flags=re.MULTILINE)).strip()
            if body:
                yield title.split(), json.loads(body)


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(exclude_categories=()), max_size=20),
    st.sampled_from(
        ["1024x1024", "16:9", "2K", "auto", "https://pictures.example/a.png", "data:image/png;base64,AAAA"]
    ),
    st.binary(max_size=8).map(blob_of),
)
headers_of_ours = st.dictionaries(
    st.sampled_from(["imageway-strict", "idempotency-key", "x-dashscope-async", "x-dashscope-sse"]),
    st.one_of(st.just("enable"), st.text()),
)
UNPROMPTED = ("upscale", "remove_background", "variation")
names = st.one_of(
    st.sampled_from(
        ["text", "image", "parts", "content", "role", "image_url", "inlineData", "data", "n", "size", "mode"]
    ),
    st.text(st.characters(exclude_categories=()), max_size=5),
)
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=8
)


def places(tree: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [path, *(place for key, value in inner for place in places(value, (*path, key)))]


def planted(tree: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """A copy of the tree with `value` at `path`."""
    if not path:
        return value
    changed = copy.copy(tree)
    changed[path[0]] = planted(tree[path[0]], path[1:], value)
    return changed


@st.composite
def mutated(draw: st.DrawFn, dialect: str) -> tuple[str, Any]:
    path, body = draw(st.sampled_from(golden_requests(dialect)))
    for _ in range(draw(st.integers(1, 3))):
        body = planted(body, draw(st.sampled_from(places(body))), draw(trees))
    if isinstance(body, dict) and draw(st.booleans()):
        body = {**body, draw(names): draw(trees)}
    return path, body


@st.composite
def mutated_forms(draw: st.DrawFn, dialect: str) -> tuple[str, FormBody]:
    """Parts left out, doubled, renamed, and with other content."""
    path, parts = draw(st.sampled_from(golden_forms(dialect)))
    drawn = draw(st.lists(st.sampled_from(parts), max_size=8))
    contents = st.one_of(
        st.text(max_size=20), st.binary(max_size=8).map(lambda raw: FormFile(blob_of(raw), "a", "b/c"))
    )
    names_of_parts = st.one_of(st.none(), names, st.sampled_from(["image[]", "image[0]", "a[b][c]", "a[", "[]", "n"]))
    made = []
    for name, content in drawn:
        kept = content if isinstance(content, str) else FormFile(blob_of(b"\x89PNG"), content["name"], content["type"])
        made.append((draw(names_of_parts) or name, draw(st.one_of(st.just(kept), contents))))
    return path, FormBody(tuple(made))


def inbound(dialect: Dialect, url: str, headers: dict[str, str], body: Any) -> Inbound:
    path, _, query = url.partition("?")
    head = Head("POST", path, dict(parse_qsl(query)), {"x-goog-api-key": "k"} | headers)
    match = RouteTable((dialect,)).find(head)
    return Inbound(
        route=match.route.name,
        path=path,
        params=match.params,
        query=head.query,
        headers=head.headers,
        body=body,
        family_of=family_of,
    )


def family_of(name: str) -> str | None:
    found = CATALOG.find(name)
    return found.model.family if found else None


def check(dialect: Dialect, inbound: Inbound) -> None:
    try:
        intent = dialect.decode(inbound)
    except InvalidRequest as error:
        check_refusal(dialect.encode_error(Where(inbound.route, "req_1"), error))
        return
    assert isinstance(intent, INTENTS)
    if isinstance(intent, Generate):
        check_request(intent.request)
        assert json.dumps([each.message for each in intent.warnings], ensure_ascii=False).encode()


def check_refusal(answer: Answer) -> None:
    assert answer.status in (400, 403, 415, 422)
    text = json.dumps(answer.body, ensure_ascii=False).encode()
    assert len(text) < 100_000


def check_request(request: ImageRequest) -> None:
    """What every later room relies on."""
    assert request.model.strip()
    assert request.prompt or request.operation in UNPROMPTED
    assert request.n is None or 1 <= request.n <= 10
    assert type(request.seed) in (int, type(None))
    assert (request.operation != "generate") == bool(request.images)
    assert all(isinstance(part, str) or part.param for turn in request.turns for part in turn.parts)
    assert {turn.role for turn in request.turns} <= {"user", "model"}
    assert all(ours == "tier" or hasattr(request, ours) for ours in request.spelled)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_a_mutated_request_is_an_intent_or_a_refusal(dialect: Dialect) -> None:
    @settings(max_examples=300, deadline=None)
    @given(mutated(dialect.name), headers_of_ours)
    def mutate(request: tuple[str, Any], headers: dict[str, str]) -> None:
        url, body = request
        check(dialect, inbound(dialect, url, headers, body))

    mutate()


@pytest.mark.parametrize("dialect", [each for each in DIALECTS if golden_forms(each.name)], ids=lambda each: each.name)
def test_a_mutated_form_is_an_intent_or_a_refusal(dialect: Dialect) -> None:
    @settings(max_examples=200, deadline=None)
    @given(mutated_forms(dialect.name), headers_of_ours)
    def mutate(request: tuple[str, FormBody], headers: dict[str, str]) -> None:
        url, form = request
        check(dialect, inbound(dialect, url, headers, form))

    mutate()
