"""One checker per promise. Each looks at a world that has ended and says, in sentences, what was broken."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Final

from imageway.core.errors import KINDS, GatewayError, InvalidRequest
from imageway.core.intents import Arrived, Picture
from imageway.core.steps import FailureKind
from imageway.engine.acceptance import NOT_ACCEPTED
from imageway.engine.memos import unpack_task
from imageway.engine.results import KeptResult, unpack_result
from imageway.ledger.ops import RecordUsage
from imageway.ledger.queries import HoldRow
from imageway.ledger.sealed import WEBHOOK
from imageway.ledger.verifying import verify
from imageway.media.links import Verdict
from imageway.media.proofs import MEDIA_TYPES
from imageway.server.sealing import ring_of
from imageway.storage.memory.tables import Tables
from imageway.tasks.queries import Task
from imageway.tasks.states import FINAL_PART, FINAL_TASK
from tests.sim.budgets import misspent, overspent
from tests.sim.machine import EPOCH_MS
from tests.sim.receivers import Heard
from tests.sim.upstreams import FAMILY_WORDS, Submit
from tests.sim.world import LOOKS_S, SIGNER, Order, Visit, World
from tests.vaults import RING

Checker = Callable[[World], Iterator[str]]
PRODUCED_NOTHING: Final = frozenset({FailureKind.NEVER_SENT, FailureKind.BUSY, FailureKind.DENIED, FailureKind.FAILED})
DEADLINE_SLACK_S: Final = 15.0


def tables_of(world: World) -> Tables:
    return world.store._tables


def _tasks(world: World) -> list[Task]:
    """All that were accepted: with a hold."""
    return [task for task in tables_of(world).tasks.values() if task.id in tables_of(world).holds]


def _kept(task: Task) -> KeptResult:
    return unpack_result(task.result)


def _usage(world: World, task: Task) -> RecordUsage | None:
    return tables_of(world).usage.get(task.id)


def _hold(world: World, task: Task) -> HoldRow:
    return tables_of(world).holds[task.id]


def _visit(world: World, task: Task) -> Visit | None:
    """The first, for whom it was accepted."""
    return next((visit for visit in world.visits if visit.task_id == task.id and not visit.replayed), None)


# Tasks


def every_task_ends(world: World) -> Iterator[str]:
    for task in _tasks(world):
        if task.state not in FINAL_TASK:
            yield f"{task.id} is still {task.state}"


def every_attempt_ends_with_its_task(world: World) -> Iterator[str]:
    for task in _tasks(world):
        for attempt in task.attempts:
            if task.state in FINAL_TASK and attempt.state not in FINAL_PART:
                yield f"{task.id} is {task.state}, and {attempt.id} of it still {attempt.state}"


def every_visitor_is_answered(world: World) -> Iterator[str]:
    """Nobody waits for ever; nobody is told less than a GatewayError."""
    if len(world.visits) < len(world.shape.orders):
        yield f"only {len(world.visits)} of {len(world.shape.orders)} visitors came in"
    for visit in world.visits:
        if visit.end == "waiting":
            yield f"visitor {visit.order.number} still waits"
        told = visit.answer is not None or visit.view is not None or isinstance(visit.error, GatewayError)
        if visit.end == "answered" and not told:
            yield f"visitor {visit.order.number} got {visit.error!r}"


def nothing_crashes(world: World) -> Iterator[str]:
    """Whatever the world does, no exception of ours is a surprise."""
    yield from world.crashes


def deadlines_hold(world: World) -> Iterator[str]:
    """No task runs past its deadline, no attempt past its own; a while longer only where its process was gone."""
    slack_s = DEADLINE_SLACK_S
    if world.shape.troubles:
        slack_s += 60 + max(max(trouble.successor_after_s, trouble.stall_s) for trouble in world.shape.troubles)
    if world.shape.weather.is_bad:
        slack_s += 30
    for task in _tasks(world):
        if task.finished_ms and task.finished_ms > task.deadline_ms + slack_s * 1000:
            yield f"{task.id} ended {(task.finished_ms - task.deadline_ms) / 1000:.1f} s after its deadline"
        if len({attempt.part for attempt in task.attempts}) > 1:
            continue  # parts are settled together: one waits for the other
        for attempt in task.attempts:
            if attempt.state in FINAL_PART and attempt.changed_ms > attempt.deadline_ms + slack_s * 1000:
                late_s = (attempt.changed_ms - attempt.deadline_ms) / 1000
                yield f"{attempt.id} of {task.id} ended {late_s:.1f} s after its deadline"


# Money


def every_hold_is_resolved(world: World) -> Iterator[str]:
    for row in tables_of(world).holds.values():
        if row.state == "open":
            yield f"the hold of {row.task_id} is open"


def wallets_add_up(world: World) -> Iterator[str]:
    """available + held + spent is what was topped up, and the transfers of a wallet, replayed, give its balances."""
    topped = dict(world.shape.wallets)
    for wallet in tables_of(world).wallets.values():
        total = wallet.available + wallet.held + wallet.spent
        if total != topped[wallet.workspace_id] or min(wallet.available, wallet.held, wallet.spent) < 0:
            yield f"{wallet} does not add up to {topped[wallet.workspace_id]}"
        moved: Counter[str] = Counter()
        for transfer in tables_of(world).transfers.values():
            if transfer.workspace_id == wallet.workspace_id:
                moved[transfer.kind] += transfer.usd_micros
        held = moved["hold"] - moved["capture"] - moved["void"]
        if (held, moved["capture"] - moved["refund"]) != (wallet.held, wallet.spent):
            yield f"{wallet} is not what its transfers say: {dict(moved)}"


def budgets_are_what_their_holds_took(world: World) -> Iterator[str]:
    """And nothing more: what a hold did not cost in the end went back into the windows that it was taken from."""
    yield from misspent(tables_of(world))


def nobody_spends_more_than_his_budget(world: World) -> Iterator[str]:
    yield from overspent(tables_of(world))


def the_books_verify(world: World) -> Iterator[str]:
    """As `imageway ledger verify` looks at them: every row that is written twice says the same in both places."""
    yield from map(str, asyncio.run(verify(world.store)))


def spent_is_what_was_captured(world: World) -> Iterator[str]:
    captured: Counter[str] = Counter()
    for row in tables_of(world).holds.values():
        captured[row.workspace_id] += row.captured if row.state == "captured" else 0
    for wallet in tables_of(world).wallets.values():
        if wallet.spent != captured[wallet.workspace_id]:
            yield f"{wallet.workspace_id} spent {wallet.spent}, captured were {captured[wallet.workspace_id]}"


def captures_stay_within_holds(world: World) -> Iterator[str]:
    for row in tables_of(world).holds.values():
        if row.captured > row.usd_micros:
            yield f"{row.task_id}: {row.captured} of a hold of {row.usd_micros}"


def only_pictures_are_charged(world: World) -> Iterator[str]:
    """A price needs pictures that somebody received or that are kept; without any, the hold goes back whole."""
    for task in _tasks(world):
        usage, hold = _usage(world, task), _hold(world, task)
        if usage is None:
            if task.state in FINAL_TASK:
                yield f"{task.id} is {task.state} without a usage row"
            continue
        kept = _kept(task)
        if hold.state == "captured":
            if usage.price_usd_micros != hold.captured or kept.price_usd_micros != hold.captured:
                yield f"{task.id}: told {usage.price_usd_micros} and {kept.price_usd_micros}, took {hold.captured}"
            if not 1 <= usage.delivered <= usage.n or len(kept.pictures) != usage.delivered:
                yield f"{task.id}: {usage.delivered} of {usage.n} delivered, {len(kept.pictures)} kept, charged"
            yield from _where_pictures_are(world, task, usage, kept)
        elif hold.state == "voided" and (usage.price_usd_micros or usage.delivered or kept.pictures):
            yield f"{task.id}: voided, and yet {usage.delivered} delivered for {usage.price_usd_micros}"
        elif hold.state == "refunded" and (usage.delivery != "refunded" or kept.price_usd_micros or kept.pictures):
            yield f"{task.id}: refunded, and its usage row says {usage.delivery}, its owner sees {kept}"


def _where_pictures_are(world: World, task: Task, usage: RecordUsage, kept: KeptResult) -> Iterator[str]:
    visit = _visit(world, task)
    if usage.delivery == "delivered":
        received = len(visit.answer.pictures) if visit and visit.delivered and visit.answer else 0
        if received != usage.delivered:
            yield f"{task.id}: {usage.delivered} said to be delivered, {received} received"
    elif usage.delivery == "stored":
        missing = [picture.name for picture in kept.pictures if picture.name not in world.objects.rows]
        if missing:
            yield f"{task.id}: paid for as stored, and not there: {missing}"
    elif usage.delivery != "undelivered":
        yield f"{task.id}: captured, and its usage row says {usage.delivery}"


def undelivered_never_survives(world: World) -> Iterator[str]:
    for row in tables_of(world).usage.values():
        if row.delivery == "undelivered":
            yield f"{row.request_id} is undelivered ({row.price_usd_micros} micro-dollars), and nobody will ever look"


def prices_are_the_published_ones(world: World) -> Iterator[str]:
    """Computed a second time, the naive way: per image for those priced so, per token for the delivered share; by the
    rules that were in force when the task came."""
    per_image = {"gemini-2.5-flash-image": 39_000, "qwen-image": 35_000, "qwen-image-2.0": 35_000}
    per_image["doubao-seedream-4-0-250828"] = 30_000
    for task in _tasks(world):
        usage, hold = _usage(world, task), _hold(world, task)
        if usage is None or hold.state != "captured":
            continue
        published: int | None = None
        if task.model in per_image:
            published = per_image[task.model] * usage.delivered
        elif task.model == "gpt-image-1":
            published = _token_price(world, task, hold)
        if published is None:
            continue
        expected = _by_rule(world, task, published, usage.delivered)
        if hold.captured != min(expected, hold.usd_micros):
            yield f"{task.id} ({task.model}): {usage.delivered} pictures for {hold.captured}, expected {expected}"


def _by_rule(world: World, task: Task, published: int, images: int) -> int:
    """Of a world's rules at most one counts for a workspace at a time."""
    for rule in world.shape.rules:
        counts = rule.workspace_id == task.workspace_id and rule.from_ms <= task.created_ms
        if counts and (rule.until_ms is None or task.created_ms < rule.until_ms):
            return ceil(Fraction(published * rule.multiplier_millionths, 10**6)) + rule.per_image_usd_micros * images
    return published


