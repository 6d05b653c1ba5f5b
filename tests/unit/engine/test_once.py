"""A word that is told once: whoever waits or comes late hears it; whoever leaves takes nothing from the others."""

from __future__ import annotations

import asyncio

import pytest

from imageway.engine.once import Once


async def test_everybody_hears_it_early_and_late() -> None:
    once: Once[str] = Once()
    early = [asyncio.create_task(once.hear()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not once.told
    once.tell("first")
    once.tell("second")
    assert once.told
    assert await asyncio.gather(*early, once.hear()) == ["first"] * 4


async def test_nothing_may_be_the_word() -> None:
    once: Once[None] = Once()
    once.tell(None)
    once.fail(ValueError("too late"))
    await once.hear()


async def test_a_failure_is_raised_wherever_somebody_waits() -> None:
    once: Once[str] = Once()
    early = asyncio.create_task(once.hear())
    await asyncio.sleep(0)
    once.fail(ValueError("no"))
    once.tell("too late")
    for waiting in (early, once.hear()):
        with pytest.raises(ValueError, match="no"):
            await waiting


@pytest.mark.parametrize("fails", [False, True])
async def test_who_leaves_takes_nothing_from_the_others(*, fails: bool) -> None:
    once: Once[str] = Once()
    leaving, staying = asyncio.create_task(once.hear()), asyncio.create_task(once.hear())
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait({leaving})
    if fails:
        once.fail(ValueError("no"))
        with pytest.raises(ValueError, match="no"):
            await staying
    else:
        once.tell("word")
        assert await staying == "word"
    assert leaving.cancelled()


async def test_a_failure_that_nobody_hears_makes_no_noise(recwarn: pytest.WarningsRecorder) -> None:
    noise: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: noise.append(context))
    Once[str]().fail(ValueError("no"))
    await asyncio.sleep(0)
    assert noise == []
    assert not recwarn.list
