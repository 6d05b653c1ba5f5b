"""The world around one pretend process: its clock, chance, threads, fault points and proof of death; and doors to the
shared stores that stay shut once it is dead.

`kill` is `kill -9`: every task of the process ends where it stands, and nothing that its `finally` blocks try has any
effect on the world."""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from imageway.core.failures import FaultInjected, StoreFailed
from imageway.core.objects import StoredObject
from imageway.core.ops import Committed, Op, Query, Refused
from imageway.engine.bulletin import Hear, Word
from imageway.storage.memory import MemoryStore
from imageway.tasks.ops import RenewLease

T = TypeVar("T")
EPOCH_MS = 1_760_000_000_000
LATEST_S = 20.0
_PROCESS: contextvars.ContextVar[Machine | None] = contextvars.ContextVar("process", default=None)


def make_task(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
    """The loop's task factory: whatever a process starts dies with it."""
    task = asyncio.Task(work, loop=loop, **options)
    context: contextvars.Context | None = options.get("context")
    machine = context.get(_PROCESS) if context is not None else _PROCESS.get()
    if machine is not None:
        machine.tasks[task] = None
        task.add_done_callback(machine.forget)
    return task


def ignore_the_dead(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Tasks that ended with their process have nobody to tell."""
    if not isinstance(context.get("exception"), FaultInjected):
        loop.default_exception_handler(context)


@dataclass(slots=True)
class Machine:
    """One process. `die_at` is a fault point and the how-manieth reaching of it kills."""

    owner: str
    chance: random.Random
    die_at: tuple[str, int] | None = None
    dead: bool = False
    died_s: float = 0.0
    on_death: Callable[[], None] | None = None
    tasks: dict[asyncio.Task[Any], None] = field(default_factory=dict)
    stalled_until_s: float = 0.0
    reached: dict[str, int] = field(default_factory=dict)

    def forget(self, task: asyncio.Task[Any]) -> None:
        self.tasks.pop(task, None)

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task that belongs to this process, and with it all that it starts."""
        context = contextvars.copy_context()
        context.run(_PROCESS.set, self)
        return asyncio.get_running_loop().create_task(work, context=context)

    def kill(self) -> None:
        if self.dead:
            return
        self.dead = True
        self.died_s = asyncio.get_running_loop().time()
        current = asyncio.current_task()
        for task in list(self.tasks):
            if task is not current:
                task.cancel()
        if self.on_death:
            self.on_death()

    def check(self) -> None:
        if self.dead:
            raise FaultInjected

    async def pause(self, seconds: float) -> None:
        """Time passes; a process that stalls does not notice until its stall is over."""
        self.check()
        await asyncio.sleep(seconds)
        self.check()
        while (left_s := self.stalled_until_s - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(left_s)
            self.check()

    # FaultPoints

    def reach(self, name: str) -> None:
        self.check()
        self.reached[name] = self.reached.get(name, 0) + 1
        if self.die_at == (name, self.reached[name]):
            self.kill()
            raise FaultInjected


@dataclass(frozen=True, slots=True)
class SimClock:
    machine: Machine

    def now_ms(self) -> int:
        return EPOCH_MS + int(asyncio.get_running_loop().time() * 1000)

    def monotonic_s(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await self.machine.pause(seconds)


@dataclass(eq=False, slots=True)
class SimBulletin:
    """Words reach the other processes a little later, some of them never; nobody hears the dead."""

    machine: Machine
    others: list[SimBulletin]
    loses: float
    chance: random.Random
    hear: Hear | None = None

    def post(self, word: Word, task_id: str) -> None:
        loop = asyncio.get_running_loop()
        for other in self.others:
            if other is not self and self.chance.random() >= self.loses:
                loop.call_later(self.chance.uniform(0.001, 0.1), other.arrive, word, task_id)

    def arrive(self, word: Word, task_id: str) -> None:
        if self.hear is not None and not self.machine.dead:
            context = contextvars.copy_context()
            context.run(_PROCESS.set, self.machine)
            context.run(self.hear, word, task_id)

    async def keep_going(self, hear: Hear) -> None:
        self.hear = hear
        try:
            await asyncio.Event().wait()
        finally:
            self.hear = None


@dataclass(frozen=True, slots=True)
class SimRandom:
    chance: random.Random

    def token_bytes(self, count: int) -> bytes:
        return self.chance.randbytes(count)

    def uniform(self) -> float:
        return self.chance.random()


@dataclass(frozen=True, slots=True)
class SimWorkers:
    """Work is done where it stands; it still takes a moment."""

    machine: Machine

    async def run(self, work: Callable[[], T]) -> T:
        await self.machine.pause(0.02)
        return work()


@dataclass(frozen=True, slots=True)
class SimLiveness:
    """Proof of death, where this world has any: replicas on several machines have none."""

    dead: set[str]
    proves: bool

    def is_dead(self, owner: str) -> bool:
        return self.proves and owner in self.dead


@dataclass(slots=True)
class Weather:
    """How the shared stores behave. Chances of one operation."""

    commit_fails: float = 0.0  # nothing happened
    commit_fate_untold: float = 0.0  # it happened, and the answer was lost
    commit_late: float = 0.0  # it happens in a while, and the answer was lost
    put_fails: float = 0.0
    first_puts_fail: int = 0
    commit_s: float = 0.004  # at most, before and after
    planted: dict[type[Op], list[str]] = field(default_factory=dict)  # fates of the next commits with this op

    @property
    def is_bad(self) -> bool:
        """For commits."""
        return bool(self.commit_fails or self.commit_fate_untold or self.commit_late)


@dataclass(slots=True)
class StoreDoor:
    """The shared store as one process sees it: a commit takes time, and may be applied or not when the process dies or
    gives up waiting in the middle of it."""

    machine: Machine
    store: MemoryStore
    weather: Weather

    async def commit(self, *ops: Op) -> Committed | Refused:
        chance = self.machine.chance
        await self.machine.pause(chance.uniform(0, self.weather.commit_s))
        fate = self._fate(ops)
        if fate == "fails":
            raise StoreFailed("nothing was committed")
        if fate == "late":
            asyncio.get_running_loop().create_task(
                self._later(ops, chance.uniform(0.5, LATEST_S)), context=contextvars.Context()
            )
            raise StoreFailed("the connection was lost before the commit was done")
        outcome = await self.store.commit(*ops)
        await self.machine.pause(chance.uniform(0, self.weather.commit_s))
        if fate == "untold":
            raise StoreFailed("the connection was lost before the answer")
        return outcome

    async def _later(self, ops: tuple[Op, ...], pause_s: float) -> None:
        """Whatever has become of the process."""
        await asyncio.sleep(pause_s)
        await self.store.commit(*ops)

    def _fate(self, ops: tuple[Op, ...]) -> str:
        for op in ops:
            if planted := self.weather.planted.get(type(op)):
                return planted.pop(0)
        number = self.machine.chance.random()
        if isinstance(ops[0], RenewLease):
            return "done"
        if number < self.weather.commit_fails:
            return "fails"
        if number < self.weather.commit_fails + self.weather.commit_late:
            return "late"
        return "untold" if number > 1 - self.weather.commit_fate_untold else "done"

    async def read(self, query: Query[T]) -> T:
        await self.machine.pause(0.001)
        return await self.store.read(query)

    async def close(self) -> None:
        """The world outlives every process."""


@dataclass(slots=True)
class MemoryObjects:
    """The shared media store."""

    rows: dict[str, tuple[StoredObject, bytes]] = field(default_factory=dict)
    puts: dict[str, int] = field(default_factory=dict)  # how often each name was taken
    replaced: list[str] = field(default_factory=list)  # by another content


@dataclass(slots=True)
class ObjectsDoor:
    """The media store as one process sees it: an object is there whole or not at all."""

    machine: Machine
    objects: MemoryObjects
    weather: Weather
    clock: SimClock
    puts: int = 0

    async def put(self, name: str, content: AsyncIterator[bytes], *, media_type: str, expires_ms: int) -> StoredObject:
        body = b"".join([chunk async for chunk in content])
        await self.machine.pause(self.machine.chance.uniform(0, 0.02))
        self.puts += 1
        if self.puts <= self.weather.first_puts_fail or self.machine.chance.random() < self.weather.put_fails:
            raise OSError(28, "no space left on the media store")
        row = StoredObject(
            name=name,
            size_bytes=len(body),
            media_type=media_type,
            etag=hashlib.sha256(body).hexdigest(),
            created_ms=self.clock.now_ms(),
            expires_ms=expires_ms,
        )
        if name in self.objects.rows and self.objects.rows[name][0].etag != row.etag:
            self.objects.replaced.append(name)
        self.objects.rows[name] = (row, body)
        self.objects.puts[name] = self.objects.puts.get(name, 0) + 1
        await self.machine.pause(0.001)
        return row

    async def find(self, name: str) -> StoredObject | None:
        await self.machine.pause(0.001)
        found = self.objects.rows.get(name)
        return found[0] if found else None

    async def open(self, name: str, start: int, end: int) -> AsyncIterator[bytes]:
        await self.machine.pause(0.001)
        if name not in self.objects.rows:
            raise FileNotFoundError(name)
        yield self.objects.rows[name][1][start:end]

    async def delete(self, name: str) -> bool:
        return self.objects.rows.pop(name, None) is not None

    async def sweep(self, now_ms: int) -> int:
        expired = [name for name, (row, _) in self.objects.rows.items() if row.expires_ms <= now_ms]
        for name in expired:
            del self.objects.rows[name]
        return len(expired)