def _token_price(world: World, task: Task, hold: HoldRow) -> int | None:
    """gpt-image-1: $5 a million tokens in, $40 out; one part at most, since one call gives ten images."""
    served = [submit for submit in _submits(world, task) if submit.good]
    if len(served) != 1 or served[0].usage is None:
        return None
    usage = _usage(world, task)
    if served[0].streams and usage and usage.delivered != served[0].good:
        return None  # its process was stopped in the middle: what came by then is in nobody's books
    made = served[0].made if served[0].said is None else served[0].said
    share = Fraction(served[0].good, made)
    tokens_in, tokens_out = served[0].usage
    return int(tokens_in * share) * 5 + int(tokens_out * share) * 40


def costs_are_booked_once(world: World) -> Iterator[str]:
    booked: Counter[str | None] = Counter()
    for transfer in tables_of(world).transfers.values():
        if transfer.account.startswith(("cost:", "unknown:")):
            booked[transfer.task_id] += transfer.usd_micros
    for row in tables_of(world).usage.values():
        if row.cost_usd_micros != booked[row.request_id]:
            yield f"{row.request_id}: cost {row.cost_usd_micros} told, {booked[row.request_id]} booked"


# What is bought


def _submits(world: World, task: Task) -> list[Submit]:
    return [submit for submit in world.providers.submits if submit.task == task.id]


