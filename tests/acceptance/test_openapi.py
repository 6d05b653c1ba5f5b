"""The document of the whole server, driven: for every operation requests as it describes them, and requests that break
what it says. Every answer is one that it knows, in the shape that it tells; nothing crashes, and the books hold."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from imageway.catalog import load
from imageway.core.money import parse_usd
from imageway.dialects import DIALECTS
from imageway.server.openapi import openapi
from tests.acceptance.tongues import data_url, picture
from tests.integration.processes import CRASHES, House, Process, call, clean_environment, wait_for

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"
MODELS = ("gpt-image-1-mini", "gemini-2.5-flash-image", "doubao-seedream-4-0-250828", "qwen-image-plus")
FUNDS = 1000
EXAMPLES, AGAIN = 10, 3  # of an operation; of the same at another of its vendor's paths
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
TEXT = "a boat"
NEEDED: dict[str, dict[str, Any]] = {  # what a request needs that is to be served, by path
    "generateContent|streamGenerateContent": {"contents": [{"role": "user", "parts": [{"text": TEXT}]}]},
    "predict": {"instances": [{"prompt": TEXT}]},
    "gemini/image/generate": {"prompt": TEXT, "action": "generate"},
    "hub/v1/image": {"input": {"prompt": TEXT}},
    "aigc/multimodal|aigc/image-": {"input": {"messages": [{"role": "user", "content": [{"text": TEXT}]}]}},
    "aigc/text2image": {"input": {"prompt": TEXT}},
    "aigc/image2image": {"input": {"prompt": TEXT, "images": [data_url(picture())]}},
    "images/(edits|variations)": {"prompt": TEXT, "image": data_url(picture())},
    "images/(generations|estimate)": {"prompt": TEXT},
}
NEVER_WRONG = ("/healthz", "/readyz", "/openapi.json")  # there is nothing to say to these


def operations() -> list[tuple[str, str]]:
    paths: Any = openapi(DIALECTS, MODELS)["paths"]
    return [(method, path) for path, item in paths.items() for method in item]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("openapi") / "data", clean_environment(), ("--sandbox",))
    made.fund(str(FUNDS))
    yield made
    made.close()


@pytest.fixture(scope="module")
def gateway(house: House) -> Process:
    return house.serve()


@pytest.fixture(scope="module")
def task(house: House, gateway: Process) -> str:
    """The id of a task that there is."""
    body = {"model": MODELS[1], "prompt": "a boat", "response_format": "url"}
    drawn = call(f"{gateway.url}/v1/images/generations", body, key=house.key)
    assert drawn.status == 200
    return str(drawn.json["request_id"])


@pytest.fixture(scope="module")
def schema(gateway: Process, task: str) -> BaseSchema:
    """The document as it is served, made narrower where narrower requests go deeper, and stricter of answers."""
    document = call(f"{gateway.url}/openapi.json").json
    narrow([document["paths"], document["components"]["parameters"]], task)
    for name, each in document["components"]["schemas"].items():
        if name.endswith(".Request"):
            narrow(each, task)
        else:
            close(each)
    made = schemathesis.openapi.from_dict(document)
    made.config.update(base_url=gateway.url)
    return made


def narrow(tree: Any, task: str) -> None:
    """Where examples are given, no more than four of them; where tasks are named, one that there is; few images; time
    enough, for whoever has none is told so by a 504."""
    if isinstance(tree, dict):
        if tree.get("name") == "Imageway-Deadline":
            tree["schema"] = {"type": "number", "minimum": 120}
        if "examples" in tree:
            tree["enum"] = [*MODELS]
        if tree.get("in") in ("path", "query") and tree["name"] in ("id", "task_id", "taskId"):
            tree["schema"] = {"enum": [task, f"{task}-0", *MODELS]}
        for name in ("n", "num_images", "sampleCount", "candidateCount", "max_images", "max_tokens"):
            if isinstance(tree.get(name), dict) and "maximum" in tree[name]:
                tree[name]["maximum"] = 2
    for each in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        narrow(each, task)


def close(tree: Any) -> None:
    """No member that is not described."""
    if isinstance(tree, dict) and "properties" in tree:
        tree["additionalProperties"] = False
    for each in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        close(each)


@pytest.fixture(scope="module")
def served() -> Counter[str]:
    """Request ids of generations that were answered with images, or accepted as tasks."""
    return Counter()


def test_it_is_the_committed_document(gateway: Process) -> None:
    """Run `.venv/bin/python docs/generate.py` when this fails."""
    assert call(f"{gateway.url}/openapi.json").json == json.loads(DOCUMENT.read_text())


def test_all_models_stand_in_it() -> None:
    text = DOCUMENT.read_text()
    assert [model for model in load().models if f'"{model}"' not in text] == []


@pytest.mark.parametrize(("method", "path"), operations())
def test_what_it_describes_is_served(
    schema: BaseSchema, house: House, served: Counter[str], method: str, path: str
) -> None:
    drive(schema[path][method], GenerationMode.POSITIVE, house.key, served)


@pytest.mark.parametrize(("method", "path"), [each for each in operations() if each[1] not in NEVER_WRONG])
def test_what_it_rules_out_does_no_harm(
    schema: BaseSchema, house: House, served: Counter[str], method: str, path: str
) -> None:
    drive(schema[path][method], GenerationMode.NEGATIVE, house.key, served)


def drive(operation: Any, mode: GenerationMode, key: str, served: Counter[str]) -> None:
    headers = {"authorization": f"Bearer {key}", "x-goog-api-key": key}
    again = re.search("/publishers/|/v1/models/.*:|/$|^/openai/", operation.path)

    @settings(
        max_examples=AGAIN if again else EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=[*HealthCheck],
        phases=[Phase.generate],
    )
    @given(operation.as_strategy(generation_mode=mode), st.randoms(use_true_random=False))
    def ask(case: Case, random: Random) -> None:
        if mode is GenerationMode.POSITIVE and isinstance(case.body, dict):
            case.body = worth_serving(case, random)
        response = case.call(headers=headers)
        if response.status_code in (200, 201, 202) and drew(case, response):
            served[response.headers["x-request-id"][0]] += 1
        case.validate_response(response, checks=CHECKS)

    ask()


def worth_serving(case: Case, random: Random) -> dict[str, Any]:
    """The body with a text, and an image where one is needed, and with few of the fields that it may have: with all of
    them there is always one that its model refuses."""
    assert isinstance(case.body, dict)
    needed: dict[str, Any] = next((each for part, each in NEEDED.items() if re.search(part, case.path)), {})
    if case.media_type == "multipart/form-data" and "image" in needed:
        needed = needed | {"image": picture()}
    kept = [name for name in case.body if name not in ("model", *needed)]
    random.shuffle(kept)
    names = {"model", *kept[: random.choice((0, 1, 2, len(kept)))]}
    if "stream" in case.body and random.random() < 0.3:
        needed = needed | {"stream": True}
    return {name: value for name, value in case.body.items() if name in names} | needed


def drew(case: Case, response: Any) -> bool:
    """Whether an answer brought images, or the promise of some."""
    if case.method != "POST" or re.search("estimate|/cancel|uploads", case.path):
        return False
    return b"promptFeedback" not in response.content


def test_the_books_hold(house: House, gateway: Process, task: str, served: Counter[str]) -> None:
    """Everything above was paid as it was served: what was charged was delivered, and nothing else was."""
    wait_for(lambda: house.money().held == 0)
    rows, money = house.usage(), house.money()
    assert money.available + money.spent == FUNDS * 1_000_000
    assert sum(parse_usd(row["price_usd"]) for row in rows) == money.spent > 0
    paid = {row["request_id"] for row in rows if row["outcome"] == "succeeded"}
    assert paid <= {*served, task}
    assert all(row["delivery"] in ("delivered", "stored") for row in rows if row["outcome"] == "succeeded")
    assert all(
        row["delivered"] == 0 and row["price_usd"] == "0.000000" for row in rows if row["outcome"] != "succeeded"
    )
    assert served or len(rows) == 1  # this process had a share of the requests above
    news = gateway.log.read_text()
    assert not [word for word in CRASHES if word in news], news[-4000:]
