"""A whole world: shared stores, providers, processes that come and go, and visitors who ask for pictures and may lose
patience. `run_world` plays one to its end and hands over everything that can be checked."""

from __future__ import annotations

import asyncio
import hashlib
import random
import tempfile
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from imageway.bodies import Budget, Scope, Spool, digest
from imageway.catalog import Catalog, load
from imageway.core.blobs import Tree
from imageway.core.errors import GatewayError
from imageway.core.failures import FaultInjected, StoreFailed
from imageway.core.intents import Event, Finished, Form, Generate, Generated, Picture, TaskView, Webhook
from imageway.core.ops import Committed
from imageway.core.requests import Caller, ImageRequest
from imageway.core.upstreams import Upstream
from imageway.engine.acceptance import KeyTaken
from imageway.engine.courier import Courier
from imageway.engine.crew import Crew
from imageway.engine.hearing import Ear
from imageway.engine.patience import wholly
from imageway.engine.ports import Tools
from imageway.engine.recovery import Recovery
from imageway.engine.replay import Replay, find_earlier, marked
from imageway.engine.runs import TaskHandle
from imageway.engine.service import Engine
from imageway.engine.settings import EngineSettings
from imageway.engine.terms import PriceTerms
from imageway.engine.webhook_secrets import WebhookSecrets
from imageway.ledger.ops import CreateKey, CreateWorkspace, TopUp
from imageway.ledger.terms import PriceRule
from imageway.media.links import LinkSigner
from imageway.routing import Health
from imageway.storage.memory import MemoryStore
from imageway.tasks.queries import RunningTasks
from imageway.tasks.webhooks import AddEndpoint, AddSecret, ListDeliveries
from tests.sim.budgets import give_budgets, spender
from tests.sim.machine import (
    EPOCH_MS,
    Machine,
    MemoryObjects,
    ObjectsDoor,
    SimBulletin,
    SimClock,
    SimLiveness,
    SimRandom,
    SimWorkers,
    StoreDoor,
    Weather,
    ignore_the_dead,
    make_task,
)
from tests.sim.receivers import Receivers
from tests.sim.upstreams import Plan, Providers, SimTransport, telling_adapters
from tests.sim.virtual_time import VirtualLoop, run_virtually
from tests.values import replace
from tests.vaults import vault_on

ENDLESS_S = 4000.0
LOOKS_S = 3.0  # for deliveries: a world has no time to look every half second
SIGNER = LinkSigner("http://gateway.test", "k1", {"k1": b"a secret of the tests"})
UPSTREAMS = tuple(
    Upstream(id=f"{provider}-{number}", provider=provider, base_url=f"https://{provider}.test", auth="bearer")
    for provider in ("openai", "google", "volcengine", "dashscope")
    for number in (1, 2, 3)
)


def shown(view: TaskView) -> Tree:
    """A task as its owner sees it, the little of it that is checked."""
    return {"id": view.id, "status": view.status, "images": [picture.url for picture in view.pictures]}