def _parts(world: World) -> dict[str, list[Submit]]:
    parts: dict[str, list[Submit]] = {}
    for submit in world.providers.submits:
        parts.setdefault(submit.part, []).append(submit)
    return parts


def nothing_is_sent_again_after_a_maybe(world: World) -> Iterator[str]:
    """Only what certainly produced nothing, and was heard to have produced nothing, is followed by another submit."""
    for part, submits in _parts(world).items():
        for submit in submits[:-1]:
            if submit.kind not in PRODUCED_NOTHING or not submit.heard:
                heard = "heard" if submit.heard else "not heard"
                yield f"{part} was sent again after {submit.fate} ({submit.kind}, {heard})"


def the_same_candidate_is_asked_twice_only_when_busy_for_a_moment(world: World) -> Iterator[str]:
    for part, submits in _parts(world).items():
        asked = Counter(submit.upstream for submit in submits)
        for upstream, times in asked.items():
            hints = [submit.fate for submit in submits if submit.upstream == upstream]
            if times > 2 or (times == 2 and hints[0] != "busy_soon"):
                yield f"{part} was sent {times} times to {upstream}: {hints}"


def refused_never_fails_over(world: World) -> Iterator[str]:
    for part, submits in _parts(world).items():
        kinds = [submit.kind for submit in submits]
        if FailureKind.REFUSED in kinds[:-1]:
            yield f"{part} was refused, and asked for again: {[submit.fate for submit in submits]}"


def no_more_is_bought_than_was_asked(world: World) -> Iterator[str]:
    for part, submits in _parts(world).items():
        made = sum(submit.made for submit in submits)
        if made > submits[0].asked:
            yield f"{part}: {made} images bought where {submits[0].asked} were asked for"


def pictures_come_from_good_answers(world: World) -> Iterator[str]:
    """Unknown is never charged: what is delivered was in an answer that arrived."""
    for task in _tasks(world):
        usage = _usage(world, task)
        good = sum(submit.good for submit in _submits(world, task))
        if usage is not None and usage.delivered > good:
            yield f"{task.id}: {usage.delivered} delivered, {good} came"


