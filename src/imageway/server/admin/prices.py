"""/admin/v1/prices: rules, and what a model costs a workspace by them."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from imageway.catalog.schema import Price
from imageway.server.admin.endpoints import Endpoint, Page, Visit
from imageway.server.administration.prices import RuleAsked, RuleShown, end_rule, list_rules, prices_for, set_rule


class ForWorkspace(Struct, frozen=True):
    workspace: str | None = None


class ModelPrices(Struct, frozen=True, kw_only=True):
    """`rules` are those that made these rows out of the catalog's."""

    model: str
    workspace: str | None
    prices: tuple[Price, ...]
    minimum_hold_usd: str
    rules: tuple[str, ...]


async def _list(visit: Visit) -> Page:
    return Page(data=await list_rules(visit.office))


async def _set(visit: Visit) -> RuleShown:
    return await set_rule(visit.office, visit.catalog, visit.body)


async def _end(visit: Visit) -> RuleShown:
    return await end_rule(visit.office, visit.params["rule"])


async def _show(visit: Visit) -> ModelPrices:
    workspace = visit.query.workspace
    model, rules = await prices_for(visit.office, visit.catalog, visit.params["model"], workspace)
    return ModelPrices(
        model=model.id, workspace=workspace, prices=model.prices, minimum_hold_usd=model.minimum_hold, rules=rules
    )


ENDPOINTS: Final = (
    Endpoint(method="GET", path="prices/rules", name="listPriceRules", summary="Price rules.", work=_list, answer=Page),
    Endpoint(
        method="POST",
        path="prices/rules",
        name="setPriceRule",
        summary="Makes a price rule.",
        work=_set,
        body=RuleAsked,
        answer=RuleShown,
        status=201,
    ),
    Endpoint(
        method="DELETE",
        path="prices/rules/{rule}",
        name="endPriceRule",
        summary="Ends a price rule.",
        work=_end,
        answer=RuleShown,
    ),
    Endpoint(
        method="GET",
        path="prices/models/{model}",
        name="showPrices",
        summary="What a workspace pays for a model now.",
        work=_show,
        query=ForWorkspace,
        answer=ModelPrices,
    ),
)
