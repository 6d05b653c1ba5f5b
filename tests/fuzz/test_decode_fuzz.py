"""Whatever arrives, as JSON, as a form or as a query, with whatever headers, a dialect answers an intent or
InvalidRequest, the catalog can judge it, and what it answers can be written as JSON."""

from __future__ import annotations

import copy
import json
import re
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imageway.bodies import blob_of
from imageway.core.errors import GatewayError
from imageway.core.intents import Dialect, Route, Where
from imageway.core.steps import FormBody, FormFile
from imageway.dialects import DIALECTS
from imageway.server.routes import Head, RouteTable
from tests.fuzz.checks import check, found, golden_forms, golden_looks, golden_requests, head_of

near_numbers = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from(["4", "4.0", "-1", "1e400", "²", "-0", "1_0", " 1", "9" * 18 + ".0", "9" * 30, True, 10**18]),
)
near_texts = st.one_of(
    st.text(st.characters(exclude_categories=()), max_size=20),
    st.sampled_from(
        [
            *("1024x1024", "16:9", "2K", "auto", "https://pictures.example/a.png", "data:image/png;base64,AAAA"),
            *("1:8", "nano-banana-edit", "nano-banana-2", "ftp://a", "HTTP://", "0.5K", "square_hd", "4"),
            *("0x0", "0:0", "99999999x1", "²x²", "true", "\ud800", "data:,", "oss://", "IMAGE_SIZE_", "_UNSPECIFIED"),
        ]
    ),
)
scalars = st.one_of(st.none(), st.booleans(), near_numbers, near_texts, st.binary(max_size=8).map(blob_of))
# Names that mean something somewhere, and any other; values as a head can carry them
any_text = st.text(max_size=20)
field_values = st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=20)
any_headers = st.dictionaries(
    st.sampled_from(
        [
            *("imageway-strict", "idempotency-key", "x-dashscope-async", "x-dashscope-sse", "authorization"),
            "imageway-deadline",
            *("x-goog-api-key", "x-api-key", "api-key", "content-type", "x-dashscope-ossresourceresolve"),
        ]
    )
    | st.text("abc-", min_size=1, max_size=5),
    st.sampled_from(["enable", "1", "true", "Bearer sk-test-1", "bearer ", "Basic QQ=="]) | field_values,
    max_size=4,
)
query_values = any_text | st.sampled_from(
    ["sse", "json", "1", "0", "-1", "9" * 20, "٣", "²", "20251120000000", "²" * 14, "20259999999999", "getPolicy"]
)
any_query = st.dictionaries(
    st.sampled_from(
        [
            *("alt", "key", "pageSize", "page_size", "pageToken", "page_no", "start_time", "end_time", "status"),
            *("model_name", "action", "model", "api-version", "task_id", "taskId"),
        ]
    )
    | any_text,
    query_values,
    max_size=4,
)
names = st.one_of(
    st.sampled_from(
        [
            *("text", "image", "parts", "content", "role", "image_url", "inlineData", "data", "n", "size", "mode"),
            *("image_urls", "mask_url", "width", "input", "resolution"),
        ]
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


def at(tree: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        tree = tree[step]
    return tree


def alike(value: Any) -> st.SearchStrategy[Any]:
    """Something of the same kind, or nearly."""
    return near_numbers if isinstance(value, int | float) else near_texts


@st.composite
def mutated(draw: st.DrawFn, dialect: str) -> tuple[str, Any]:
    path, body = draw(st.sampled_from(golden_requests(dialect)))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(places(body)))
        body = planted(body, place, draw(alike(at(body, place)) | trees))
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


@st.composite
def mutated_looks(draw: st.DrawFn, dialect: str) -> str:
    """A golden URL with another value for one thing that its query says."""
    path, _, query = draw(st.sampled_from(golden_looks(dialect))).partition("?")
    pairs = dict(parse_qsl(query, keep_blank_values=True))
    if pairs:
        pairs[draw(st.sampled_from(sorted(pairs)))] = draw(query_values)
    return f"{path}?{urlencode(pairs)}"


def asked(dialect: Dialect, method: str, url: str, extra: tuple[dict[str, str], dict[str, str]], body: Any) -> None:
    """`extra` are headers and queries beside those of the URL."""
    inbound = found(dialect, head_of(method, url, *extra), body)
    assert inbound is not None, f"{dialect.name} has no {method} {url}"
    check(dialect, inbound)


extras = st.tuples(any_headers, any_query)
dialects = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)


@dialects
def test_a_mutated_request_is_an_intent_or_a_refusal(dialect: Dialect) -> None:
    @settings(max_examples=300, deadline=None)
    @given(mutated(dialect.name), extras)
    def mutate(request: tuple[str, Any], extra: tuple[dict[str, str], dict[str, str]]) -> None:
        url, body = request
        asked(dialect, "POST", url, extra, body)

    mutate()


@pytest.mark.parametrize("dialect", [each for each in DIALECTS if golden_forms(each.name)], ids=lambda each: each.name)
def test_a_mutated_form_is_an_intent_or_a_refusal(dialect: Dialect) -> None:
    @settings(max_examples=200, deadline=None)
    @given(mutated_forms(dialect.name), extras)
    def mutate(request: tuple[str, FormBody], extra: tuple[dict[str, str], dict[str, str]]) -> None:
        url, form = request
        asked(dialect, "POST", url, extra, form)

    mutate()


def test_every_dialect_with_forms_has_golden_ones() -> None:
    """Else its forms would not be mutated above."""
    formed = {each.name for each in DIALECTS if any(route.form for route in each.routes)}
    assert formed == {each.name for each in DIALECTS if golden_forms(each.name)}


@pytest.mark.parametrize("dialect", [each for each in DIALECTS if golden_looks(each.name)], ids=lambda each: each.name)
def test_a_mutated_look_is_an_intent_or_a_refusal(dialect: Dialect) -> None:
    """Requests without a body: lists, tasks, models, by any query."""

    @settings(max_examples=200, deadline=None)
    @given(mutated_looks(dialect.name), extras)
    def mutate(url: str, extra: tuple[dict[str, str], dict[str, str]]) -> None:
        asked(dialect, "GET", url, extra, None)

    mutate()


@dialects
def test_any_body_at_every_route_is_an_intent_or_a_refusal(dialect: Dialect) -> None:
    """Also where no body belongs, and where a form may stand in its place; whatever stands in the path."""

    @settings(max_examples=200, deadline=None)
    @given(st.sampled_from(dialect.routes), any_text.map(lambda text: text or "x"), trees, extras)
    def mutate(route: Route, word: str, body: Any, extra: tuple[dict[str, str], dict[str, str]]) -> None:
        segment = word.replace("/", "").replace("?", "") or "x"
        path = re.sub(r"\{[^}]*\}", lambda _: segment, route.path)
        headers, query = extra
        inbound = found(dialect, Head(route.method, path, query, {"x-goog-api-key": "k", **headers}), body)
        if inbound is not None:
            check(dialect, inbound)

    mutate()


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["GET", "POST", "DELETE", "BREW"]), any_text, any_headers, any_query)
def test_any_path_is_somebody_s_or_nobody_s(
    method: str, text: str, headers: dict[str, str], query: dict[str, str]
) -> None:
    """Where it is nobody's, there is somebody to say so."""
    table = RouteTable(DIALECTS)
    places = ("", "v1/", "v1beta/models/", "gemini/", "hub/v1/")
    for path in (*(f"/{place}{text}" for place in places), f"/api/v1/tasks/{text}/cancel"):
        head = Head(method, path, query, headers)
        if (error := not_found(table, head)) is not None:
            answer = table.speaker(head).encode_error(Where(None, "req_1"), error)
            assert answer.status in (404, 405)
            assert json.dumps(answer.body, ensure_ascii=False).encode()


def not_found(table: RouteTable, head: Head) -> GatewayError | None:
    try:
        table.find(head)
    except GatewayError as error:
        return error
    return None