def what_came_is_delivered(world: World) -> Iterator[str]:
    """In a world whose processes live, every provable picture that arrived is in the answer."""
    if world.shape.troubles or world.shape.weather.put_fails:
        return
    for task in _tasks(world):
        usage, submits = _usage(world, task), _submits(world, task)
        late = any(max(submit.ready_s, submit.heard_s) > submit.at_s + 270 for submit in submits)
        hurried = task.deadline_ms - task.created_ms < 300_000
        if usage is None or late or hurried or any(submit.made != submit.good for submit in submits):
            continue
        good = sum(submit.good for submit in submits)
        if usage.delivered != good and all(submit.kind is not FailureKind.UNKNOWN for submit in submits):
            yield f"{task.id}: {good} came, {usage.delivered} delivered"


def unknown_is_told_as_unknown(world: World) -> Iterator[str]:
    """A task without a picture, of which a part may have produced something nobody saw, ends `unknown`."""
    for task in _tasks(world):
        last = [submits[-1] for part, submits in _parts(world).items() if part.rpartition("-")[0] == task.id]
        maybe = any(submit.kind is FailureKind.UNKNOWN and submit.heard for submit in last)
        if maybe and task.state not in ("unknown", "succeeded"):
            yield f"{task.id} is {task.state} after {[submit.fate for submit in last]}"


def what_was_not_accepted_is_nothing(world: World) -> Iterator[str]:
    """Whose acceptance nobody confirmed, and is not there, has an id that is used up, and that is all: nothing was sent
    of it, nobody pays for it or is told of it."""
    for task in tables_of(world).tasks.values():
        if task.id in tables_of(world).holds:
            continue
        told = any(row.task_id == task.id for row in tables_of(world).deliveries.values())
        if task.state != "cancelled" or _usage(world, task) or _submits(world, task) or task.attempts or told:
            yield f"{task.id} has no hold, and is {task.state}, with {len(_submits(world, task))} submits"


def who_was_turned_away_pays_nothing(world: World) -> Iterator[str]:
    """Who was told that he was not accepted, and may send his request again, has bought nothing by the first one."""
    for visit in world.visits:
        error, prompt = visit.error, visit.order.request.prompt
        if not isinstance(error, GatewayError) or error.message != NOT_ACCEPTED or visit.order.key is not None:
            continue
        for task in _tasks(world):
            asked = unpack_task(task.request).request.get("prompt") == prompt
            if asked and _hold(world, task).state == "captured":
                yield f"visitor {visit.order.number} was turned away, and {task.id} was bought for him"


def nothing_is_sent_of_what_was_called_off(world: World) -> Iterator[str]:
    """Once there was time to heed it, and whoever has it by then; a process that stalls heeds nothing."""
    shape = world.shape
    if any(trouble.what == "stall" and not trouble.die_at for trouble in shape.troubles):
        return
    heeded_s = shape.settings.lease_renew_s + 4 * shape.weather.commit_s + (20 if shape.weather.is_bad else 1)
    for task in _tasks(world):
        for submit in _submits(world, task) if task.cancel_ms is not None else ():
            late_s = submit.at_s - (task.cancel_ms or 0) / 1000 + EPOCH_MS / 1000
            if late_s > heeded_s:
                yield f"{task.id} was sent to {submit.upstream} {late_s:.1f} s after it was called off"


def only_who_wished_so_is_cancelled(world: World) -> Iterator[str]:
    """Once something was sent, a task is `cancelled` by its caller alone."""
    for task in _tasks(world):
        order = _order(world, task)
        wished = order is None or order.cancels_after_s is not None or order.called_off_after_s is not None
        if task.state == "cancelled" and not wished and (submits := _submits(world, task)):
            yield f"{task.id} is cancelled, which nobody wished for, after {[submit.fate for submit in submits]}"


def who_waits_is_given_what_was_paid_for(world: World) -> Iterator[str]:
    """Where nothing dies, nobody who waits is told an error of a task that has succeeded."""
    weather = world.shape.weather
    if world.shape.troubles or weather.is_bad:
        return
    for visit in world.visits:
        task = tables_of(world).tasks.get(visit.task_id or "")
        told = isinstance(visit.error, GatewayError) and not visit.replayed
        if told and task is not None and task.state == "succeeded":
            yield f"visitor {visit.order.number} was told {visit.error} of {task.id}, which has succeeded"


def a_key_buys_once(world: World) -> Iterator[str]:
    """While a task of a key is under way, and once one has succeeded or is unknown, no other is accepted under it:
    nothing is held, and so nothing sent. Whatever is held is in the transfers, in their order."""
    moved: dict[str, list[int]] = {}
    for transfer in tables_of(world).transfers.values():
        if transfer.kind in ("hold", "capture", "void") and transfer.task_id:
            moved.setdefault(transfer.task_id, []).append(transfer.seq)
    bought: dict[tuple[str, str], list[Task]] = {}
    for task in _tasks(world):
        order = _order(world, task)
        if order is not None and order.key:
            bought.setdefault((task.workspace_id, order.key), []).append(task)
    for (workspace, key), tasks in bought.items():
        first, *others = sorted(tasks, key=lambda task: moved[task.id][0])
        for later in others:
            over = later.created_ms - first.created_ms >= world.shape.settings.idempotency_keep_s * 1000
            if first.state not in ("failed", "cancelled") and not over:
                yield f'the key "{key}" of {workspace} bought {later.id} though {first.id} is {first.state}'
            if moved[later.id][0] < moved[first.id][-1]:
                yield f'the key "{key}" of {workspace} bought {later.id} while {first.id} was under way'
            first = later


