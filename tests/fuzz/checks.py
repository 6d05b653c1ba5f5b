"""What must hold of whatever a dialect makes of a request, and the golden requests to begin with."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args
from urllib.parse import parse_qsl

from imageway.catalog import check as checked
from imageway.catalog import fit, foreseen, load
from imageway.core.errors import GatewayError, InvalidRequest
from imageway.core.intents import Answer, Dialect, Estimate, Generate, Inbound, Intent, Where
from imageway.core.requests import ImageRequest
from imageway.server.routes import Head, RouteTable

FOLDER = Path(__file__).parents[1] / "wire" / "dialects"
INTENTS = get_args(Intent)
CATALOG = load()
UNPROMPTED = ("upscale", "remove_background", "variation")


def golden_requests(dialect: str) -> list[tuple[str, Any]]:
    """(path, body) of every golden request with a body; placeholders for pictures are as good as any text here."""
    return [(words[-1], body) for words, body in golden(dialect) if words[:2] == ["request", "POST"] and body]


def golden_forms(dialect: str) -> list[tuple[str, Any]]:
    """(path, parts) of every golden form."""
    return [(words[-1], parts) for words, parts in golden(dialect) if words[0] == "form"]


def golden_looks(dialect: str) -> list[str]:
    """The URL of every golden request without a body."""
    return [words[-1] for words, _ in golden(dialect) if words[:2] == ["request", "GET"]]


def golden(dialect: str) -> Iterator[tuple[list[str], Any]]:
    for file in sorted((FOLDER / dialect).glob("*.txt")):
        for piece in re.split(r"^== ", file.read_text(), flags=re.MULTILINE)[1:]:
            title, _, rest = piece.partition("\n")
            body = re.sub(r"\A([a-z-]+: .*\n)*", "", re.sub(r"^# .*\n", "", rest, flags=re.MULTILINE)).strip()
            yield title.split(), json.loads(body) if body else None


def found(dialect: Dialect, head: Head, body: Any) -> Inbound | None:
    """The request as the dialect would get it; None where it has nothing at that path."""
    try:
        match = RouteTable((dialect,)).find(head)
    except GatewayError:
        return None
    return Inbound(
        route=match.route.name,
        method=head.method,
        path=head.path,
        params=match.params,
        query=head.query,
        headers=head.headers,
        body=body if head.method == "POST" else None,
        family_of=family_of,
    )


def head_of(method: str, url: str, headers: Mapping[str, str], query: Mapping[str, str]) -> Head:
    """`headers` and `query` are beside those of the URL, and win over them."""
    path, _, text = url.partition("?")
    return Head(method, path, {**dict(parse_qsl(text)), **query}, {"x-goog-api-key": "k", **headers})


def family_of(name: str) -> str | None:
    model = CATALOG.find(name)
    return model.model.family if model else None


def check(dialect: Dialect, inbound: Inbound) -> None:
    """An intent that every later room can work with, or a refusal in the dialect's own words."""
    key = dialect.credential(inbound.headers, inbound.query)
    assert key is None or (isinstance(key, str) and key)
    try:
        intent = dialect.decode(inbound)
    except InvalidRequest as error:
        check_refusal(dialect.encode_error(Where(inbound.route, "req_1", inbound.params), error))
        if error.partial is not None:
            judge(error.partial.request)
        return
    assert isinstance(intent, INTENTS)
    generate = intent.generate if isinstance(intent, Estimate) else intent
    if isinstance(generate, Generate):
        check_request(generate.request)
        judge(generate.request)
        assert json.dumps([each.message for each in generate.warnings], ensure_ascii=False).encode()


def check_refusal(answer: Answer) -> None:
    assert answer.status in (400, 403, 404, 415, 422)  # 404: a method that a vendor has and the model has not
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


def judge(request: ImageRequest) -> None:
    """The catalog can say of every offering what it would be asked for, whatever was let through."""
    model = CATALOG.find(request.model)
    if model is None:
        return
    judged = checked(model.model, request)
    for offering in model.model.offerings:
        fitted = fit(model.model, offering, judged.request)
        foreseen(model.model, judged.request, fitted)
