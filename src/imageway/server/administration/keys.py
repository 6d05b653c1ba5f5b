"""API keys: made and shown once, listed, changed, rotated, revoked, and what they may spend."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Final, cast

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from imageway.core.access import NO_SCOPE, Budget, KeyScope, Period
from imageway.core.errors import GatewayError
from imageway.core.money import format_usd
from imageway.core.ops import Op
from imageway.engine.limits import anew_op, window_end_ms, window_of
from imageway.ledger.access import PERIODS, ChangeKey, DropBudget, ExpireKey, SetBudget
from imageway.ledger.ops import CreateKey, CreateWorkspace, RevokeKey
from imageway.ledger.queries import FindWorkspace, Key, ListKeys, ShowKey, Workspace
from imageway.ledger.sealed import SIGNING, Vault
from imageway.server.administration.office import Conflict, Office, sealing, unless
from imageway.server.administration.written import Reader, iso_second
from imageway.server.auth import PREFIX, digest_of, new_key, read_scope
from imageway.server.signing import new_signing_secret

ALL_PERIODS: Final = tuple(sorted(PERIODS))


class KeyAsked(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A key as an operator writes it. What is empty means all; amounts are dollars as decimal text, `budgets` by period
    (day, month, total); `expires` an ISO 8601 time, or a span such as "90d"."""

    workspace: str = "default"
    name: str = ""
    models: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()
    dialects: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    max_price_usd: str | None = None
    expires: str | None = None
    budgets: dict[str, str] = {}
    signed: bool = False


