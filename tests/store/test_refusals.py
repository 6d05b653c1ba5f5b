"""Every documented word of refusal, and that nothing else of the same unit happens."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from imageway.core.ops import Op, Refused, Store
from imageway.ledger import access, sealed, terms
from imageway.ledger import ops as ledger
from imageway.tasks import ops as tasks
from imageway.tasks import queue, webhooks
from tests.store.places import (
    CAPTURE,
    CLAIM,
    DELIVERY,
    ENDPOINT,
    HOLD,
    KEY,
    ROTATION,
    RULE,
    SEALED,
    SECRET,
    TOPUP,
    WORKSPACE,
    attempt,
    commit,
    everything,
    finish,
    task,
    usage,
    waiting,
)

FUNDED = (WORKSPACE, TOPUP)
HELD = (*FUNDED, HOLD)
KEYED = (WORKSPACE, KEY)
REVOKED = (*KEYED, ledger.RevokeKey("key_1", 4))
TASK = (*KEYED, task())
WAITING = (*KEYED, waiting())
TAKEN = (*WAITING, queue.ClaimTask("req_1", 1, "process_a"))
RUNNING = (*TASK, attempt())
FINAL = (*RUNNING, finish())
ENDED = (*RUNNING, tasks.EndAttempt("att_1", "failed", "", 7))
MEMO = tasks.KeepMemo("att_1", b"{}", 8)
END = tasks.EndAttempt("att_1", "proved", "", 8)
DELIVERED = tasks.ReplaceResult("req_1", b"{}")
GRANT = ledger.Grant("grant_1", "ws_1", 50, 4)
ADJUST = ledger.Adjust("adjust_1", "ws_1", 5, 4)
USED = tasks.ClaimKey("ws_1", "k", "req_1", 5)
LIMITED = (*KEYED, access.SetBudget("key_1", "day", 9))
LOW = (WORKSPACE, access.SetWorkspace("ws_1", b"{}", 1))
ADMIN = access.CreateAdminKey("adm_1", "ops", b"\x01" * 32, "wxyz", "admin", 5)
SIGNATURE = access.UseSignature(b"\x02" * 32, 300, 100)
RESEALED = sealed.ResealSecret("upstream", "up_1", "k2", b"other", SEALED.sealed)
LISTED = (WORKSPACE, ENDPOINT)
SIGNED = (*LISTED, SECRET)
ADDED = (DELIVERY,)
CLAIMED = (*ADDED, CLAIM)
GONE = webhooks.EndDelivery("msg_1", 1, "dead", 410, "gone", 8)
LATER = webhooks.PostponeDelivery("msg_1", 1, 503, "busy", 20, 8)

# (name, what was committed before, the op, its word)
CASES: list[tuple[str, tuple[Op, ...], Op, str]] = [
    ("workspace: same name", (WORKSPACE,), replace(WORKSPACE, id="ws_2"), "name_taken"),
    ("workspace: same id", (WORKSPACE,), replace(WORKSPACE, name="other"), "name_taken"),
    ("topup: no workspace", (), TOPUP, "no_workspace"),
    ("topup: twice", FUNDED, replace(TOPUP, usd_micros=1), "duplicate"),
    ("grant: no workspace", (), GRANT, "no_workspace"),
    ("grant: twice", (WORKSPACE, GRANT), GRANT, "duplicate"),
    ("grant: an id of a topup", FUNDED, replace(GRANT, id="top_1"), "duplicate"),
    ("adjust: no workspace", (), ADJUST, "no_workspace"),
    ("adjust: more than there is", (WORKSPACE, GRANT), replace(ADJUST, usd_micros=-51), "insufficient_balance"),
    ("adjust: twice", (WORKSPACE, GRANT, ADJUST), ADJUST, "duplicate"),
    ("adjust: twice, and too much", (WORKSPACE, ADJUST), replace(ADJUST, usd_micros=-99), "insufficient_balance"),
    ("hold: a micro-dollar too much", FUNDED, replace(HOLD, usd_micros=1_000_001), "insufficient_balance"),
    ("hold: too much beside another", HELD, ledger.Hold("req_2", "ws_1", 970_001, 5), "insufficient_balance"),
    ("hold: no workspace", (), HOLD, "no_workspace"),
    ("hold: nothing, but no workspace", (), replace(HOLD, usd_micros=0), "no_workspace"),
    ("hold: twice", HELD, replace(HOLD, usd_micros=1), "duplicate"),
    ("hold: again after a void", (*HELD, ledger.Void("req_1", 5)), HOLD, "duplicate"),
    ("hold: twice, said before the balance", HELD, replace(HOLD, usd_micros=10**15), "duplicate"),
    ("capture: no hold", FUNDED, CAPTURE, "no_open_hold"),
    ("capture: twice", (*HELD, CAPTURE), CAPTURE, "no_open_hold"),
    ("capture: after a void", (*HELD, ledger.Void("req_1", 5)), CAPTURE, "no_open_hold"),
    ("capture: a micro-dollar above", HELD, replace(CAPTURE, usd_micros=30_001), "above_hold"),
    ("capture: twice, above", (*HELD, CAPTURE), replace(CAPTURE, usd_micros=30_001), "no_open_hold"),
    ("void: no hold", FUNDED, ledger.Void("req_1", 5), "no_open_hold"),
    ("void: twice", (*HELD, ledger.Void("req_1", 5)), ledger.Void("req_1", 6), "no_open_hold"),
    ("void: after a capture", (*HELD, CAPTURE), ledger.Void("req_1", 10), "no_open_hold"),
    ("refund: no hold", FUNDED, ledger.Refund("req_1", 5), "not_captured"),
    ("refund: an open hold", HELD, ledger.Refund("req_1", 5), "not_captured"),
    ("refund: a voided hold", (*HELD, ledger.Void("req_1", 5)), ledger.Refund("req_1", 6), "not_captured"),
    ("refund: twice", (*HELD, CAPTURE, ledger.Refund("req_1", 5)), ledger.Refund("req_1", 6), "not_captured"),
    ("key: no workspace", (), KEY, "no_workspace"),
    ("key: same id", KEYED, replace(KEY, digest=bytes(32)), "duplicate"),
    ("key: same digest", KEYED, replace(KEY, id="key_2"), "duplicate"),
    ("revoke: unknown", (), ledger.RevokeKey("key_1", 5), "no_key"),
    ("revoke: twice", REVOKED, ledger.RevokeKey("key_1", 6), "no_key"),
    ("usage: twice", (usage(),), usage(model="other"), "duplicate"),
    ("delivery: unknown", (), ledger.MarkDelivery("req_1", "stored", 5), "not_undelivered"),
    (
        "delivery: not undelivered",
        (usage(delivery="none"),),
        ledger.MarkDelivery("req_1", "stored", 5),
        "not_undelivered",
    ),
    ("task: no such key", (WORKSPACE,), task(), "key_revoked"),
    ("task: a revoked key", REVOKED, task(), "key_revoked"),
    ("task: another key than the revoked one", REVOKED, task(key_id="key_2"), "key_revoked"),
    ("task: twice", TASK, task(model="other"), "duplicate"),
    ("task: twice, and the key revoked since", (*TASK, ledger.RevokeKey("key_1", 6)), task(), "key_revoked"),
    ("begin: no task", (), attempt(), "not_owner"),
    ("begin: another's", TASK, attempt(owner="process_b"), "not_owner"),
    ("begin: fence too old", (*TASK, tasks.AdoptTask("req_1", "process_a", 1, "process_a")), attempt(), "not_owner"),
    ("begin: fence too new", TASK, attempt(fence=2), "not_owner"),
    ("begin: final", (*TASK, finish()), attempt(), "not_owner"),
    ("begin: twice", RUNNING, attempt(part=1), "duplicate"),
    ("begin: twice and another's", RUNNING, attempt(owner="process_b"), "not_owner"),
    ("memo: no attempt", (), MEMO, "task_final"),
    ("memo: task final", FINAL, MEMO, "task_final"),
    ("memo: attempt ended", ENDED, MEMO, "attempt_final"),
    ("end: no attempt", (), END, "task_final"),
    ("end: task final", FINAL, END, "task_final"),
    ("end: twice", ENDED, END, "attempt_final"),
    ("finish: no task", (), finish(), "task_final"),
    ("finish: twice", FINAL, finish(state="failed"), "task_final"),
    ("result: no task", (), DELIVERED, "not_final"),
    ("result: running", RUNNING, DELIVERED, "not_final"),
    ("result: running, not what it was", RUNNING, replace(DELIVERED, was=b"x"), "not_final"),
    ("result: not what it was", FINAL, replace(DELIVERED, was=b"x"), "changed"),
    ("result: not empty, as it was", FINAL, replace(DELIVERED, was=b""), "changed"),
    ("adopt: no task", (), tasks.AdoptTask("req_1", "process_a", 1, "process_b"), "not_owner"),
    ("adopt: another owner", RUNNING, tasks.AdoptTask("req_1", "process_x", 1, "process_b"), "not_owner"),
    ("adopt: another fence", RUNNING, tasks.AdoptTask("req_1", "process_a", 2, "process_b"), "not_owner"),
    ("adopt: final", FINAL, tasks.AdoptTask("req_1", "process_a", 1, "process_b"), "not_owner"),
    ("endpoint: no workspace", (), ENDPOINT, "no_workspace"),
    ("endpoint: same id", LISTED, replace(ENDPOINT, url="https://b.example/"), "duplicate"),
    ("endpoint: same URL", LISTED, replace(ENDPOINT, id="end_2"), "duplicate"),
    ("endpoint: same URL, and one too many", LISTED, replace(ENDPOINT, id="end_2", limit=1), "duplicate"),
    ("endpoint: one too many", LISTED, replace(ENDPOINT, id="end_2", url="https://b.example/", limit=1), "too_many"),
    ("endpoint: not there", LISTED, webhooks.RemoveEndpoint("end_2"), "no_endpoint"),
    ("endpoint: enabled", LISTED, webhooks.EnableEndpoint("end_1"), "not_disabled"),
    ("endpoint: none to enable", LISTED, webhooks.EnableEndpoint("end_2"), "not_disabled"),
    ("secret: same id", SIGNED, replace(SECRET, holder_id="ws_1"), "duplicate"),
    ("secret: the holder has one", SIGNED, replace(SECRET, id="whs_2"), "duplicate"),
    ("rotate: nothing to rotate", LISTED, ROTATION, "no_secret"),
    ("rotate: same id", SIGNED, replace(ROTATION, id="whs_1"), "duplicate"),
    ("delivery: twice", ADDED, replace(DELIVERY, url="https://b.example/"), "duplicate"),
    ("claim of a delivery: none", (), CLAIM, "not_due"),
    ("claim of a delivery: not yet", ADDED, replace(CLAIM, at_ms=4), "not_due"),
    ("claim of a delivery: somebody was faster", CLAIMED, replace(CLAIM, at_ms=99), "not_due"),
    ("claim of a delivery: still claimed", CLAIMED, replace(CLAIM, fence=1, at_ms=8), "not_due"),
    ("claim of a delivery: ended", (*CLAIMED, GONE), replace(CLAIM, fence=1, at_ms=99), "not_due"),
    ("postpone: none", (), LATER, "not_claimed"),
    ("postpone: another's", (*CLAIMED, replace(CLAIM, fence=1, at_ms=60)), LATER, "not_claimed"),
    ("postpone: ended", (*CLAIMED, GONE), LATER, "not_claimed"),
    ("end of a delivery: none", (), GONE, "not_claimed"),
    ("end of a delivery: another's", (*CLAIMED, replace(CLAIM, fence=1, at_ms=60)), GONE, "not_claimed"),
    ("end of a delivery: ended", (*CLAIMED, GONE), replace(GONE, state="delivered"), "not_claimed"),
    ("replay: none", (), webhooks.ReplayDelivery("msg_1", 9), "not_final"),
    ("replay: pending", CLAIMED, webhooks.ReplayDelivery("msg_1", 9), "not_final"),
    (
        "claim: twice",
        (*TASK, tasks.ClaimKey("ws_1", "k", "req_1", 5)),
        tasks.ClaimKey("ws_1", "k", "req_2", 6),
        "in_use",
    ),
    ("queue task: no such key", (WORKSPACE,), waiting(), "key_revoked"),
    ("queue task: revoked key", REVOKED, waiting(), "key_revoked"),
    ("queue task: twice", WAITING, waiting(), "duplicate"),
    ("queue task: the line is full", WAITING, waiting("req_2", limit=1), "queue_full"),
    ("claim task: none", (), queue.ClaimTask("req_1", 1, "process_a"), "not_queued"),
    ("claim task: runs already", TASK, queue.ClaimTask("req_1", 1, "process_a"), "not_queued"),
    ("claim task: claimed", TAKEN, queue.ClaimTask("req_1", 2, "process_b"), "not_queued"),
    ("claim task: another turn", WAITING, queue.ClaimTask("req_1", 2, "process_a"), "not_queued"),
    ("claim task: final", (*WAITING, finish()), queue.ClaimTask("req_1", 1, "process_a"), "not_queued"),
    ("requeue: none", (), queue.RequeueTask("req_1", "process_a", 2), "not_owner"),
    ("requeue: another's", TAKEN, queue.RequeueTask("req_1", "process_b", 2), "not_owner"),
    ("requeue: another turn", TAKEN, queue.RequeueTask("req_1", "process_a", 1), "not_owner"),
    ("requeue: waits already", WAITING, queue.RequeueTask("req_1", "", 1), "not_owner"),
    ("requeue: final", (*TAKEN, finish()), queue.RequeueTask("req_1", "process_a", 2), "not_owner"),
    ("requeue: begun", (*TAKEN, attempt(fence=2)), queue.RequeueTask("req_1", "process_a", 2), "begun"),
    ("requeue: polling", (*TAKEN, attempt(fence=2), MEMO), queue.RequeueTask("req_1", "process_a", 2), "begun"),
    ("mark: none", (), queue.MarkCancel("req_1", 9), "not_running"),
    ("mark: waits", WAITING, queue.MarkCancel("req_1", 9), "not_running"),
    ("mark: final", FINAL, queue.MarkCancel("req_1", 9), "not_running"),
    ("task: an expired key", (*KEYED, access.ExpireKey("key_1", 5)), task(), "key_revoked"),
    ("queue task: an expired key", (*KEYED, access.ExpireKey("key_1", 5)), waiting(), "key_revoked"),
    ("expire: unknown", (WORKSPACE,), access.ExpireKey("key_1", 9), "no_key"),
    ("expire: revoked", REVOKED, access.ExpireKey("key_1", 9), "no_key"),
    ("change: unknown", (WORKSPACE,), access.ChangeKey("key_1", "", (), b"{}"), "no_key"),
    ("change: revoked", REVOKED, access.ChangeKey("key_1", "", (), b"{}"), "no_key"),
    ("budget: unknown key", (WORKSPACE,), access.SetBudget("key_1", "day", 1), "no_key"),
    (
        "budget: no root",
        (*KEYED, replace(KEY, id="key_2", digest=bytes(32), root_id="key_1")),
        access.SetBudget("key_2", "day", 1),
        "no_key",
    ),
    ("spend: above the budget", LIMITED, ledger.SpendBudget("key_1", "day", 7, 10), "budget_exceeded"),
    ("drop budget: none", KEYED, access.DropBudget("key_1", "day"), "no_budget"),
    ("drop budget: of another period", LIMITED, access.DropBudget("key_1", "month"), "no_budget"),
    ("settings: no workspace", (), access.SetWorkspace("ws_1", b"{}", None), "no_workspace"),
    ("alert: no workspace", (), access.MarkAlerted("ws_1", 9), "not_low"),
    ("alert: no threshold", (WORKSPACE,), access.MarkAlerted("ws_1", 9), "not_low"),
    ("alert: enough", (*LOW, replace(TOPUP, usd_micros=1)), access.MarkAlerted("ws_1", 9), "not_low"),
    ("alert: told already", (*LOW, access.MarkAlerted("ws_1", 8)), access.MarkAlerted("ws_1", 9), "not_low"),
    (
        "alert: told already, still low",
        (*LOW, access.MarkAlerted("ws_1", 8), access.RearmAlerts(9)),
        access.MarkAlerted("ws_1", 9),
        "not_low",
    ),
    ("member: no workspace", (), access.AddMember("ws_1", "ada", "owner", 4), "no_workspace"),
    ("member: not there", (WORKSPACE,), access.RemoveMember("ws_1", "ada"), "no_member"),
    ("admin key: same id", (ADMIN,), replace(ADMIN, digest=bytes(32)), "duplicate"),
    ("admin key: same digest", (ADMIN,), replace(ADMIN, id="adm_2"), "duplicate"),
    ("admin key: unknown", (), access.RevokeAdminKey("adm_1", 9), "no_key"),
    ("admin key: revoked", (ADMIN, access.RevokeAdminKey("adm_1", 8)), access.RevokeAdminKey("adm_1", 9), "no_key"),
    ("signature: used", (SIGNATURE,), replace(SIGNATURE, at_ms=300, until_ms=900), "replayed"),
    ("rule: same id", (WORKSPACE, RULE), replace(RULE, models="*"), "duplicate"),
    ("rule: same id, said before the workspace", (WORKSPACE, RULE), replace(RULE, workspace_id="ws_2"), "duplicate"),
    ("rule: no workspace", (), RULE, "no_workspace"),
    ("end of a rule: none", (WORKSPACE,), terms.EndPriceRule("rule_1", 9), "no_rule"),
    (
        "end of a rule: ended",
        (WORKSPACE, RULE, terms.EndPriceRule("rule_1", 20)),
        terms.EndPriceRule("rule_1", 30),
        "no_rule",
    ),
    ("reseal: none", (), RESEALED, "changed"),
    ("reseal: another", (replace(SEALED, sealed=b"new"),), RESEALED, "changed"),
    ("reseal: done", (SEALED, RESEALED), RESEALED, "changed"),
    ("drop of a secret: none", (SEALED,), sealed.DropSecret("upstream", "up_2"), "no_secret"),
    ("drop of an upstream: none", (), sealed.DropUpstream("up_1"), "no_upstream"),
    ("adopt: waits", WAITING, tasks.AdoptTask("req_1", "", 1, "process_b"), "not_owner"),
    ("attempt: the task waits", WAITING, attempt(owner=""), "not_owner"),
]


ELSEWHERE = {("SpendBudget", "budget_exceeded")}  # in test_budgets


@pytest.mark.parametrize(("before", "op", "why"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
async def test_an_op_whose_guard_does_not_hold_refuses_its_whole_unit(
    store: Store, before: tuple[Op, ...], op: Op, why: str
) -> None:
    await commit(store, *before)
    rows = await everything(store)
    lease = tasks.RenewLease("process_z", 77)
    cost = ledger.BookCost("req_1", "up_1", 5, 8)
    assert await store.commit(lease, cost, op, ledger.CreateWorkspace("ws_9", "nine", 9)) == Refused(op, why)
    assert await everything(store) == rows
    assert await store.commit(op) == Refused(op, why)
    assert await everything(store) == rows


def documented() -> Iterator[tuple[str, str]]:
    """(op, word) for every word in the docstrings of the ops."""
    for room in (ledger, access, terms, sealed, tasks, queue, webhooks):
        for name, kind in vars(room).items():
            if isinstance(kind, type) and issubclass(kind, Op) and kind is not Op:
                refusals = re.sub(r"\s+", " ", kind.__doc__ or "").partition("Refused: ")[2]
                yield from ((name, word) for word in re.findall(r'"(\w+)"', refusals))


def test_every_documented_word_has_a_case_and_no_case_an_undocumented_word() -> None:
    assert {(type(case[2]).__name__, case[3]) for case in CASES} | ELSEWHERE == set(documented())
