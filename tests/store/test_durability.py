"""What was acknowledged is there afterwards: after a close, after kill -9."""

from __future__ import annotations

import asyncio
import signal
import sys

from imageway.ledger import queries
from tests.store.places import (
    CAPTURE,
    HOLD,
    KEY,
    TOPUP,
    WORKSPACE,
    Place,
    all_holds,
    attempt,
    commit,
    everything,
    task,
    usage,
)

KILLED = """
import asyncio, sys
from imageway.ledger import ops
from imageway.storage import open_store

async def main(url):
    store = await open_store(url)
    await store.commit(ops.CreateWorkspace("ws_1", "studio", 1), ops.TopUp("top_1", "ws_1", 10**9, 2))
    number = 0
    async def one():
        nonlocal number
        while True:
            number += 1
            mine = f"req_{number}"
            await store.commit(ops.Hold(mine, "ws_1", 7, 3), ops.Capture(mine, 5, 4))
            print(mine, flush=True)
    await asyncio.gather(*(one() for _ in range(8)))

asyncio.run(main(sys.argv[1]))
"""


async def test_rows_are_the_same_after_reopening(durable_place: Place) -> None:
    store = await durable_place.open()
    await commit(store, WORKSPACE, TOPUP, KEY, HOLD, task(), attempt(), CAPTURE, usage())
    rows = await everything(store)
    await store.close()
    store = await durable_place.open(create=False)
    assert await everything(store) == rows
    await store.close()


async def test_what_was_acknowledged_survives_kill_9(durable_place: Place) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, durable_place.url, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    acknowledged = {(await asyncio.wait_for(process.stdout.readline(), 20)).decode().strip() for _ in range(300)}
    process.send_signal(signal.SIGKILL)
    rest, _ = await asyncio.wait_for(process.communicate(), 20)
    acknowledged |= set(rest.decode().rpartition("\n")[0].split())  # a last line without its end was cut

    store = await durable_place.open(create=False)
    holds = await all_holds(store)
    await asyncio.sleep(0.5)  # a server ends what it was told before its client died
    while len(later := await all_holds(store)) > len(holds):
        holds = later
        await asyncio.sleep(0.5)
    wallet = await store.read(queries.ShowWallet("ws_1"))
    await store.close()
    assert acknowledged <= {row.task_id for row in holds}
    assert {row.state for row in holds} == {"captured"}
    left, spent = 10**9 - 5 * len(holds), 5 * len(holds)
    assert wallet == queries.Wallet("ws_1", "studio", left, 0, spent, topped_up=10**9)