def who_asks_again_gets_the_same(world: World) -> Iterator[str]:
    """Of a success the same images, byte for byte; of an unknown outcome the same error. Nobody is given what he did
    not ask for, nor told of a key that nobody used."""
    seen: dict[str, tuple[bytes, ...]] = {}
    for visit in world.visits:
        task = tables_of(world).tasks.get(visit.task_id or "")
        error = visit.error if isinstance(visit.error, GatewayError) else None
        about_keys = error and error.code.startswith("idempotency_key")
        if about_keys and (visit.order.workspace, visit.order.key) not in tables_of(world).claims:
            yield f"visitor {visit.order.number} was told of a key in use that nobody used"
        if task is None or not visit.order.key:
            continue
        if visit.contents and seen.setdefault(task.id, visit.contents) != visit.contents:
            yield f"visitor {visit.order.number} was given other images of {task.id} than somebody else"
        if unpack_task(task.request).request.get("prompt") != visit.order.request.prompt:
            yield f"visitor {visit.order.number} was given {task.id}, which he did not ask for"
        if error and visit.replayed and task.state == "unknown" and (error.code, error.message) != _kept(task).error:
            yield f"visitor {visit.order.number} was told {error} of {task.id}, which is unknown"


def a_memo_is_resumed(world: World) -> Iterator[str]:
    """A polled task whose process died is gone on with, and delivered, once: when the provider was ready well before
    the deadline and the picture could be had."""
    if world.shape.weather.put_fails:
        return
    for task in _tasks(world):
        submits = _submits(world, task)
        memos = all(attempt.memo for attempt in task.attempts)
        if len(submits) != 1 or submits[0].story != "ok" or not submits[0].good or not memos:
            continue
        longest_s = max((trouble.successor_after_s for trouble in world.shape.troubles), default=0)
        patience_s = task.attempts[0].deadline_ms - EPOCH_MS - submits[0].ready_s * 1000
        if patience_s > (longest_s + 100) * 1000 and task.state != "succeeded":
            yield f"{task.id} could have been resumed, and is {task.state}"


# What is told


def errors_are_in_the_table(world: World) -> Iterator[str]:
    for visit in world.visits:
        error = visit.error
        known = isinstance(error, InvalidRequest) or visit.replayed  # which was told as one the first time
        if isinstance(error, GatewayError) and error.code not in KINDS and not known:
            yield f'visitor {visit.order.number}: "{error.code}" is in no table'


def no_provider_speaks_through_us(world: World) -> Iterator[str]:
    for visit in world.visits:
        told = ""
        if isinstance(visit.error, GatewayError):
            told = f"{visit.error.code} {visit.error.message} {visit.error.param} {visit.error.details}"
        if visit.answer is not None:
            told = " ".join(warning.message for warning in visit.answer.warnings)
        if any(word in told for word in FAMILY_WORDS):
            yield f"visitor {visit.order.number} was told {told}"
    for task in _tasks(world):
        error = _kept(task).error
        if error and any(word in error[1] for word in FAMILY_WORDS):
            yield f"{task.id} keeps {error}"


def what_sending_again_would_buy_is_not_resent(world: World) -> Iterator[str]:
    """Errors after which images may have been made carry `x-should-retry: false`."""
    for visit in world.visits:
        error = visit.error
        if not isinstance(error, GatewayError) or not error.resend or visit.task_id is None:
            continue
        submits = [submit for submit in world.providers.submits if submit.task == visit.task_id]
        if any(submit.made for submit in submits):
            yield f"visitor {visit.order.number} is invited to send {visit.task_id} again: {error.code}"


def answers_tell_the_truth(world: World) -> Iterator[str]:
    """As many pictures as the books say; the format asked for, or a warning; fewer than asked for, and a warning; a
    link that opens."""
    for visit in world.visits:
        if visit.answer is None:
            continue
        row = tables_of(world).usage[visit.answer.request_id]
        codes = {warning.code for warning in visit.answer.warnings}
        if len(visit.answer.pictures) != row.delivered or visit.answer.price_usd_micros != row.price_usd_micros:
            yield f"{row.request_id}: {len(visit.answer.pictures)} told, {row.delivered} booked"
        if row.delivered < row.n and "partial_result" not in codes and not visit.order.request.group:
            yield f"{row.request_id}: {row.delivered} of {row.n}, and not a word about it"
        wanted = visit.order.request.output_format
        types = {picture.media_type for picture in visit.answer.pictures}
        if wanted and types != {MEDIA_TYPES[wanted]} and "format_not_converted" not in codes:
            yield f"{row.request_id}: {wanted} asked for, {types} came"
        for picture in visit.answer.pictures:
            yield from _opens(world, picture)