@lru_cache(maxsize=1)
def catalog() -> Catalog:
    return load()


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What one visitor does. `patience_s`: when he hangs up. `delivery_s`: how long the answer takes to read.
    `leaves_after`: he hangs up after so many events of a stream. `background`: he takes the receipt and goes, `cancels`
    after a while. `called_off_after_s`: somebody else of his workspace cancels what he waits for, at another process
    where there is one."""

    number: int
    request: ImageRequest
    at_s: float = 0.0
    workspace: str = "rich"
    form: Form | None = None
    key: str | None = None
    strict: bool = False
    patience_s: float = 2 * ENDLESS_S
    delivery_s: float = 0.1
    process: int | None = None
    leaves_after: int | None = None
    background: bool = False
    cancels_after_s: float | None = None
    called_off_after_s: float | None = None
    deadline_s: float | None = None
    webhook: Webhook | None = None
    rejects: bool = False


@dataclass(slots=True)
class Visit:
    """How it went. `end`: answered, hung_up, cut (the process died), or waiting. `told`: the events of a stream before
    the last; `paid`: what became of the hold by the moment of the last. `replayed`: it asked for what was asked for
    before; `contents`: digests of the images of an answer under a key."""

    order: Order
    end: str = "waiting"
    task_id: str | None = None
    answer: Generated | None = None
    error: BaseException | None = None
    delivered: bool = False
    owner: str = ""
    told: list[Event] = field(default_factory=list)
    paid: str = ""
    view: TaskView | None = None
    replayed: bool = False
    contents: tuple[bytes, ...] = ()


class HungUp(Exception):
    """In the middle of a stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Something that happens to the process of this index. `what`: kill, close, stall; `die_at` sets a trap."""

    process: int
    at_s: float = 0.0
    what: str = "kill"
    die_at: tuple[str, int] | None = None
    successor_after_s: float = 2.0
    stall_s: float = 40.0
    drain_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Everything that makes a world what it is. `told`, `roughness`: what messages meet at their receivers;
    `words_lost`: which share of what processes tell each other."""

    seed: int
    plan: Plan
    orders: tuple[Order, ...]
    processes: int = 1
    troubles: tuple[Trouble, ...] = ()
    weather: Weather = field(default_factory=Weather)
    proves: bool = True
    wallets: tuple[tuple[str, int], ...] = (("rich", 100_000_000), ("modest", 1_500_000), ("poor", 90_000))
    settings: EngineSettings = field(default_factory=lambda: EngineSettings(webhook_poll_s=LOOKS_S))
    spool_bytes: int = 1 << 40
    workers: int = 8
    endpoints: tuple[AddEndpoint, ...] = ()
    told: tuple[str, ...] = ()
    roughness: float = 0.0
    words_lost: float = 1.0
    rules: tuple[PriceRule, ...] = ()


