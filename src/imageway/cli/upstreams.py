"""Commands on upstreams in the database, on the secrets at rest, and on operators' keys, by the functions that the
admin API has too. A credential comes from a variable, a prompt or standard input, never from the command line."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Iterable
from functools import partial
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from imageway.catalog import load
from imageway.cli.books import RANDOM, Books, show_rows
from imageway.cli.operating import operate, plain, said
from imageway.cli.printing import Stop, print_json
from imageway.core.errors import GatewayError
from imageway.server.administration import admin_keys, secrets, upstreams
from imageway.server.administration.admin_keys import AdminKeyAsked
from imageway.server.administration.upstreams import UpstreamAsked
from imageway.server.upstreams import Installation

T = TypeVar("T")
UPSTREAM_COLUMNS: Final = ("id", "provider", "base_url", "weight", "enabled", "kept_in", "changed")
SECRET_COLUMNS: Final = ("kind", "holder", "key", "changed")
COUNT_COLUMNS: Final = ("kind", "key", "secrets", "state")
ADMIN_COLUMNS: Final = ("id", "name", "role", "key", "created", "revoked")


# Upstreams


def list_upstreams(books: Books, *, as_json: bool) -> None:
    installation = _installation(books)
    found = operate(books, lambda office: upstreams.list_upstreams(office, installation))
    show_rows([plain(one) for one in found], UPSTREAM_COLUMNS, as_json=as_json)


def add_upstream(
    books: Books, asked: UpstreamAsked, *, key_env: str | None, keep_key: bool, force: bool, as_json: bool
) -> None:
    installation = _installation(books)
    providers = installation.catalog.providers
    if asked.provider not in providers:
        raise Stop(f'provider "{asked.provider}" is none of {", ".join(providers)}')
    given = asked if keep_key else msgspec.structs.replace(asked, key=_credential(key_env))
    put = partial(upstreams.put_upstream, installation=installation, asked=given, force=force)
    shown = operate(books, put, _said)
    _say(shown, f"{shown.id} is there; a running gateway uses it within a second.", as_json=as_json)


def switch_upstream(books: Books, upstream_id: str, *, enabled: bool, as_json: bool) -> None:
    installation = _installation(books)
    shown = operate(books, lambda office: upstreams.switch_upstream(office, installation, upstream_id, enabled=enabled))
    _say(shown, f"{shown.id} is {'enabled' if enabled else 'disabled'}.", as_json=as_json)


def remove_upstream(books: Books, upstream_id: str, *, force: bool, as_json: bool) -> None:
    installation = _installation(books)
    drop = partial(upstreams.drop_upstream, installation=installation, upstream_id=upstream_id, force=force)
    operate(books, drop, _said)
    if as_json:
        print_json({"id": upstream_id, "removed": True})
    else:
        print(f"{upstream_id} is removed, with its credential.")


def _said(error: GatewayError) -> str:
    """By the name of the option."""
    return said(error).replace("force it", "--force")


def values_in(written: Iterable[str]) -> dict[str, str]:
    """`name=value` of each."""
    pairs = [pair.partition("=") for pair in written]
    for name, equals, _ in pairs:
        if not equals or not name:
            raise Stop(f'--value "{name}": write NAME=VALUE')
    return {name: value for name, _, value in pairs}


def _credential(variable: str | None) -> str:
    if variable is not None:
        key = os.environ.get(variable, "")
        if not key:
            raise Stop(f"the variable {variable} is not set")
        return key
    key = getpass.getpass("Credential: ") if sys.stdin.isatty() else sys.stdin.read()
    if not key.strip():
        raise Stop("no credential came: name a variable with --key-env, or write it to standard input")
    return key.strip()


# Secrets


def list_secrets(books: Books, *, as_json: bool) -> None:
    found = operate(books, secrets.list_secrets)
    show_rows([plain(one) for one in found], SECRET_COLUMNS, as_json=as_json)


def count_secrets(books: Books, *, as_json: bool) -> None:
    installation = _installation(books)
    found = operate(books, lambda office: secrets.count_secrets(office.store, installation))
    show_rows([plain(one) for one in found], COUNT_COLUMNS, as_json=as_json)


def rotate_secrets(books: Books, *, as_json: bool) -> bool:
    """Whether every secret could be opened."""
    installation = _installation(books)
    done = operate(books, lambda office: secrets.rotate_secrets(office, installation))
    if as_json:
        print_json(plain(done))
    else:
        print("\n".join((*done.faulty, f"{done.resealed} secret(s) are sealed anew, with the key {done.key}.")))
    return not done.faulty


# Operators' keys


def create_admin_key(books: Books, asked: AdminKeyAsked, *, as_json: bool) -> None:
    made = operate(books, lambda office: admin_keys.create_admin_key(office, asked))
    if as_json:
        print_json(plain(made))
    else:
        print(f"{made.key}\n\nThis is the only time the key is shown. Its id is {made.id}, its role {made.role}.")


def list_admin_keys(books: Books, *, as_json: bool) -> None:
    found = operate(books, admin_keys.list_admin_keys)
    show_rows([plain(one) for one in found], ADMIN_COLUMNS, as_json=as_json)


def revoke_admin_key(books: Books, key_id: str, *, as_json: bool) -> None:
    operate(books, lambda office: admin_keys.revoke_admin_key(office, key_id))
    if as_json:
        print_json({"id": key_id, "revoked": True})
    else:
        print(f"{key_id} is revoked.")


def _installation(books: Books) -> Installation:
    settings = books.settings()
    return Installation(settings, load(settings.catalog), os.environ, RANDOM)


def _say(shown: Struct, sentence: str, *, as_json: bool) -> None:
    if as_json:
        print_json(plain(shown))
    else:
        print(sentence)