def _opens(world: World, picture: Picture) -> Iterator[str]:
    if (picture.url is None) == (picture.blob is None):
        yield f"a picture has both or neither: {picture}"
    if picture.url is not None:
        path, _, query = picture.url.partition("?")
        name = path.rpartition("/")[2]
        fields = dict(pair.split("=", 1) for pair in query.split("&"))
        if SIGNER.verify(name, fields, EPOCH_MS) is not Verdict.VALID or name not in world.objects.rows:
            yield f"{picture.url} does not open"


def who_hung_up_finds_his_pictures(world: World) -> Iterator[str]:
    """Images that were produced are kept, as links, for whoever hung up; unless they were refunded."""
    for visit in world.visits:
        task = tables_of(world).tasks.get(visit.task_id or "")
        if visit.end != "hung_up" or task is None or task.state != "succeeded":
            continue
        row = tables_of(world).usage[task.id]
        if row.delivery not in ("stored", "refunded"):
            yield f"{task.id}: its visitor hung up, and its pictures are {row.delivery}"


def parts_add_up(world: World) -> Iterator[str]:
    """The parts of a task ask for n images together, and each part is asked for with the same count every time."""
    for task in _tasks(world):
        counts = unpack_task(task.request).counts
        for part, submits in _parts(world).items():
            owner, _, index = part.rpartition("-")
            if owner == task.id and any(submit.asked != counts[int(index)] for submit in submits):
                yield f"{part}: {[submit.asked for submit in submits]} asked for instead of {counts[int(index)]}"


# Streams


def a_stream_that_began_is_not_asked_for_elsewhere(world: World) -> Iterator[str]:
    """Whoever follows it has seen something of it: another upstream would send something else."""
    for part, submits in _parts(world).items():
        for submit in submits[:-1]:
            if submit.begun:
                yield f"{part} was sent again after a stream that had begun ({submit.fate}, {submit.kind})"


def what_a_dead_stream_completed_is_captured(world: World) -> Iterator[str]:
    """Once: in a world whose processes live, every provable image that came before the death is in the answer."""
    if world.shape.troubles or world.shape.weather.put_fails:
        return
    for task in _tasks(world):
        submits, usage = _submits(world, task), _usage(world, task)
        dead = any(submit.said is not None for submit in submits)
        slow = any(link.ending == "never" or link.troubles for link in world.providers.links.values())
        good = sum(submit.good for submit in submits)
        hurried = task.deadline_ms - task.created_ms < 300_000
        if not dead or slow or hurried or usage is None or len(_parts_of(world, task)) != len(submits):
            continue
        if usage.delivered != good or (_hold(world, task).state == "captured") != bool(good):
            state = _hold(world, task).state
            yield f"{task.id}: {good} came before the stream died, {usage.delivered} delivered, the hold is {state}"


def _parts_of(world: World, task: Task) -> list[str]:
    return [part for part in _parts(world) if part.rpartition("-")[0] == task.id]


def the_last_event_comes_after_the_capture(world: World) -> Iterator[str]:
    for visit in world.visits:
        if visit.answer is not None and visit.order.request.stream and visit.paid != "captured":
            yield f"visitor {visit.order.number} had the last word of {visit.task_id} while its hold was {visit.paid}"


def events_tell_what_is_delivered(world: World) -> Iterator[str]:
    """Every image of the answer is told before its last word, the very same, once, and counted from 0."""
    for visit in world.visits:
        told = [event for event in visit.told if isinstance(event, Arrived)]
        if [event.image for event in told] != list(range(len(told))):
            yield f"visitor {visit.order.number} heard of the images {[event.image for event in told]}"
        if visit.answer is None or not visit.order.request.stream:
            continue
        shown = Counter(picture.url or id(picture.blob) for picture in visit.answer.pictures)
        heard = Counter(event.picture.url or id(event.picture.blob) for event in told)
        if heard != shown:
            yield f"visitor {visit.order.number} heard of {heard.total()} images, and was given {shown.total()} others"


def nothing_is_stored_twice(world: World) -> Iterator[str]:
    """But where commits take so long that leases run out, and two processes end the same task."""
    if not world.shape.troubles and world.shape.weather.commit_s < world.shape.settings.lease_s / 4:
        yield from (f"{name} was stored {times} times" for name, times in world.objects.puts.items() if times > 1)


def no_image_is_replaced(world: World) -> Iterator[str]:
    """Whoever stores something for a task, and however late."""
    yield from (f"{name} was stored, and then something else under its name" for name in world.objects.replaced)


