"""Tasks and the audit log on the command line, as the admin API shows them."""

from __future__ import annotations

import json
import re

import pytest

from imageway.cli.books import Books
from imageway.core.ops import Store
from tests.store.places import KEY, attempt, commit, finish, task
from tests.unit.cli.conftest import Shell
from tests.values import replace


@pytest.fixture
def workspace(shell: Shell) -> str:
    """Two tasks of it: one that nobody could draw, and one that runs."""
    studio = shell("workspaces", "create", "studio", "--json").json["id"]
    shell("workspaces", "create", "other")

    async def keep(store: Store) -> None:
        await commit(
            store,
            replace(KEY, workspace_id=studio),
            task(workspace_id=studio),
            attempt("att_1", upstream_id="near"),
            attempt("att_2", upstream_id="far", at_ms=7),
            finish(state="failed"),
            task("req_2", workspace_id=studio, created_ms=8),
        )

    Books(shell.data, None).do(keep)
    return "studio"


def test_tasks_are_listed_newest_first_with_whoever_was_asked(shell: Shell, workspace: str) -> None:
    shown = shell("tasks", "list", workspace, "--json").json
    assert [(one["id"], one["state"]) for one in shown] == [("req_2", "running"), ("req_1", "failed")]
    assert [one["upstream"] for one in shown[1]["attempts"]] == ["near", "far"]
    assert re.search(r"req_1 +draw-1 +failed .* near, far", shell("tasks", "list", workspace).out)
    assert shell("tasks", "list", "other", "--json").json == []


def test_tasks_of_one_state_are_asked_for_by_its_name(shell: Shell, workspace: str) -> None:
    assert [one["id"] for one in shell("tasks", "list", workspace, "--state", "failed", "--json").json] == ["req_1"]
    ran = shell("tasks", "list", workspace, "--state", "broken")
    assert (ran.code, '--state "broken": one of queued, running, ' in ran.err) == (1, True)


def test_a_list_that_was_cut_says_so(shell: Shell, workspace: str) -> None:
    """On standard error where JSON alone is wanted."""
    cut = "… there are more; use --limit (this was 1)\n"
    ran = shell("tasks", "list", workspace, "--limit", "1", "--json")
    assert ([one["id"] for one in ran.json], ran.err) == (["req_2"], cut)
    assert shell("tasks", "list", workspace, "--limit", "1").out.endswith(cut)
    assert cut not in shell("tasks", "list", workspace, "--limit", "2").out
    for limit in ("0", "1001"):
        assert shell("tasks", "list", workspace, "--limit", limit).code == 1


def test_one_task_is_shown_with_each_of_its_attempts(shell: Shell, workspace: str) -> None:
    whole = shell("tasks", "show", "req_1", "--json").json
    assert (whole["id"], whole["state"], whole["finished"]) == ("req_1", "failed", "1970-01-01T00:00:00.009+00:00")
    assert whole in shell("tasks", "list", workspace, "--json").json
    told = shell("tasks", "show", "req_1").out
    assert [line.split()[1] for line in told.splitlines() if "draw-1@maker" in line] == ["near", "far"]
    assert "upstream" not in shell("tasks", "show", "req_2").out
    assert shell("tasks", "show", "req_9").err == 'imageway: there is no task "req_9"\n'


def test_the_audit_log_says_who_changed_what(shell: Shell, workspace: str) -> None:
    """What stands there before and after, newest first; of one thing alone where it is named."""
    shell("workspaces", "set", workspace, "form=url")
    first, *others = shell("audit", "--json").json
    assert (first["actor"], first["action"], first["before"]["form"], first["after"]["form"]) == (
        "cli",
        "workspace.set",
        None,
        "url",
    )
    assert [(one["action"], one["after"]["name"]) for one in others] == [
        ("workspace.create", "other"),
        ("workspace.create", "studio"),
    ]
    assert [one["seq"] for one in shell("audit", "--target", first["target"], "--json").json] == [
        first["seq"],
        others[1]["seq"],
    ]
    assert shell("audit", "--limit", "1").out.endswith("… there are more; use --limit (this was 1)\n")
    assert json.dumps(first["after"], ensure_ascii=False) in shell("audit").out
