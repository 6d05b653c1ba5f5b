"""The admin API's own document, driven: for every operation requests as it describes them and requests that break what
it says. Every answer is one that it knows, in the shape that it tells, and nothing crashes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from imageway.server.admin.all import ENDPOINTS
from imageway.server.admin.document import document
from imageway.server.admin.endpoints import PREFIX
from tests.integration.processes import CRASHES, House, clean_environment, command

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 8
SEGMENTS = {"workspace": "studio", "member": "ann"}
"""What is there; other names are mostly 404."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("admin-document") / "data", clean_environment(), ("--sandbox",))
    yield made
    made.close()


@pytest.fixture(scope="module")
def key(house: House) -> str:
    house.key_for("studio", "10")
    made = command("admin-keys", "create", data=house.data, environment=house.environment)
    found: str = made["key"]
    return found


@pytest.fixture(scope="module")
def schema(house: House, key: str) -> BaseSchema:
    described = document(ENDPOINTS)
    for path in described["paths"].values():
        for operation in path.values():
            for parameter in operation["parameters"]:
                if parameter["name"] in SEGMENTS:
                    parameter["schema"] = {"enum": [SEGMENTS[parameter["name"]]]}
    made = schemathesis.openapi.from_dict(described)
    made.config.update(base_url=house.serve().url)
    return made


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value)
@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
def test_every_answer_is_one_that_it_knows(
    schema: BaseSchema, house: House, key: str, endpoint: Any, mode: GenerationMode
) -> None:
    operation: Any = schema[PREFIX + endpoint.path][endpoint.method.lower()]
    if mode is GenerationMode.NEGATIVE and not (endpoint.body or operation.definition.raw["parameters"]):
        return  # there is nothing to say to these

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=[*HealthCheck],
        phases=[Phase.generate],
    )
    @given(operation.as_strategy(generation_mode=mode))
    def ask(case: Case) -> None:
        response = case.call(headers={"authorization": f"Bearer {key}"})
        case.validate_response(response, checks=CHECKS)

    ask()
    log = (house.data.parent / "gateway.log").read_text()
    assert not [crash for crash in CRASHES if crash in log]