def previews_are_of_images_to_come(world: World) -> Iterator[str]:
    """Counted from 0 for each, also for one that could not be proved in the end and left its number to the next."""
    for visit in world.visits:
        image, index = 0, 0
        for event in visit.told:
            if isinstance(event, Arrived):
                image, index = event.image + 1, 0
            elif (event.image, event.index) in ((image, index), (image, 0)):
                index = event.index + 1
            else:
                yield f"visitor {visit.order.number}: preview {event.image}.{event.index}, not {image}.{index}"


def background_tasks_run_on(world: World) -> Iterator[str]:
    """Nobody listens to them, and they end as if somebody did; what they made is stored."""
    for visit in world.visits:
        task = tables_of(world).tasks.get(visit.task_id or "")
        if not visit.order.background or task is None or visit.replayed:
            continue
        wanted = visit.order.cancels_after_s is None and visit.order.deadline_s is None
        if task.state == "cancelled" and wanted and not world.shape.troubles:
            yield f"{task.id} was cancelled because nobody listened"
        row = tables_of(world).usage.get(task.id)
        if task.state == "succeeded" and row and row.delivery != "stored":
            yield f"{task.id} ran in the background, and its pictures are {row.delivery}"


def inputs_go_with_their_task(world: World) -> Iterator[str]:
    """What a caller sent lies in the media store until his task is final; a process that dies in between leaves that to
    the sweep."""
    if world.shape.troubles or world.shape.weather.put_fails:
        return
    for name in world.objects.rows:
        task = tables_of(world).tasks.get(name.split("-")[1]) if name.startswith("input-") else None
        if name.startswith("input-") and (task is None or task.finished_ms is not None):
            yield f"{name} is still stored"


# Who is told


def _order(world: World, task: Task) -> Order | None:
    """Also of a visitor who was cut off before he heard of his task: by what he asked for."""
    visit, prompt = _visit(world, task), unpack_task(task.request).request.get("prompt")
    asked = (order for order in world.shape.orders if order.request.prompt == prompt)
    return visit.order if visit else next(asked, None)


def _wanted(world: World, task: Task) -> dict[str, str]:
    """Message → address, for everybody who wants to know of this end of this task."""
    event, order = f"task.{task.state}", _order(world, task)
    own = order.webhook if order else None
    messages = {"msg_" + task.id.removeprefix("req_"): own.url} if own and event in (own.events or (event,)) else {}
    for endpoint in world.shape.endpoints:
        if endpoint.workspace_id == task.workspace_id and event in (endpoint.events or (event,)):
            messages[f"msg_{task.id.removeprefix('req_')}_{endpoint.id.removeprefix('end_')}"] = endpoint.url
    return messages


def every_end_is_told(world: World) -> Iterator[str]:
    """At least once, whatever died, to everybody who wants to know; but for those who said that they are gone."""
    taken = {(heard.id, heard.url) for heard in world.receivers.heard if heard.taken}
    for task in _tasks(world):
        for message, url in _wanted(world, task).items():
            if task.state in FINAL_TASK and (message, url) not in taken and "gone" not in url:
                yield f"{task.id} is {task.state}, and {url} has not heard {message}"


def only_what_happened_is_told(world: World) -> Iterator[str]:
    """After it happened, to who wants to know, under an id that never changes, signed so that he can tell."""
    known = {message: (task, url) for task in _tasks(world) for message, url in _wanted(world, task).items()}
    for heard in world.receivers.heard:
        task, url = known.get(heard.id, (None, ""))
        if task is None or task.finished_ms is None or url != heard.url:
            yield f"{heard.url} heard {heard.id}, which is not for it"
            continue
        if heard.at_s * 1000 + EPOCH_MS < task.finished_ms - 1:
            yield f"{heard.url} heard of {task.id} before it had ended"
        message = heard.json
        if message["type"] != f"task.{task.state}" or message["data"]["id"] != task.id:
            yield f"{heard.url} heard {message} of {task.id}, which is {task.state}"
        if message["data"]["status"] != task.state:
            yield f"{heard.url} heard that {task.id} is {message['data']['status']}, and it is {task.state}"
        if not _is_signed(world, heard, task):
            yield f"{heard.url} cannot tell that {heard.id} comes from here"


def _is_signed(world: World, heard: Heard, task: Task) -> bool:
    """Computed a second time, the naive way."""
    tables, ring = tables_of(world), ring_of(Path("/nowhere"), RING)
    secrets = tables.secrets.values()
    endpoint = next((one.id for one in world.shape.endpoints if one.url == heard.url), task.workspace_id)
    kept = [ring.open(tables.sealed[WEBHOOK, one.id]) for one in secrets if one.holder_id == endpoint]
    keys = [base64.b64decode(plain.removeprefix("whsec_")) for plain in kept]
    signed = f"{heard.id}.{heard.headers['webhook-timestamp']}.".encode() + heard.content
    expected = ["v1," + base64.b64encode(_mac(key, signed)).decode() for key in keys]
    return len(expected) == 1 and heard.headers["webhook-signature"].split() == expected


