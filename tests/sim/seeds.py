"""From a seed to the shape of a world: who asks for what and when, how rough the providers are, who dies, and how the
shared stores behave."""

from __future__ import annotations

import random
from typing import Final

from imageway.bodies import blob_of
from imageway.core.intents import Webhook
from imageway.core.requests import Geometry, Group, ImageData, ImageInput, ImageLink, ImageRequest, Operation
from imageway.engine.settings import EngineSettings
from imageway.ledger.terms import PriceRule
from imageway.tasks.webhooks import AddEndpoint
from tests.sim.machine import EPOCH_MS, Weather
from tests.sim.pictures import picture
from tests.sim.plans import Chances
from tests.sim.upstreams import Link
from tests.sim.world import LOOKS_S, Order, Shape, Trouble, World
from tests.values import replace

MODELS: Final = {
    "gpt-image-1": 5,
    "gemini-3.1-flash-image": 2,
    "gemini-2.5-flash-image": 2,
    "qwen-image": 5,
    "qwen-image-2.0": 3,
    "doubao-seedream-4-0-250828": 3,
}
EDITABLE: Final = ("gpt-image-1", "gemini-2.5-flash-image", "qwen-image-2.0", "doubao-seedream-4-0-250828")
INPUTS: Final = {
    "https://pictures.example/whole.png": Link(picture("png", 7)),
    "https://pictures.example/late.png": Link(picture("png", 8), ending="late"),
    "https://pictures.example/hangs.png": Link(picture("png", 8), ending="never"),
    "https://pictures.example/none.png": Link(picture("png", 9), ending="gone"),
    "https://pictures.example/text.png": Link(b"not a picture at all"),
}
FAULT_POINTS: Final = (
    "after_accept",
    "after_enqueue",
    "after_claim",
    "after_begin",
    "after_submit",
    "after_memo",
    "after_capture",
    "after_webhook",
)


def shape_of(seed: int, requests: int = 20) -> Shape:
    """The world of this seed."""
    chance = random.Random(f"shape {seed}")
    processes = chance.choice((1, 1, 2, 3))
    troubles = _troubles(chance, processes)
    return Shape(
        seed=seed,
        plan=Chances(seed, chance.choice((0.0, 0.2, 0.5, 0.9))),
        orders=tuple(_called_off(seed, _order(chance, number, _webhook(seed, number))) for number in range(requests))
        + _repeated(seed, requests),
        processes=processes,
        troubles=troubles,
        weather=replace(_weather(chance), commit_late=random.Random(f"late {seed}").choice((0.0, 0.0, 0.0, 0.05))),
        proves=chance.random() < 0.6,
        settings=EngineSettings(tasks_per_key_at_once=chance.choice((2, 512, 512)), webhook_poll_s=LOOKS_S),
        workers=chance.choice((1, 3, 8, 64)),
        spool_bytes=chance.choice((1 << 40, 1 << 40, 150 << 20)),
        endpoints=_endpoints(seed),
        roughness=random.Random(f"receivers {seed}").choice((0.0, 0.3, 0.8)),
        words_lost=random.Random(f"words {seed}").choice((0.0, 0.5, 1.0)),
        rules=_rules(seed),
    )


def _rules(seed: int) -> tuple[PriceRule, ...]:
    """What one workspace pays otherwise, in half of the worlds; after a minute otherwise again."""
    chance = random.Random(f"rules {seed}")
    if chance.random() < 0.5:
        return ()
    workspace, changes_ms = chance.choice(("rich", "modest")), EPOCH_MS + 60_000
    first = _rule(chance, "rule-1", workspace, EPOCH_MS, changes_ms)
    return first, _rule(chance, "rule-2", workspace, changes_ms, None)


def _rule(chance: random.Random, id_: str, workspace_id: str, from_ms: int, until_ms: int | None) -> PriceRule:
    return PriceRule(
        id=id_,
        workspace_id=workspace_id,
        models="*",
        multiplier_millionths=chance.choice((0, 333_333, 1_000_000, 1_500_000)),
        per_image_usd_micros=chance.choice((0, 0, 1, 12_345)),
        rows=b"",
        from_ms=from_ms,
        until_ms=until_ms,
        source="a test",
        created_ms=from_ms,
    )


def _endpoints(seed: int) -> tuple[AddEndpoint, ...]:
    """Of some workspaces, in half of the worlds."""
    chance = random.Random(f"endpoints {seed}")
    if chance.random() < 0.5:
        return ()
    return tuple(
        AddEndpoint(
            id=f"end_{number}",
            workspace_id=chance.choice(("rich", "modest")),
            url=f"https://endpoint-{number}.example/{chance.choice(('hook', 'hook', 'gone'))}",
            events=chance.choice(((), ("task.succeeded",), ("task.failed", "task.unknown", "task.cancelled"))),
            limit=9,
            at_ms=EPOCH_MS,
        )
        for number in range(chance.randint(1, 3))
    )


def _called_off(seed: int, order: Order) -> Order:
    """Some of those who wait have a colleague who wants no more of it."""
    chance = random.Random(f"called off {seed}/{order.number}")
    if order.background or chance.random() < 0.85:
        return order
    return replace(order, called_off_after_s=chance.choice((0.05, chance.uniform(0, 5), chance.uniform(0, 40))))


