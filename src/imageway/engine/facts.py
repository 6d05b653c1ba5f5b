"""What ending a task asks about it, whether it began in this process or was taken over."""

from __future__ import annotations

from msgspec import Struct

from imageway.catalog.schema import Model
from imageway.core.access import CATALOG_TERMS, Terms
from imageway.core.intents import Form, Webhook
from imageway.core.requests import ImageRequest, RequestWarning
from imageway.engine.limits import Spending


class TaskFacts(Struct, frozen=True, kw_only=True):
    """`images` is how many were asked for; `warnings` are those of before the first attempt. `model` has the prices of
    this caller, which `terms` say the reasons of; `dialect` is the one he spoke. `spending`: the budgets that the hold
    was taken of; `keep_images_s`: how long his workspace keeps images (None: as everybody's). `first_image`: from which
    number on stored images are named; who took the task over has numbers of his own."""

    task_id: str
    workspace_id: str
    key_id: str
    model: Model
    request: ImageRequest
    form: Form
    hold_usd_micros: int
    images: int
    created_ms: int
    warnings: tuple[RequestWarning, ...]
    webhook: Webhook | None = None
    terms: Terms = CATALOG_TERMS
    dialect: str = ""
    spending: Spending | None = None
    keep_images_s: float | None = None
    first_image: int = 0