def _mac(key: bytes, content: bytes) -> bytes:
    return hmac.new(key, content, hashlib.sha256).digest()


def nobody_is_told_by_two_at_once(world: World) -> Iterator[str]:
    """A process that stalls may outlive its claim, and tell what another tells by then."""
    if any(trouble.what == "stall" and not trouble.die_at for trouble in world.shape.troubles):
        return
    until: dict[str, float] = {}
    for heard in world.receivers.heard:
        machine = next(process.machine for process in world.processes if process.machine.owner == heard.owner)
        if heard.at_s < until.get(heard.id, 0.0):
            yield f"{heard.url} heard {heard.id} while it was being told already"
        until[heard.id] = min(heard.until_s, machine.died_s) if machine.dead else heard.until_s


def who_took_it_is_left_alone(world: World) -> Iterator[str]:
    """Once is enough where everybody lives and the store tells what it did."""
    if world.shape.troubles or world.shape.weather.is_bad:
        return
    said_so = Counter((heard.id, heard.url) for heard in world.receivers.heard if heard.fate == "ok")
    yield from (f"{url} took {message} {times} times" for (message, url), times in said_so.items() if times > 1)


def who_is_gone_is_left_alone(world: World) -> Iterator[str]:
    """Nothing more after a 410 that reached us: not of this message, and nothing else for an endpoint."""
    if world.shape.troubles or world.shape.weather.is_bad:
        return
    gone: dict[str, float] = {}
    for heard in world.receivers.heard:
        own = next((visit.order.webhook for visit in world.visits if _is_own(visit, heard)), None)
        about = heard.id if own else heard.url
        if heard.at_s > gone.get(about, heard.at_s) + world.shape.weather.commit_s + LOOKS_S:
            yield f"{heard.url} said that it is gone, and heard {heard.id} all the same"
        if heard.fate == "gone":
            gone.setdefault(about, heard.until_s)


def _is_own(visit: Visit, heard: Heard) -> bool:
    return visit.order.webhook is not None and visit.order.webhook.url == heard.url


# Room


def spools_are_empty(world: World) -> Iterator[str]:
    """Every scope is released: nothing of the budget is used when a process that lived has closed."""
    for process in world.processes:
        if process.machine.owner not in world.dead and process.budget.used_bytes:
            yield f"{process.machine.owner} still holds {process.budget.used_bytes} bytes of its spool"


CHECKERS: Final[tuple[Checker, ...]] = (
    every_task_ends,
    every_attempt_ends_with_its_task,
    every_visitor_is_answered,
    nothing_crashes,
    deadlines_hold,
    every_hold_is_resolved,
    wallets_add_up,
    budgets_are_what_their_holds_took,
    nobody_spends_more_than_his_budget,
    the_books_verify,
    spent_is_what_was_captured,
    captures_stay_within_holds,
    only_pictures_are_charged,
    undelivered_never_survives,
    prices_are_the_published_ones,
    costs_are_booked_once,
    nothing_is_sent_again_after_a_maybe,
    the_same_candidate_is_asked_twice_only_when_busy_for_a_moment,
    refused_never_fails_over,
    no_more_is_bought_than_was_asked,
    pictures_come_from_good_answers,
    what_came_is_delivered,
    unknown_is_told_as_unknown,
    what_was_not_accepted_is_nothing,
    who_was_turned_away_pays_nothing,
    nothing_is_sent_of_what_was_called_off,
    only_who_wished_so_is_cancelled,
    who_waits_is_given_what_was_paid_for,
    a_key_buys_once,
    who_asks_again_gets_the_same,
    a_memo_is_resumed,
    errors_are_in_the_table,
    no_provider_speaks_through_us,
    what_sending_again_would_buy_is_not_resent,
    answers_tell_the_truth,
    who_hung_up_finds_his_pictures,
    parts_add_up,
    a_stream_that_began_is_not_asked_for_elsewhere,
    what_a_dead_stream_completed_is_captured,
    the_last_event_comes_after_the_capture,
    events_tell_what_is_delivered,
    nothing_is_stored_twice,
    no_image_is_replaced,
    previews_are_of_images_to_come,
    background_tasks_run_on,
    inputs_go_with_their_task,
    every_end_is_told,
    only_what_happened_is_told,
    nobody_is_told_by_two_at_once,
    who_took_it_is_left_alone,
    who_is_gone_is_left_alone,
    spools_are_empty,
)


def violations(world: World) -> dict[str, list[str]]:
    """Checker → what it found, for those that found something."""
    found = {checker.__name__: list(checker(world)) for checker in CHECKERS}
    return {name: told for name, told in found.items() if told}
