"""Whatever arrives, a dialect answers an intent or InvalidRequest, and what it answers can be written as JSON."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imageway.bodies import blob_of
from imageway.core.errors import InvalidRequest
from imageway.core.intents import Answer, Dialect, Estimate, Generate, Inbound, ShowModel, ShowModels, ShowTask, Where
from imageway.core.requests import ImageRequest
from imageway.dialects import DIALECTS

FOLDER = Path(__file__).parents[1] / "wire" / "dialects"
INTENTS = (Generate, Estimate, ShowModels, ShowModel, ShowTask)


def golden_requests(dialect: str) -> list[tuple[str, Any]]:
    """(path, body) of every golden request with a body; placeholders for pictures are as good as any text here."""
    found = []
    for file in sorted((FOLDER / dialect).glob("*.txt")):
        for piece in re.split(r"^== ", file.read_text(), flags=re.MULTILINE)[1:]:
            title, _, rest = piece.partition("\n")
            body = re.sub(r"\A([a-z-]+: .*\n)*", "", rest).strip()
            if title.startswith("request POST") and body:
                found.append((title.split()[-1], json.loads(body)))
    return found


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
    assert answer.status == 400
    text = json.dumps(answer.body, ensure_ascii=False).encode()
    assert b'"details"' in text
    assert len(text) < 100_000


def check_request(request: ImageRequest) -> None:
    """What every later room relies on."""
    assert request.model.strip()
    assert request.prompt
    assert request.n is None or 1 <= request.n <= 10
    assert type(request.seed) in (int, type(None))
    assert (request.operation == "edit") == bool(request.images)
    assert all(isinstance(part, str) or part.param for turn in request.turns for part in turn.parts)
    assert {turn.role for turn in request.turns} <= {"user", "model"}
    assert all(hasattr(request, ours) for ours in request.spelled)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_a_mutated_request_is_an_intent_or_a_refusal(dialect: Dialect) -> None:
    routes = {route.path: route.name for route in dialect.routes}

    @settings(max_examples=300, deadline=None)
    @given(mutated(dialect.name), st.dictionaries(st.sampled_from(["imageway-strict", "idempotency-key"]), st.text()))
    def mutate(request: tuple[str, Any], headers: dict[str, str]) -> None:
        path, body = request
        check(dialect, Inbound(route=routes[path], path=path, headers=headers, body=body))

    mutate()
