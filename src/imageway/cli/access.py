"""Commands on keys, workspaces and members, by the functions that the admin API has too. They work while a gateway
runs and count from its next request on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from imageway.catalog import load
from imageway.cli.books import Books, show_rows
from imageway.cli.operating import operate, plain, said, vault_of
from imageway.cli.printing import Stop, print_json
from imageway.core.errors import Problem
from imageway.server.administration import keys, workspaces
from imageway.server.administration.keys import KeyAsked, KeyChange, KeyMade
from imageway.server.administration.office import Office
from imageway.server.administration.workspaces import WorkspaceChange

T = TypeVar("T")
KEY_COLUMNS: Final = ("id", "workspace", "name", "key", "models", "limits", "created", "expires", "revoked")
WORKSPACE_COLUMNS: Final = ("id", "name", "created")
MEMBER_COLUMNS: Final = ("name", "role", "since")
NONE: Final = "none"
_ALIAS: Final = "alias."
_SWITCHES: Final = {"true": True, "false": False}
_FLAGS: Final = {"networks": "network", "max_price_usd": "max-price", "budgets": "budget"}


# Keys


def create_key(books: Books, asked: KeyAsked, *, as_json: bool) -> None:
    settings = books.settings()
    made = _do(books, lambda office: keys.create_key(office, vault_of(settings, office.store), asked))
    _show_made(made, f"Its id is {made.id}, its workspace {made.workspace}.", as_json=as_json)


def rotate_key(books: Books, key_id: str, overlap: str, *, as_json: bool) -> None:
    settings = books.settings()
    made = _do(books, lambda office: keys.rotate_key(office, vault_of(settings, office.store), key_id, overlap))
    _show_made(made, f"Its id is {made.id}; {key_id} is good until {made.old_until}.", as_json=as_json)


def list_keys(books: Books, workspace: str | None, *, as_json: bool) -> None:
    found = _do(books, lambda office: keys.list_keys(office, workspace))
    rows = [plain(key) for key in found]
    show_rows(rows if as_json else [row | {"limits": _limits(row)} for row in rows], KEY_COLUMNS, as_json=as_json)


def show_key(books: Books, key_id: str, *, as_json: bool) -> None:
    _show_one(_do(books, lambda office: keys.show_key(office, key_id)), as_json=as_json)


def update_key(books: Books, key_id: str, changes: Mapping[str, Any], *, as_json: bool) -> None:
    """`changes`: what was written; None is left as it is, "none" and "never" take a limit back."""
    asked = {name: None if value in (NONE, "never") else value for name, value in changes.items() if value is not None}
    if not asked:
        raise Stop("nothing to change: see imageway keys update --help")
    if asked.get("name", "") is None:
        asked["name"] = changes["name"]
    change = msgspec.convert(asked, KeyChange)
    _show_one(_do(books, lambda office: keys.update_key(office, key_id, change)), as_json=as_json)


def change_budgets(books: Books, key_id: str, limits: Sequence[str], *, reset: tuple[str, ...], as_json: bool) -> None:
    written = {period: None if usd == NONE else usd for period, usd in limits_in(limits).items()}
    shown = _do(books, lambda office: keys.change_budgets(office, key_id, written, reset))
    _show_one(shown, as_json=as_json)


def revoke_key(books: Books, key_id: str, *, as_json: bool) -> None:
    _do(books, lambda office: keys.revoke_key(office, key_id))
    _say({"id": key_id, "revoked": True}, f"{key_id} is revoked.", as_json=as_json)


def limits_in(written: Iterable[str]) -> dict[str, str]:
    """`day=5.00` → {"day": "5.00"}."""
    pairs = [text.partition("=") for text in written]
    for period, equals, usd in pairs:
        if not (equals and usd):
            raise Stop(f'"{period}{equals}" is no budget: write a period and dollars, such as day=5.00')
    return {period.strip(): usd.strip() for period, _, usd in pairs}


def all_or(words: Sequence[str] | None) -> tuple[str, ...] | None:
    """`all` is what nothing means to a key; None: not written."""
    return None if words is None else () if list(words) == ["all"] else tuple(words)


def _show_made(made: KeyMade, said: str, *, as_json: bool) -> None:
    shown = {name: value for name, value in plain(made).items() if value is not None}
    secret = f"\nsigning secret: {made.signing_secret}" if made.signing_secret else ""
    _say(shown, f"{made.key}{secret}\n\nThis is the only time that it is shown. {said}", as_json=as_json)


def _limits(row: Mapping[str, Any]) -> list[str]:
    """In a few words, for a table."""
    words = [word for name in ("operations", "dialects", "networks") for word in row[name]]
    words += [f"≤${row['max_price_usd']}"] if row["max_price_usd"] else []
    words += [f"{period}=${budget['limit_usd']}" for period, budget in row["budgets"].items()]
    return [*words, *(["signed"] if row["signed"] else [])] or ["none"]


# Workspaces and members


def create_workspace(books: Books, name: str, *, as_json: bool) -> None:
    made = _do(books, lambda office: workspaces.create_workspace(office, name))
    _say({"id": made.id, "name": made.name}, f"{name} is made; its id is {made.id}.", as_json=as_json)


def list_workspaces(books: Books, *, as_json: bool) -> None:
    found = _do(books, workspaces.list_workspaces)
    rows = [{name: getattr(one, name) for name in WORKSPACE_COLUMNS} for one in found]
    show_rows(rows, WORKSPACE_COLUMNS, as_json=as_json)


def show_workspace(books: Books, workspace: str, *, as_json: bool) -> None:
    _show_one(_do(books, lambda office: workspaces.show_workspace(office, workspace)), as_json=as_json)


def set_workspace(books: Books, workspace: str, settings: Sequence[str], *, as_json: bool) -> None:
    catalog, change = load(books.settings().catalog), _change(settings)
    done = _do(books, lambda office: workspaces.set_workspace(office, catalog, workspace, change))
    _show_one(done, as_json=as_json)


def add_member(books: Books, workspace: str, name: str, *, role: str, as_json: bool) -> None:
    _show_one(_do(books, lambda office: workspaces.add_member(office, workspace, name, role)), as_json=as_json)


def list_members(books: Books, workspace: str, *, as_json: bool) -> None:
    found = _do(books, lambda office: workspaces.list_members(office, workspace))
    show_rows([plain(member) for member in found], MEMBER_COLUMNS, as_json=as_json)


def remove_member(books: Books, workspace: str, name: str, *, as_json: bool) -> None:
    _do(books, lambda office: workspaces.remove_member(office, workspace, name))
    _say({"name": name, "removed": True}, f"{name} is no member of {workspace} any more.", as_json=as_json)


def _change(settings: Sequence[str]) -> WorkspaceChange:
    """`alias.NAME=MODEL form=url …` as what is to become different."""
    change: dict[str, Any] = {"aliases": {}}
    for text in settings:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (equals and value):
            raise Stop(f'"{text}" is no setting: write a name and a value, such as form=url')
        if name.startswith(_ALIAS):
            change["aliases"][name.removeprefix(_ALIAS)] = None if value == NONE else value
        else:
            change["alert_below_usd" if name == "alert_below" else name] = _value(name, value)
    try:
        return msgspec.convert(change, WorkspaceChange)
    except msgspec.ValidationError as error:
        accepted = "alias.NAME, form=b64 or url, watermark=true or false, keep_images_s, alert_below"
        raise Stop(f"{' '.join(settings)}: {error}; there are {accepted}") from None


def _value(name: str, value: str) -> str | int | bool | None:
    if value == NONE:
        return None
    if name == "watermark":
        return _SWITCHES.get(value, value)
    return int(value) if name == "keep_images_s" and value.isascii() and value.isdigit() else value


# How all of them work


def _do(books: Books, work: Callable[[Office], Awaitable[T]]) -> T:
    return operate(books, work, lambda error: "; ".join(map(_told, error.details)) or said(error))


def _told(problem: Problem) -> str:
    """By the name of the option."""
    param = problem.param or ""
    return problem.message.replace(param, "--" + _FLAGS.get(param, param), 1) if param in _FLAGS else problem.message


def _show_one(shown: Struct, *, as_json: bool) -> None:
    built = plain(shown)
    if as_json:
        print_json(built)
    else:
        show_rows(
            [{"setting": name, "value": _in_a_cell(value)} for name, value in built.items()],
            ("setting", "value"),
            as_json=False,
        )


def _in_a_cell(value: object) -> str:
    """Of what has parts, each as name=value."""
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case dict():
            return " ".join(f"{name}={_in_a_cell(part)}" for name, part in value.items()) or "none"
        case list():
            return " ".join(map(str, value)) or "all"
    return str(value)


def _say(shown: Mapping[str, object], said: str, *, as_json: bool) -> None:
    if as_json:
        print_json(shown)
    else:
        print(said)