class KeyChange(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is to become different of a key; what is left out stays. `max_price_usd` and `expires` null: none."""

    name: str | UnsetType = UNSET
    models: tuple[str, ...] | UnsetType = UNSET
    operations: tuple[str, ...] | UnsetType = UNSET
    dialects: tuple[str, ...] | UnsetType = UNSET
    networks: tuple[str, ...] | UnsetType = UNSET
    max_price_usd: str | UnsetType | None = UNSET
    expires: str | UnsetType | None = UNSET


class BudgetShown(Struct, frozen=True, kw_only=True):
    """`used_usd`: spent or held in the period that is running; `resets`: when the next one begins."""

    limit_usd: str
    used_usd: str
    resets: str | None


class KeyShown(Struct, frozen=True, kw_only=True):
    """A key as operators see it: `key` is its end alone. `root` is the key that it was made of by rotation, itself
    otherwise: those of one root share budgets."""

    id: str
    workspace: str
    name: str
    key: str
    models: tuple[str, ...]
    operations: tuple[str, ...]
    dialects: tuple[str, ...]
    networks: tuple[str, ...]
    max_price_usd: str | None
    signed: bool
    root: str
    budgets: dict[str, BudgetShown]
    created: str | None
    expires: str | None
    revoked: str | None


class KeyMade(Struct, frozen=True, kw_only=True):
    """The only time that the key itself is shown, and the secret that signs its requests (None: they are not signed).
    `old_until`: of a rotation, how long the key before it is good."""

    key: str
    id: str
    workspace: str
    signing_secret: str | None = None
    old_until: str | None = None


async def create_key(office: Office, vault: Vault, asked: KeyAsked) -> KeyMade:
    """With a $0 workspace where there is none of that name. Raises InvalidRequest with everything that is wrong."""
    try:
        return await _create(office, vault, asked)
    except Conflict as conflict:
        if conflict.code != "name_taken":
            raise
        return await _create(office, vault, asked)  # somebody else has made the workspace meanwhile


async def _create(office: Office, vault: Vault, asked: KeyAsked) -> KeyMade:
    now_ms, reader = office.now_ms(), Reader()
    scope = _with_price(reader, _scope(reader, asked), asked.max_price_usd)
    name = reader.name("name", asked.name, needed=False)
    models = reader.patterns("models", asked.models)
    expires_ms = 0 if asked.expires is None else reader.moment_ms("expires", asked.expires, now_ms)
    budgets = _budgets(reader, asked.budgets)
    found = await office.store.read(FindWorkspace(asked.workspace))
    workspace = found or Workspace(office.new_id("ws"), reader.name("workspace", asked.workspace), now_ms)
    unless(reader.problems)
    key, key_id = new_key(office.random), office.new_id("key")
    made: tuple[Op, ...] = () if found else (CreateWorkspace(workspace.id, workspace.name, now_ms),)
    create = CreateKey(
        id=key_id,
        workspace_id=workspace.id,
        name=name,
        digest=digest_of(key),
        hint=key[-4:],
        models=models,
        at_ms=now_ms,
        scope=_packed(scope),
        expires_ms=expires_ms,
        signed=asked.signed,
    )
    limits = (SetBudget(key_id, period, limit) for period, limit in budgets.items())
    after = _shown(_row(create, workspace.name, budgets), now_ms)
    secret, kept = _signing(office, vault, key_id, signed=asked.signed)
    await office.change("key.create", key_id, *made, create, *limits, *kept, after=after)
    return KeyMade(key=key, id=key_id, workspace=workspace.name, signing_secret=secret)


async def list_keys(office: Office, workspace: str | None) -> tuple[KeyShown, ...]:
    """In the order they were made, revoked ones too. Raises GatewayError 404."""
    owner = (await office.workspace(workspace)).id if workspace else None
    now_ms = office.now_ms()
    return tuple(_shown(key, now_ms) for key in await every_key(office, owner))


async def show_key(office: Office, key_id: str) -> KeyShown:
    """Raises GatewayError 404."""
    return _shown(await _found(office, key_id), office.now_ms())


async def update_key(office: Office, key_id: str, change: KeyChange) -> KeyShown:
    """Counts from its next request on. Raises GatewayError 404, or InvalidRequest with everything that is wrong."""
    key, now_ms, reader = await _valid(office, key_id), office.now_ms(), Reader()
    scope = _changed_scope(reader, read_scope(key.scope), change)
    name = key.name if isinstance(change.name, UnsetType) else reader.name("name", change.name, needed=False)
    models = key.models if isinstance(change.models, UnsetType) else reader.patterns("models", change.models)
    expires_ms = key.expires_ms
    if not isinstance(change.expires, UnsetType):
        expires_ms = 0 if change.expires is None else reader.moment_ms("expires", change.expires, now_ms)
    unless(reader.problems)
    ops: tuple[Op, ...] = (ChangeKey(key.id, name, models, _packed(scope)),)
    if expires_ms != key.expires_ms:
        ops += (ExpireKey(key.id, expires_ms),)
    changed = dataclasses.replace(key, name=name, models=models, scope=_packed(scope), expires_ms=expires_ms)
    before, after = _shown(key, now_ms), _shown(changed, now_ms)
    await office.change("key.update", key.id, *ops, before=before, after=after)
    return after


async def rotate_key(office: Office, vault: Vault, key_id: str, overlap: str) -> KeyMade:
    """A new key for the same, with the same budgets; the old one is good for as long as the overlap. Raises
    GatewayError 404 (also where it has ended), InvalidRequest."""
    key, now_ms, reader = await _valid(office, key_id), office.now_ms(), Reader()
    end_ms = reader.end_ms("overlap", overlap, now_ms)
    unless(reader.problems)
    expires_ms = await _handed_on_ms(office, key)
    if expires_ms and expires_ms <= now_ms:
        raise GatewayError("not_found", f'the key "{key_id}" ended at {_iso(expires_ms)}: make another', param="key")
    until_ms = min(end_ms, key.expires_ms or end_ms)
    secret, new = new_key(office.random), office.new_id("key")
    create = CreateKey(
        id=new,
        workspace_id=key.workspace_id,
        name=key.name,
        digest=digest_of(secret),
        hint=secret[-4:],
        models=key.models,
        at_ms=now_ms,
        scope=key.scope,
        expires_ms=expires_ms,
        root_id=key.root_id or key.id,
        signed=key.signed,
    )
    before, made = _shown(key, now_ms), _shown(_row(create, key.workspace, {}), now_ms)
    after = {"new": new, "key": made.key, "old_until": _iso(until_ms)}
    signs, kept = _signing(office, vault, new, signed=key.signed)
    await office.change("key.rotate", key.id, create, ExpireKey(key.id, until_ms), *kept, before=before, after=after)
    return KeyMade(key=secret, id=new, workspace=key.workspace, signing_secret=signs, old_until=_iso(until_ms))


async def revoke_key(office: Office, key_id: str) -> None:
    """From its next request on it is worth nothing. Raises GatewayError 404."""
    key, now_ms = await _valid(office, key_id), office.now_ms()
    await office.change("key.revoke", key.id, RevokeKey(key.id, now_ms), before=_shown(key, now_ms))


async def change_budgets(
    office: Office, key_id: str, limits: Mapping[str, str | None], reset: Sequence[str] = ()
) -> KeyShown:
    """`limits`: dollars by period; None: no budget of that period. What was spent stays, but of the periods of `reset`,
    where it is nothing from now on, and of new ones, where what is under way counts as little. All of it, or nothing.
    Raises GatewayError 404, InvalidRequest."""
    key, reader = await _valid(office, key_id), Reader()
    root, have, now_ms = key.root_id or key.id, {one.period: one.window_ms for one in key.budgets}, office.now_ms()
    kept = _budgets(reader, {period: limit for period, limit in limits.items() if limit is not None})
    dropped = reader.words("budgets", (period for period, limit in limits.items() if limit is None), ALL_PERIODS)
    begun = reader.words("reset", reset, ALL_PERIODS)
    unless(reader.problems)
    if not {*begun} <= {*have, *kept}.difference(dropped):
        raise GatewayError("not_found", f"there is no such budget: {key.id}")
    ops: list[Op] = [SetBudget(root, period, limit) for period, limit in kept.items()]
    ops += [DropBudget(root, period) for period in dropped if period in have]
    anew = (cast("Period", period) for period in ALL_PERIODS if period in begun or period in kept.keys() - have)
    ops += [anew_op(root, period, now_ms, window_ms=have.get(period, 0)) for period in anew]
    before = _shown(key, now_ms)
    if not ops:
        return before
    after = {"limits": dict(limits), "reset": begun}
    await office.change("key.budget", key.id, *ops, before=before.budgets, after=after)
    return await show_key(office, key.id)


async def every_key(office: Office, workspace_id: str | None = None) -> list[Key]:
    """Page by page: however many there are."""
    found: list[Key] = []
    while page := await office.store.read(ListKeys(workspace_id, after=_last(found))):
        found += page
    return found


def _last(found: list[Key]) -> tuple[int, str]:
    return (found[-1].created_ms, found[-1].id) if found else (-1, "")


async def _found(office: Office, key_id: str) -> Key:
    found = await office.store.read(ShowKey(key_id))
    if found is None:
        raise GatewayError("not_found", f'there is no key "{key_id}"', param="key")
    return found


async def _valid(office: Office, key_id: str) -> Key:
    key = await _found(office, key_id)
    if key.revoked_ms is not None:
        raise GatewayError("not_found", f'the key "{key_id}" is revoked', param="key")
    return key


async def _handed_on_ms(office: Office, key: Key) -> int:
    """When one that is made of it ends; 0: never. What was rotated already ends with its overlap: the end that it had
    before is that of the youngest of its root."""
    if not key.expires_ms:
        return 0
    root = key.root_id or key.id
    *_, youngest = (one for one in await every_key(office, key.workspace_id) if root in (one.root_id, one.id))
    return youngest.expires_ms


def _signing(office: Office, vault: Vault, key_id: str, *, signed: bool) -> tuple[str | None, tuple[Op, ...]]:
    """The secret of a signed key, and what keeps it. Raises GatewayError."""
    if not signed:
        return None, ()
    plain = new_signing_secret(office.random)
    with sealing():
        return plain, (vault.seal(SIGNING, key_id, plain=plain, at_ms=office.now_ms()),)


def _scope(reader: Reader, asked: KeyAsked) -> KeyScope:
    return reader.scope(asked.operations, asked.dialects, asked.networks)


def _with_price(reader: Reader, scope: KeyScope, max_price_usd: str | None) -> KeyScope:
    most = None if max_price_usd is None else reader.usd("max_price_usd", max_price_usd)
    return replace(scope, max_price_usd_micros=most)


def _changed_scope(reader: Reader, scope: KeyScope, change: KeyChange) -> KeyScope:
    parts = (
        (change.operations, scope.operations),
        (change.dialects, scope.dialects),
        (change.networks, scope.networks),
    )
    operations, dialects, networks = (old if isinstance(new, UnsetType) else new for new, old in parts)
    changed = replace(reader.scope(operations, dialects, networks), max_price_usd_micros=scope.max_price_usd_micros)
    return (
        changed if isinstance(change.max_price_usd, UnsetType) else _with_price(reader, changed, change.max_price_usd)
    )


def _budgets(reader: Reader, written: Mapping[str, str]) -> dict[Period, int]:
    reader.words("budgets", written, ALL_PERIODS)
    return {cast("Period", period): reader.usd(f"budgets.{period}", usd) for period, usd in sorted(written.items())}


def _packed(scope: KeyScope) -> bytes:
    return msgspec.json.encode(scope) if scope != NO_SCOPE else b"{}"


def _row(create: CreateKey, workspace: str, budgets: Mapping[Period, int]) -> Key:
    """As it will be."""
    return Key(
        id=create.id,
        workspace_id=create.workspace_id,
        workspace=workspace,
        name=create.name,
        hint=create.hint,
        models=create.models,
        created_ms=create.at_ms,
        revoked_ms=None,
        scope=create.scope,
        expires_ms=create.expires_ms,
        root_id=create.root_id,
        signed=create.signed,
        budgets=tuple(Budget(period, limit) for period, limit in budgets.items()),
    )


def _shown(key: Key, now_ms: int) -> KeyShown:
    scope = read_scope(key.scope)
    most = scope.max_price_usd_micros
    return KeyShown(
        id=key.id,
        workspace=key.workspace,
        name=key.name,
        key=f"{PREFIX}…{key.hint}",
        models=key.models,
        operations=scope.operations,
        dialects=scope.dialects,
        networks=scope.networks,
        max_price_usd=None if most is None else format_usd(most),
        signed=key.signed,
        root=key.root_id or key.id,
        budgets={budget.period: _budget(budget, now_ms) for budget in key.budgets},
        created=_iso(key.created_ms),
        expires=_iso(key.expires_ms),
        revoked=_iso(key.revoked_ms),
    )


def _budget(budget: Budget, now_ms: int) -> BudgetShown:
    window_ms = window_of(budget.period, now_ms)
    used = budget.used_usd_micros if budget.window_ms >= window_ms else 0
    return BudgetShown(
        limit_usd=format_usd(budget.limit_usd_micros),
        used_usd=format_usd(used),
        resets=_iso(window_end_ms(budget.period, window_ms)),
    )


def _iso(epoch_ms: int | None) -> str | None:
    """0 as None: never."""
    return iso_second(epoch_ms) if epoch_ms else None