@dataclass(slots=True)
class Process:
    """One gateway process without its server."""

    machine: Machine
    tools: Tools
    engine: Engine
    recovery: Recovery
    courier: Courier
    budget: Budget
    closed: bool = False
    unanswered: dict[int, Visit] = field(default_factory=dict)

    @property
    def alive(self) -> bool:
        return not self.machine.dead and not self.closed

    async def serve(self, visit: Visit) -> None:
        """What the server's gate does with one request."""
        scope, intent = self.tools.spool.scope(), _intent(visit.order)
        try:
            await (self._serve(visit, intent, scope) if intent.idempotency_key is None else self._once(visit, scope))
        except HungUp:
            visit.end = "hung_up"
        except GatewayError as error:
            visit.error = error
            visit.task_id = visit.task_id or error.request_id
        except StoreFailed as error:
            visit.error = GatewayError("internal_error", "the gateway failed on this request")
            visit.error.__cause__ = error
        finally:
            self.unanswered.pop(visit.order.number, None)
            scope.release()

    async def _once(self, visit: Visit, scope: Scope) -> None:
        caller = _caller(visit.order)
        intent = await marked(self.engine, _intent(visit.order), caller)
        while True:
            earlier = await find_earlier(self.engine, intent, caller, scope)
            if earlier is not None:
                visit.replayed = True
                await self._repeat(visit, earlier)
                return
            try:
                await self._serve(visit, intent, scope)
            except KeyTaken:
                continue
            return

    async def _repeat(self, visit: Visit, earlier: Replay) -> None:
        if visit.order.background:
            shown = await earlier.shown(_caller(visit.order))
            assert isinstance(shown, TaskView)
            visit.view, visit.task_id = shown, earlier.id
            return
        visit.answer = await self._answer(visit, earlier)
        visit.task_id = earlier.id
        visit.contents = await self._contents(visit.answer)
        await asyncio.sleep(visit.order.delivery_s)
        self.machine.check()
        visit.delivered = True

    async def _serve(self, visit: Visit, intent: Generate, scope: Scope) -> None:
        if visit.order.background:
            await self._leave_alone(visit, intent)
            return
        handle = self.engine.start(intent, _caller(visit.order), scope)
        try:
            await handle.accepted()
            visit.task_id = handle.id
            self.unanswered[visit.order.number] = visit
            visit.answer = await self._answer(visit, handle)
            if intent.idempotency_key is not None:
                visit.contents = await self._contents(visit.answer)
            del self.unanswered[visit.order.number]
            await asyncio.sleep(visit.order.delivery_s)
        except (asyncio.CancelledError, HungUp, GatewayError):
            self.engine.leave(handle)
            raise
        self.machine.check()
        visit.delivered = True
        self.engine.delivered(handle)

    async def _contents(self, answer: Generated) -> tuple[bytes, ...]:
        return tuple([await self._content(picture) for picture in answer.pictures])

    async def _content(self, picture: Picture) -> bytes:
        if picture.blob is not None:
            return await digest(picture.blob)
        name = (picture.url or "").partition("?")[0].rpartition("/")[2]
        objects = self.tools.objects
        assert isinstance(objects, ObjectsDoor)
        return hashlib.sha256(objects.objects.rows[name][1]).digest()

    async def _answer(self, visit: Visit, handle: TaskHandle | Replay) -> Generated:
        """As the gate does: event by event where a stream was asked for."""
        if not visit.order.request.stream:
            return await handle.outcome()
        async with aclosing(handle.events()) as events:
            async for event in events:
                if isinstance(event, Finished):
                    visit.paid = self._hold_of(handle)
                    return event.generated
                visit.told.append(event)
                if len(visit.told) == visit.order.leaves_after:
                    raise HungUp
        raise AssertionError("a stream ended without a last event")

    def _hold_of(self, handle: TaskHandle | Replay) -> str:
        store = self.tools.store
        assert isinstance(store, StoreDoor)
        return store.store._tables.holds[handle.id].state

    async def _leave_alone(self, visit: Visit, intent: Generate) -> None:
        caller = _caller(visit.order)
        # As the gate does: who hangs up meanwhile is accepted all the same.
        visit.view = await wholly(self.engine.enqueue(intent, caller))
        visit.task_id = visit.view.id
        if visit.order.cancels_after_s is not None:
            await asyncio.sleep(visit.order.cancels_after_s)
            visit.view = await self.engine.cancel_task(visit.task_id, caller)


def _caller(order: Order) -> Caller:
    return spender(f"key-{order.workspace}", order.workspace)


def _intent(order: Order) -> Generate:
    return Generate(
        request=order.request,
        form=order.form,
        strict=order.strict,
        idempotency_key=order.key,
        reject_running=order.rejects,
        background=order.background,
        deadline_s=order.deadline_s,
        webhook=order.webhook,
    )


