"""What a workspace has set holds where a request says nothing, and where the model takes it."""

from __future__ import annotations

import pytest

from imageway.catalog import Catalog
from imageway.core.access import KeyScope, WorkspaceSettings
from imageway.core.errors import GatewayError, InvalidRequest, Problem
from imageway.core.intents import Generate, ListTasks
from imageway.core.requests import Caller, ImageRequest
from imageway.engine.defaults import as_set
from imageway.engine.models import ModelShelf
from imageway.engine.ports import Tools
from imageway.engine.preparation import Prepared, find_model, prepare, with_the_rest
from imageway.engine.service import Engine
from imageway.tasks.queries import FindTasks, TaskPage
from tests.values import replace


def caller(**settings: object) -> Caller:
    return Caller("key_1", "ws_1", settings=WorkspaceSettings(**settings))  # type: ignore[arg-type]


def prepared(tools: Tools, who: Caller, model: str, **fields: object) -> Prepared:
    request = ImageRequest(model=model, prompt="a fox", **fields)  # type: ignore[arg-type]
    return prepare(tools, Generate(request=request), who)


def test_an_alias_counts_before_the_model_is_looked_up(tools: Tools) -> None:
    """Even a name that is hard-coded in old clients, and that nobody sells."""
    with pytest.raises(GatewayError, match="retired"):
        prepared(tools, caller(), "dall-e-3")
    made = prepared(tools, caller(aliases={"dall-e-3": "gpt-image-2"}), "dall-e-3", quality="low")
    assert made.model.id == made.request.model == "gpt-image-2"
    assert find_model(tools, "gpt-image-2", caller(aliases={"gpt-image-2": "qwen-image"}))[0].id == "qwen-image"


def test_an_alias_of_an_alias_is_none(tools: Tools) -> None:
    with pytest.raises(GatewayError, match='there is no model "a"'):
        find_model(tools, "a", caller(aliases={"a": "b", "b": "gpt-image-2"}))


def test_a_key_for_the_model_or_for_its_alias_may_use_the_alias(tools: Tools) -> None:
    settings = WorkspaceSettings(aliases={"house": "gpt-image-2"})
    for pattern in ("house", "gpt-*"):
        assert find_model(tools, "house", Caller("k", "w", (pattern,), settings=settings))[0].id == "gpt-image-2"
    with pytest.raises(GatewayError) as refused:
        find_model(tools, "house", Caller("k", "w", ("qwen-*",), settings=settings))
    assert refused.value.message == 'this key may not use the model "house", only qwen-*'


def test_models_are_listed_with_the_names_that_the_workspace_has_set(tools: Tools) -> None:
    shelf, plain = ModelShelf(tools), [card.id for card in ModelShelf(tools).all(caller()).cards]
    who = caller(aliases={"dall-e-3": "gpt-image-2", "gpt-image-1": "qwen-image", "gone": "no-such-model"})
    listed = {card.id: card for card in shelf.all(who).cards}
    assert list(listed) == [*(name for name in plain if name != "gpt-image-1"), "dall-e-3", "gpt-image-1"]
    assert listed["dall-e-3"].capabilities["alias_of"] == "gpt-image-2"
    assert listed["gpt-image-1"].capabilities["alias_of"] == "qwen-image"
    assert "alias_of" not in listed["gpt-image-2"].capabilities
    assert shelf.one("dall-e-3", who) == listed["dall-e-3"]


def test_only_models_are_listed_that_the_key_can_do_something_with(tools: Tools) -> None:
    shelf = ModelShelf(tools)
    everything = {card.id for card in shelf.all(caller()).cards}
    edits = {card.id for card in shelf.all(only_for("edit")).cards}
    assert edits < everything
    assert all("edit" in tools.catalog.models[name].operations for name in edits)
    assert {card.id for card in shelf.all(only_for("upscale")).cards} >= edits  # told to, as an edit


def only_for(*operations: str) -> Caller:
    return Caller("key_1", "ws_1", scope=KeyScope(operations=operations))


def test_the_workspaces_form_counts_where_the_request_names_none(tools: Tools) -> None:
    assert prepared(tools, caller(), "gpt-image-2").form == "b64_json"
    assert prepared(tools, caller(form="url"), "gpt-image-2").form == "url"
    assert prepared(tools, caller(form="b64"), "doubao-seedream-4-5-251128").form == "b64_json"


def test_a_form_that_the_request_names_counts(tools: Tools) -> None:
    intent = Generate(request=ImageRequest(model="gpt-image-2", prompt="a fox"), form="b64_json")
    assert prepare(tools, intent, caller(form="url")).form == "b64_json"


@pytest.mark.parametrize(
    ("model", "asked", "setting", "sent"),
    [
        ("doubao-seedream-4-5-251128", None, False, False),
        ("doubao-seedream-4-5-251128", True, False, True),
        ("doubao-seedream-4-5-251128", None, None, None),
        ("gpt-image-2", None, True, None),  # which has no such thing, and nobody asked for it
    ],
)
def test_the_workspaces_watermark_counts_where_the_model_takes_one(
    catalog: Catalog, model: str, asked: bool | None, setting: bool | None, sent: bool | None
) -> None:
    request = ImageRequest(model=model, prompt="a fox", watermark=asked)
    assert as_set(catalog.models[model], WorkspaceSettings(watermark=setting), request).watermark is sent


def test_the_workspaces_watermark_yields_to_what_cannot_be_had_beside_it(catalog: Catalog) -> None:
    """A seed goes without a mark alone: the caller asked for the seed."""
    rows = {name: model.parameters.get("seed") for name, model in catalog.models.items()}
    model = catalog.models[next(name for name, row in rows.items() if row and "watermark" in row.needs)]
    seeded = ImageRequest(model=model.id, prompt="a fox", seed=7)
    assert as_set(model, WorkspaceSettings(watermark=True), seeded) is seeded
    assert as_set(model, WorkspaceSettings(watermark=False), seeded).watermark is False
    assert as_set(model, WorkspaceSettings(watermark=True), replace(seeded, seed=None)).watermark is True


def test_a_key_that_may_not_is_told_so_before_anything_is_held(tools: Tools) -> None:
    """And whatever else is wrong with the request."""
    intent = Generate(request=ImageRequest(model="gpt-image-2", prompt="a fox", quality="low"))
    for scope in (KeyScope(operations=("edit",)), KeyScope(max_price_usd_micros=1)):
        with pytest.raises(GatewayError) as refused:
            prepare(tools, intent, Caller("k", "w", scope=scope))
        assert refused.value.code == "key_not_allowed"
    wrong = InvalidRequest(Problem("n", "invalid_value", "n is 11"), partial=intent)
    assert with_the_rest(tools, wrong, Caller("k", "w", scope=KeyScope(operations=("edit",)))).code == "key_not_allowed"
    assert with_the_rest(tools, wrong, Caller("k", "w")).code == "invalid_value"


async def test_tasks_are_found_by_the_workspaces_own_names(tools: Tools) -> None:
    asked: list[FindTasks] = []

    class Reads:
        async def read(self, query: FindTasks) -> TaskPage:
            asked.append(query)
            return TaskPage((), 0)

    engine = Engine(replace(tools, store=Reads()))
    for name in ("house", "gpt-image-2", None):
        await engine.list_tasks(ListTasks(model=name), caller(aliases={"house": "gpt-image-2"}))
    assert [query.model for query in asked] == ["gpt-image-2", "gpt-image-2", None]
