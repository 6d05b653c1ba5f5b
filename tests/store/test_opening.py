"""Opening a store: first start, warm start, several at once, and the sentences when it cannot be."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import sys
from pathlib import Path

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from imageway.storage import StorageError, migrations, open_store
from imageway.storage.memory.reads import READS
from imageway.storage.memory.store import WRITES as MEMORY_WRITES
from imageway.storage.postgres.store import KNOWN as POSTGRES_KNOWN
from imageway.storage.selects import _SELECTS
from imageway.storage.sqlite.writes import WRITES as SQLITE_WRITES
from imageway.storage.tables import METADATA
from tests.store.places import WORKSPACE, Place, commit

WARM = """
import asyncio, sys
from imageway.storage import open_store

async def main(url):
    store = await open_store(url, create=False)
    await store.close()

asyncio.run(main(sys.argv[1]))
print(*sorted({name.partition(".")[0] for name in sys.modules} & {"sqlalchemy", "alembic", "asyncpg", "msgspec"}))
"""


def file_of(place: Place) -> Path:
    return Path(place.url.removeprefix("sqlite://"))


async def run(script: str, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, *arguments, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    return output.decode().strip()


async def test_the_first_start_makes_folder_and_file_for_the_owner_alone(sqlite_place: Place) -> None:
    await (await sqlite_place.open()).close()
    assert stat.S_IMODE(file_of(sqlite_place).stat().st_mode) == 0o600


async def test_a_warm_start_imports_neither_sqlalchemy_nor_alembic(durable_place: Place) -> None:
    await (await durable_place.open()).close()
    found = await run(WARM, durable_place.url)
    assert found == {"sqlite": "msgspec", "postgres": "asyncpg msgspec"}[durable_place.name]


async def test_several_that_start_at_once_on_nothing_all_come_up(durable_place: Place) -> None:
    script = WARM.replace(", create=False", "")
    await asyncio.gather(*(run(script, durable_place.url) for _ in range(4)))
    store = await durable_place.open(create=False)
    await commit(store, WORKSPACE)
    await store.close()


async def test_without_leave_to_create_a_missing_database_is_a_sentence(durable_place: Place) -> None:
    with pytest.raises(StorageError, match="run `imageway serve` once"):
        await durable_place.open(create=False)
    if durable_place.name == "sqlite":
        assert not file_of(durable_place).exists()


async def test_a_database_of_a_newer_imageway_is_left_alone(durable_place: Place) -> None:
    await (await durable_place.open()).close()
    statement = "UPDATE alembic_version SET version_num = '9999'"
    if durable_place.name == "sqlite":
        with sqlite3.connect(file_of(durable_place)) as connection:
            connection.execute(statement)
        connection.close()
    else:
        other = await asyncpg.connect(durable_place.url)
        await other.execute(statement)
        await other.close()
    with pytest.raises(StorageError, match=r'version "9999".*a newer Imageway has used it'):
        await durable_place.open()


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("mysql://host/db", r'"mysql://…" is no database: write memory://, sqlite:///path/file.db or postgresql://…'),
        ("imageway.db", "is no database"),
        ("sqlite://relative.db", "has no absolute path"),
        ("sqlite:///dev/null/x.db", "cannot be made: File exists"),
        ("postgresql://me:hunter2@127.0.0.1:1/imageway", 'the database "127.0.0.1/imageway" cannot be reached'),
        ("postgresql://me:hunter2@127.0.0.1:port/imageway", "cannot be reached"),
    ],
)
async def test_a_url_that_leads_nowhere_is_a_sentence_without_a_password(url: str, sentence: str) -> None:
    with pytest.raises(StorageError) as raised:
        await open_store(url)
    assert sentence in str(raised.value)
    assert "hunter2" not in str(raised.value)


async def test_a_file_that_is_no_database_is_a_sentence(sqlite_place: Place) -> None:
    file_of(sqlite_place).parent.mkdir()
    file_of(sqlite_place).write_bytes(b"a picture, perhaps" * 100)
    with pytest.raises(StorageError, match="cannot be opened: file is not a database"):
        await sqlite_place.open()


async def test_names_with_anything_in_them_are_paths(tmp_path: Path) -> None:
    path = tmp_path / "a b%20?#ü.db"
    store = await open_store(f"sqlite://{path}")
    await commit(store, WORKSPACE)
    await store.close()
    assert path.exists()


async def test_a_path_may_begin_with_two_slashes(tmp_path: Path) -> None:
    """As SQLAlchemy's URLs have it."""
    store = await open_store(f"sqlite:///{tmp_path}/a.db")
    await store.close()
    assert (tmp_path / "a.db").exists()


def test_the_newest_step_is_the_head_that_a_warm_start_looks_for() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    directory = ScriptDirectory.from_config(config)
    assert [step.revision for step in directory.walk_revisions()][::-1] == list(migrations.REVISIONS)


async def test_the_steps_lead_to_the_tables_as_they_are_described(sqlite_place: Place) -> None:
    """`tables.py` and the migrations say the same; constraints aside, which SQLite does not tell."""
    await (await sqlite_place.open()).close()
    engine = create_engine(f"sqlite:///{file_of(sqlite_place)}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    engine.dispose()


async def test_both_databases_have_the_same_columns_and_indexes(sqlite_place: Place, postgres_place: Place) -> None:
    await (await sqlite_place.open()).close()
    await (await postgres_place.open()).close()
    lite = sqlite3.connect(file_of(sqlite_place))
    columns = lite.execute(
        "SELECT m.name, c.name, c.[notnull] = 0 AND c.pk = 0 FROM sqlite_master AS m, pragma_table_info(m.name) AS c"
        " WHERE m.type = 'table' AND m.name <> 'alembic_version' AND m.name NOT LIKE 'sqlite%'"
    ).fetchall()
    indexes = lite.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL").fetchall()
    lite.close()
    big = await asyncpg.connect(postgres_place.url)
    theirs = await big.fetch(
        "SELECT table_name, column_name, is_nullable = 'YES' FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name <> 'alembic_version'"
    )
    keys = await big.fetch(
        "SELECT indexname FROM pg_indexes WHERE schemaname = 'public' AND indexname NOT LIKE '%_pkey'"
        " AND indexname NOT LIKE 'alembic%'"
    )
    await big.close()
    assert {(table, name, bool(optional)) for table, name, optional in columns} == {tuple(row) for row in theirs}
    assert {name for (name,) in indexes} - {"alembic_version_pkc"} == {row[0] for row in keys}


def test_the_three_executors_know_the_same_ops_and_queries() -> None:
    assert set(MEMORY_WRITES) == set(SQLITE_WRITES) == set(POSTGRES_KNOWN)
    assert set(READS) == set(_SELECTS)