@dataclass(slots=True)
class World:
    shape: Shape
    folder: Path
    store: MemoryStore = field(default_factory=MemoryStore)
    objects: MemoryObjects = field(default_factory=MemoryObjects)
    processes: list[Process] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)
    dead: set[str] = field(default_factory=set)
    crashes: list[str] = field(default_factory=list)
    bulletins: list[SimBulletin] = field(default_factory=list)
    ended_s: float = 0.0
    providers: Providers = field(init=False)
    receivers: Receivers = field(init=False)
    chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.providers = Providers(self.shape.plan)
        self.receivers = Receivers(self.shape.seed, self.shape.told, self.shape.roughness)
        self.chance = random.Random(f"world {self.shape.seed}")

    def open_process(self, die_at: tuple[str, int] | None = None) -> Process:
        owner = f"proc-{len(self.processes)}"
        machine = Machine(owner, random.Random(f"{self.shape.seed}/{owner}"), die_at)
        machine.on_death = lambda: self.dead.add(owner)
        clock, budget = SimClock(machine), Budget(self.shape.spool_bytes)
        bulletin = SimBulletin(
            machine, self.bulletins, self.shape.words_lost, random.Random(f"words {self.shape.seed}/{owner}")
        )
        self.bulletins.append(bulletin)
        tools = Tools(
            owner=owner,
            catalog=catalog(),
            adapters=telling_adapters(),
            upstreams=UPSTREAMS,
            health=Health(),
            store=StoreDoor(machine, self.store, self.shape.weather),
            objects=ObjectsDoor(machine, self.objects, self.shape.weather, clock),
            transport=SimTransport(machine, self.providers, self.receivers),
            signer=SIGNER,
            spool=Spool(self.folder, budget),
            clock=clock,
            random=SimRandom(machine.chance),
            workers=SimWorkers(machine),
            faults=machine,
            liveness=SimLiveness(self.dead, self.shape.proves),
            settings=self.shape.settings,
            bulletin=bulletin,
            terms=PriceTerms(self.shape.rules),
        )
        engine = Engine(tools)
        vault = vault_on(tools.store, random=tools.random)
        courier = Courier(tools, WebhookSecrets(tools.store, vault, tools.random), shown)
        process = Process(machine, tools, engine, Recovery(engine), courier, budget)
        self.processes.append(process)
        machine.start(self._keep_going(process))
        machine.start(self._work(process))
        machine.start(courier.keep_going())
        return process

    async def _keep_going(self, process: Process) -> None:
        """As bootstrap does: the lease first, then what others left, then for ever. A process that cannot start is
        started again."""
        while True:
            try:
                await process.recovery.renew()
                await process.recovery.begin()
                break
            except StoreFailed:
                await process.machine.pause(1)
        try:
            await process.recovery.keep_going()
        except Exception as error:  # noqa: BLE001  # whatever it was, it is a broken promise
            self.crashes.append(f"the recovery of {process.machine.owner} ended: {error!r}")

    async def _work(self, process: Process) -> None:
        crew = Crew(process.engine, self.shape.workers)
        process.engine.queued = crew.offer
        await asyncio.gather(crew.keep_going(), process.tools.bulletin.keep_going(Ear(crew).hear))

    async def run(self) -> None:
        for name, usd_micros in self.shape.wallets:
            wallet = CreateWorkspace(name, name, EPOCH_MS), TopUp(f"top-{name}", name, usd_micros, EPOCH_MS)
            key = CreateKey(f"key-{name}", name, name, name.encode(), "", (), EPOCH_MS)
            if not isinstance(await self.store.commit(*wallet, key), Committed):
                raise AssertionError(name)
            give_budgets(self.store._tables, key.id)
        for endpoint in self.shape.endpoints:
            chance = SimRandom(self.chance)
            secret = WebhookSecrets(self.store, vault_on(self.store, random=chance), chance).make(EPOCH_MS)
            first = AddSecret(secret.id, endpoint.id, secret.hint, EPOCH_MS)
            if not isinstance(await self.store.commit(endpoint, first, secret.put), Committed):
                raise AssertionError(endpoint.id)
        traps = {trouble.process: trouble.die_at for trouble in self.shape.troubles if trouble.die_at}
        for index in range(self.shape.processes):
            self.open_process(traps.get(index))
        loop = asyncio.get_running_loop()
        visitors = [loop.create_task(self._visit(order)) for order in self.shape.orders]
        events = [loop.create_task(self._trouble(trouble)) for trouble in self.shape.troubles]
        await asyncio.wait(visitors, timeout=ENDLESS_S)
        await asyncio.wait(events, timeout=ENDLESS_S) if events else None
        await self._settle_down()
        self.ended_s = loop.time()
        for task in (*visitors, *events):
            if task.done() and not task.cancelled() and (error := task.exception()):
                raise error

    async def _settle_down(self) -> None:
        """Until nothing runs any more and all are told, or until it is clear that something always will; then everybody
        goes home."""
        patience_s = asyncio.get_running_loop().time() + 2 * 3600
        while await self._is_busy() and asyncio.get_running_loop().time() < patience_s:
            await asyncio.sleep(10)
        await asyncio.sleep(45)
        for process in self.processes:
            if process.alive:
                await self._close(process, drain_s=5)

    async def _is_busy(self) -> bool:
        told = await self.store.read(ListDeliveries(state="pending", limit=1))
        return bool(told or await self.store.read(RunningTasks()))

    async def _close(self, process: Process, *, drain_s: float) -> None:
        """The orderly end, as bootstrap does it."""
        process.closed = True
        await process.machine.start(process.engine.close(drain_s))
        await process.machine.start(process.courier.close())
        await asyncio.sleep(5)
        for number in process.unanswered:
            self.crashes.append(f"{process.machine.owner} closed without a word to visitor {number}")
        if not process.machine.dead:
            await process.machine.start(process.recovery.resign())
        process.machine.on_death = None
        process.machine.kill()
        await asyncio.sleep(0)

    async def _trouble(self, trouble: Trouble) -> None:
        process = self.processes[trouble.process]
        if trouble.die_at:
            while process.alive and self._anything_left():
                await asyncio.sleep(1)
        else:
            await asyncio.sleep(trouble.at_s)
            if trouble.what == "stall":
                process.machine.stalled_until_s = asyncio.get_running_loop().time() + trouble.stall_s
                return
            if trouble.what == "close":
                await self._close(process, drain_s=trouble.drain_s)
            else:
                process.machine.kill()
        await asyncio.sleep(trouble.successor_after_s)
        self.open_process()

    def _anything_left(self) -> bool:
        return any(visit.end == "waiting" for visit in self.visits) or len(self.visits) < len(self.shape.orders)

    async def _visit(self, order: Order) -> None:
        await asyncio.sleep(order.at_s)
        visit = Visit(order)
        self.visits.append(visit)
        process = await self._reached(order)
        visit.owner = process.machine.owner
        serving = process.machine.start(process.serve(visit))
        calling_off = asyncio.create_task(self._call_off(visit))  # whatever became of him
        done, _ = await asyncio.wait({serving}, timeout=order.patience_s)
        if not done:
            serving.cancel()
            await asyncio.wait({serving}, timeout=60)
            visit.end = "hung_up"
        elif serving.cancelled() or isinstance(serving.exception(), FaultInjected):
            visit.end = "cut"
        else:
            visit.end = "answered" if visit.end == "waiting" else visit.end
            if error := serving.exception():
                visit.error = error
        await asyncio.wait({calling_off}, timeout=60)
        answered = visit.delivered or visit.error is not None or visit.view is not None
        if process.machine.dead and not process.closed and not answered:
            visit.end = "cut"

    async def _call_off(self, visit: Visit) -> None:
        """By somebody who reaches another process than he did."""
        order = visit.order
        if order.called_off_after_s is None:
            return
        await asyncio.sleep(order.called_off_after_s)
        if visit.task_id is not None:
            process = await self._reached(replace(order, number=order.number + 1, process=None))
            with suppress(GatewayError, StoreFailed, FaultInjected):
                await process.machine.start(process.engine.cancel_task(visit.task_id, _caller(order)))

    async def _reached(self, order: Order) -> Process:
        while True:
            alive = [process for process in self.processes if process.alive]
            if order.process is not None and alive and order.process < len(self.processes):
                wanted = self.processes[order.process]
                if wanted.alive:
                    return wanted
            if alive:
                return alive[order.number % len(alive)]
            await asyncio.sleep(0.5)


def run_world(shape: Shape, *, meddle: Callable[[World], None] | None = None) -> World:
    """Plays a world to its end. `meddle` may change it before it begins."""

    def prepare(loop: VirtualLoop) -> None:
        loop.set_task_factory(make_task)
        loop.set_exception_handler(ignore_the_dead)

    with tempfile.TemporaryDirectory() as folder:
        fates = {op: list(fates) for op, fates in shape.weather.planted.items()}  # each of which is met once
        world = World(replace(shape, weather=replace(shape.weather, planted=fates)), Path(folder))
        if meddle is not None:
            meddle(world)
        run_virtually(world.run(), prepare)
        for process in world.processes:
            process.tools.spool.close()
    return world