def _repeated(seed: int, number: int) -> tuple[Order, ...]:
    """Two orders with a key come again with the same request: at once, soon, late, anywhere, in any form; and one of
    them with another. Their numbers begin with `number`."""
    chance = random.Random(f"repeats {seed}")
    first = [_order(chance, number + index, _webhook(seed, number + index)) for index in (0, 1)]
    keyed = [replace(order, key=f"again-{order.number}") for order in first]
    again = [_again(chance, order) for order in keyed for _ in range(chance.randint(1, 4))]
    another = replace(again[-1], request=replace(again[-1].request, prompt=f"a dog, number {number}"))
    return tuple(replace(order, number=number + index) for index, order in enumerate((*keyed, *again, another)))


def _again(chance: random.Random, order: Order) -> Order:
    return replace(
        order,
        request=replace(order.request, stream=chance.choice((None, True)), partial_images=None),
        at_s=order.at_s + chance.choice((0.0, 0.0, chance.uniform(0, 1), chance.uniform(0, 60), 2000.0)),
        form=chance.choice((None, "b64_json", "url")),
        patience_s=chance.choice((9000.0, 9000.0, chance.uniform(0, 20))),
        leaves_after=chance.choice((None, None, 1)),
        process=chance.choice((None, 0, 1, 2)),
        background=chance.random() < 0.2,
        rejects=chance.random() < 0.2,
        cancels_after_s=None,
        deadline_s=chance.choice((None, None, None, 5.0)),
    )


def _webhook(seed: int, number: int) -> Webhook | None:
    chance = random.Random(f"webhook {seed}/{number}")
    if chance.random() < 0.6:
        return None
    events = chance.choice(((), (), ("task.succeeded",), ("task.failed", "task.unknown")))
    return Webhook(f"https://caller-{number}.example/{chance.choice(('hook', 'hook', 'gone'))}", events)


def _weather(chance: random.Random) -> Weather:
    if chance.random() < 0.6:
        return Weather()
    return Weather(
        commit_fails=chance.choice((0, 0.05)),
        commit_fate_untold=chance.choice((0, 0.05)),
        put_fails=chance.choice((0, 0.1)),
        commit_s=chance.choice((0.004, 0.004, 1.0)),
    )


def _troubles(chance: random.Random, processes: int) -> tuple[Trouble, ...]:
    found = []
    for process in range(processes):
        if chance.random() < 0.4:
            continue
        point = chance.choice((*FAULT_POINTS, *["after_capture"] * 4))  # money is taken, and nobody has anything yet
        trap = (point, chance.randint(1, 6)) if chance.random() < 0.4 else None
        found.append(
            Trouble(
                process=process,
                at_s=chance.uniform(1, 120),
                what=chance.choice(("kill", "kill", "close", "stall")),
                die_at=trap,
                successor_after_s=chance.choice((0.5, 5, 40)),
                stall_s=chance.choice((10, 60)),
                drain_s=chance.choice((0, 5, 30)),
            )
        )
    return tuple(found)


def _order(chance: random.Random, number: int, webhook: Webhook | None) -> Order:
    model = chance.choices(list(MODELS), list(MODELS.values()))[0]
    request = _request(chance, number, model)
    return Order(
        number=number,
        request=request,
        at_s=chance.uniform(0, 120),
        workspace=chance.choice(("rich", "rich", "modest", "poor")),
        form=chance.choice((None, "b64_json", "b64_json", "b64_json", "url")),
        key=chance.choice((None, None, None, None, None, None, "key-1", f"key-{number}")),
        strict=chance.random() < 0.05,
        patience_s=chance.choice((9000.0, 9000.0, chance.expovariate(1 / 20), chance.uniform(0, 0.05))),
        delivery_s=chance.choice((0.0, 0.1, 5.0)),
        leaves_after=chance.choice((None, None, None, None, 1, 2)),
        background=chance.random() < 0.25,
        cancels_after_s=chance.choice((None, None, 0.01, 0.2, 3.0)),
        deadline_s=chance.choice((None, None, None, None, 2.0, 90.0)),
        webhook=webhook,
    )


def _request(chance: random.Random, number: int, model: str) -> ImageRequest:
    streams = chance.random() < 0.35
    inputs = _inputs(chance) if model in EDITABLE and chance.random() < 0.25 else ()
    return ImageRequest(
        model=model if chance.random() < 0.97 else "no-such-model",
        operation=Operation.EDIT if inputs else Operation.GENERATE,
        prompt=f"a cat, number {number}",
        images=inputs,
        n=chance.choice((None, 1, 1, 2, 3, 4)) if chance.random() < 0.97 else 11,
        group=Group(3) if model.startswith("doubao") and chance.random() < 0.2 else None,
        geometry=chance.choice((None, None, Geometry(ratio="1:1"))),
        quality="low" if model.startswith("gpt") else None,
        output_format=chance.choice((None, None, "png", "jpeg", "webp")),
        seed=chance.choice((None, 7)) if model.startswith("qwen") else None,
        stream=True if streams else None,
        partial_images=chance.choice((None, 1, 2)) if streams and model.startswith("gpt") else None,
    )


def _inputs(chance: random.Random) -> tuple[ImageInput, ...]:
    if chance.random() < 0.4:
        return (ImageData(blob_of(picture("png", 3)), "image"),)
    url = chance.choice((*INPUTS, "https://pictures.example/whole.png"))
    return (ImageLink(url, "image"),)


def with_inputs(world: World) -> None:
    """What callers link to is there in every seeded world."""
    world.providers.inputs.update({url: Link(link.content, 0, link.ending) for url, link in INPUTS.items()})
