"""The command line as scripts use it: names, JSON shapes, exit codes, one sentence on standard error; every command on
the data directory that the flag, else the environment, names."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.integration.processes import House, Process, call, clean_environment

GEMINI = "gemini-2.5-flash-image"


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run(*arguments: str, folder: Path, **environment: str) -> Ran:
    """`imageway ARGUMENTS` in a folder of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "imageway.cli.main", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        env=clean_environment(**environment),
        check=False,
    )
    assert "Traceback" not in done.stderr + done.stdout
    return Ran(done.returncode, done.stdout, done.stderr)


def told(ran: Ran, *words: str) -> None:
    """A command that cannot go on: exit code 1, nothing on standard output, one sentence on standard error."""
    assert (ran.code, ran.out) == (1, ""), ran
    assert ran.err.startswith("imageway: ")
    assert ran.err.count("\n") == 1
    assert all(word in ran.err for word in words), ran.err


def test_keys_workspaces_and_wallets(tmp_path: Path) -> None:
    """The life of a key, in JSON: exactly the fields that were promised."""
    made = run("keys", "create", "--workspace", "studio", "--name", "site", "--models", "gemini-*", "gpt-image-2",
               "--json", folder=tmp_path).json  # fmt: skip
    assert set(made) == {"key", "id", "workspace"}
    assert made["key"].startswith("sk-iw-")
    assert made["workspace"] == "studio"
    wallet = run("wallet", "show", "studio", "--json", folder=tmp_path).json
    zero = "0.000000"
    assert wallet == {"workspace": "studio", "available_usd": zero, "held_usd": zero, "spent_usd": zero}
    assert run("wallet", "topup", "studio", "12.5", folder=tmp_path).code == 0
    assert run("wallet", "show", "studio", "--json", folder=tmp_path).json["available_usd"] == "12.500000"
    (listed,) = run("keys", "list", "--json", folder=tmp_path).json
    assert (listed["id"], listed["name"], listed["models"]) == (made["id"], "site", ["gemini-*", "gpt-image-2"])
    assert made["key"] not in json.dumps(listed)
    assert listed["revoked"] is None
    assert run("keys", "revoke", made["id"], folder=tmp_path).code == 0
    assert run("keys", "list", "--json", folder=tmp_path).json[0]["revoked"]
    told(run("keys", "revoke", made["id"], folder=tmp_path), made["id"])
    assert run("workspaces", "create", "other", folder=tmp_path).code == 0
    assert [one["name"] for one in run("workspaces", "list", "--json", folder=tmp_path).json] == ["studio", "other"]
    assert run("usage", "--json", folder=tmp_path).json == []


def test_a_key_is_shown_once_for_people_too(tmp_path: Path) -> None:
    shown = run("keys", "create", folder=tmp_path)
    key = shown.out.split()[0]
    assert key.startswith("sk-iw-")
    assert "only time" in shown.out
    stored = b"".join(path.read_bytes() for path in (tmp_path / "imageway-data").iterdir() if path.is_file())
    assert key.encode() not in stored
    assert key not in run("keys", "list", folder=tmp_path).out


MISTAKES = {
    "a workspace nobody made": (("wallet", "show", "nobody"), "nobody"),
    "money for nobody": (("wallet", "topup", "nobody", "5"), "nobody"),
    "an amount of seven decimals": (("wallet", "topup", "w", "1.2345678"), "1.2345678"),
    "an amount below zero": (("wallet", "topup", "w", "-5"), "-5"),
    "an amount of nothing": (("wallet", "topup", "w", "0"), "zero"),
    "an amount in words": (("wallet", "topup", "w", "five"), "five"),
    "a workspace twice": (("workspaces", "create", "w"), "w"),
    "a key nobody made": (("keys", "revoke", "key_none"), "key_none"),
    "usage of nobody": (("usage", "--workspace", "nobody"), "nobody"),
    "a configuration that is not there": (("serve", "--config", "none.toml"), "none.toml"),
    "a port that cannot be": (("serve", "--port", "99999"), "99999"),
    "a fault nobody knows": (("sandbox", "--fault", "flood=1"), "flood"),
    "a share above one": (("sandbox", "--fault", "html=2"), "html=2"),
    "no key": (("generate", "a boat", "-m", GEMINI), "IMAGEWAY_KEY"),
    "nobody there": (("generate", "a boat", "-m", GEMINI, "--key", "k", "--url", "http://127.0.0.1:9"), "serve"),
}


@pytest.fixture(scope="module")
def with_workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("commands")
    assert run("workspaces", "create", "w", folder=folder).code == 0
    return folder


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence(with_workspace: Path, mistake: str) -> None:
    arguments, word = MISTAKES[mistake]
    told(run(*arguments, folder=with_workspace), word)


FILES = {
    "no TOML": ("port = ", "imageway.toml"),
    "a setting nobody knows": ("prot = 1", "prot"),
    "a limit nobody knows": ("[limits]\nspeed = 1", "speed"),
    "a connection limit nobody knows": ("[connections]\nspeed = 1", "speed"),
    "a setting of another type": ('port = "many"', "port"),
    "a provider nobody knows": ('[[upstreams]]\nprovider = "acme"\nkey = "k"', "acme"),
    "an upstream without a key": ('[[upstreams]]\nprovider = "openai"', "key"),
    "an upstream whose variable is empty": ('[[upstreams]]\nprovider = "openai"\nkey_env = "NONE"', "key"),
    "a database that cannot be": ('database = "mysql://x"', "mysql"),
}


@pytest.mark.parametrize("mistake", FILES)
def test_a_mistake_in_the_file_is_told_by_serve_and_doctor(tmp_path: Path, mistake: str) -> None:
    """Neither starts anything; both name what is wrong."""
    text, word = FILES[mistake]
    (tmp_path / "imageway.toml").write_text(text)
    told(run("serve", "--port", "0", folder=tmp_path), word)
    found = run("doctor", "--json", folder=tmp_path)
    assert found.code == 1
    errors = [finding for finding in found.json if finding["state"] == "error"]
    assert any(word in finding["says"] for finding in errors), found.out
    assert all(finding["advice"] for finding in errors)


@pytest.mark.parametrize("kept_in", ["IMAGEWAY_SECRETS_KEYS", "secrets.keys"])
def test_keys_of_secrets_that_cannot_be_read_are_told_by_serve_worker_and_doctor(tmp_path: Path, kept_in: str) -> None:
    """Before the first secret is kept: the place and what is accepted, never what stands there."""
    written = "k1:c2VjcmV0LXRoYXQtaXMtdG9vLXNob3J0"
    variable = {kept_in: written} if kept_in.isupper() else {}
    (tmp_path / "imageway-data").mkdir()
    if not variable:
        (tmp_path / "imageway-data" / kept_in).write_text(written)
    for command in (("serve", "--port", "0"), ("worker",)):
        ran = run(*command, folder=tmp_path, **variable)
        told(ran, kept_in, "cannot start", "entry 1", "ID:KEY", "32 bytes")
        assert "c2VjcmV0" not in ran.err
    found = run("doctor", "--json", folder=tmp_path, **variable)
    assert found.code == 1
    (error,) = [finding for finding in found.json if finding["state"] == "error"]
    assert (error["about"], error["advice"] != "") == ("keys of secrets", True)
    assert all(word in error["says"] for word in (kept_in, "entry 1", "ID:KEY", "32 bytes"))
    assert "c2VjcmV0" not in found.out


def test_a_port_that_is_taken_is_told(tmp_path: Path, gateway: Process) -> None:
    port = gateway.url.rpartition(":")[2]
    told(run("serve", "--port", port, folder=tmp_path), port)


def test_the_data_directory_by_flag_by_environment_and_by_default(tmp_path: Path) -> None:
    """The flag wins over the environment, which wins over `./imageway-data`; each has its own books."""
    places = {"flag": tmp_path / "by-flag", "environment": tmp_path / "by-environment"}
    run("workspaces", "create", "d", folder=tmp_path)
    run("workspaces", "create", "e", folder=tmp_path, IMAGEWAY_DATA=str(places["environment"]))
    both = {"IMAGEWAY_DATA": str(places["environment"])}
    run("workspaces", "create", "f", "--data", str(places["flag"]), folder=tmp_path, **both)

    def names(*arguments: str, **environment: str) -> list[str]:
        listed = run("workspaces", "list", "--json", *arguments, folder=tmp_path, **environment).json
        return [one["name"] for one in listed]

    assert names() == ["d"]
    assert (tmp_path / "imageway-data" / "imageway.db").exists()
    assert names(**both) == ["e"]
    assert names("--data", str(places["flag"]), **both) == ["f"]


def test_the_file_by_flag_by_environment_and_by_default(tmp_path: Path) -> None:
    """A configuration that is read is one whose mistakes are told."""
    for name in ("imageway.toml", "one.toml", "two.toml"):
        (tmp_path / name).write_text(f"{Path(name).stem.replace('imageway', 'zero')} = 1")
    told(run("usage", folder=tmp_path), "zero")
    told(run("usage", folder=tmp_path, IMAGEWAY_CONFIG="one.toml"), "one")
    told(run("usage", "--config", "two.toml", folder=tmp_path, IMAGEWAY_CONFIG="one.toml"), "two")


def test_doctor_finds_what_is_missing_and_what_is_broken(tmp_path: Path) -> None:
    """Warnings alone are exit code 0; an upstream that cannot be reached is 1, with what to do."""
    fresh = run("doctor", "--json", folder=tmp_path)
    assert fresh.code == 0
    states = {finding["about"]: finding["state"] for finding in fresh.json}
    assert (states["configuration"], states["database"], states["clock"]) == ("ok", "ok", "ok")
    assert (states["keys"], states["upstreams"]) == ("warning", "warning")
    run("keys", "create", "--workspace", "w", folder=tmp_path)
    assert {f["about"]: f["state"] for f in run("doctor", "--json", folder=tmp_path).json}["wallets"] == "warning"
    run("wallet", "topup", "w", "5", folder=tmp_path)
    secret = {"OPENAI_API_KEY": "sk-test-doctor", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    broken = run("doctor", folder=tmp_path, **secret)
    assert broken.code == 1
    assert "127.0.0.1:9" in broken.out
    assert "base URL" in broken.out
    assert "sk-test-doctor" not in broken.out


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("command-line") / "data", clean_environment(), ("--sandbox",))
    made.fund("20")
    yield made
    made.close()


@pytest.fixture(scope="module")
def gateway(house: House) -> Process:
    return house.serve()


def test_doctor_reaches_an_upstream_that_is_there(tmp_path: Path, gateway: Process) -> None:
    found = run("doctor", "--json", folder=tmp_path, OPENAI_API_KEY="sk-test", OPENAI_BASE_URL=f"{gateway.url}/v1")
    (upstream,) = [finding for finding in found.json if finding["about"].startswith("upstream ")]
    assert upstream["state"] == "ok"


def test_generate_writes_files(tmp_path: Path, house: House, gateway: Process) -> None:
    """One file under the name given, several numbered; the prices are in the usage rows."""
    at = {"IMAGEWAY_KEY": house.key}
    one = run("generate", "a boat", "-m", GEMINI, "-o", "boat.png", "--url", gateway.url, folder=tmp_path, **at)
    assert one.code == 0, one.err
    assert "boat.png" in one.out
    assert Image.open(tmp_path / "boat.png").size == (1024, 1024)
    two = run("generate", "bluer", "-m", GEMINI, "-o", "blue.png", "--n", "2", "--size", "16:9", "--seed", "4",
              "--image", "boat.png", "--url", gateway.url, "--key", house.key, folder=tmp_path)  # fmt: skip
    assert two.code == 0, two.err
    assert [Image.open(tmp_path / f"blue-{number}.png").size for number in (1, 2)] == [(1344, 768)] * 2
    named = run("generate", "a boat", "-m", "qwen-image-max", "--url", gateway.url, folder=tmp_path, **at)
    assert named.code == 0, named.err
    (made,) = tmp_path.glob("qwen-image-max-*.png")
    assert Image.open(made).size == (1664, 928)
    rows = run("usage", "--json", "--data", str(house.data), folder=tmp_path).json
    needed = {"request_id", "model", "outcome", "n", "delivered", "price_usd", "cost_usd"}
    assert all(needed <= set(row) for row in rows)
    assert [(row["model"], row["n"], row["delivered"], row["price_usd"]) for row in rows] == [
        ("qwen-image-max", 1, 1, "0.075000"),
        (GEMINI, 2, 2, "0.078000"),
        (GEMINI, 1, 1, "0.039000"),
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("a boat", "-m", "gpt-imagge-1"), ("404", "gpt-image-1")),
        (("a boat", "-m", GEMINI, "--n", "11"), ("400", "n")),
        (("a boat", "-m", GEMINI, "--size", "huge"), ("400", "size")),
        (("sandbox-fault:empty", "-m", GEMINI), ("502", "empty_response")),
        (("a boat", "-m", GEMINI, "--image", "not-there.png"), ("not-there.png",)),
    ],
)
def test_generate_says_what_the_gateway_said(
    tmp_path: Path, house: House, gateway: Process, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    ran = run("generate", *arguments, "-o", "x.png", "--url", gateway.url, "--key", house.key, folder=tmp_path)
    told(ran, *words)
    assert not (tmp_path / "x.png").exists()


def test_pictures_that_cannot_be_saved_are_where_the_message_says(
    tmp_path: Path, house: House, gateway: Process
) -> None:
    """Base64, too: paid for, and not lost with the disk."""
    (tmp_path / "x.png").symlink_to("/dev/full")
    ran = run("generate", "a boat", "-m", "gpt-image-1", "-o", "x.png", "--url", f"{gateway.url}/v1", "--key",
              house.key, folder=tmp_path)  # fmt: skip
    told(ran, "No space left on device", "/v1/tasks/req_")
    (place,) = re.findall(r"http://\S+/v1/tasks/req_\w+", ran.err)
    (item,) = call(place, key=house.key).json["data"]
    picture = call(item["url"])
    assert (picture.status, picture.content[:4]) == (200, b"\x89PNG")


@pytest.mark.parametrize(("name", "kind"), [("fox.png", "PNG"), ("fox.jpg", "JPEG"), ("fox.webp", "WEBP")])
def test_a_file_is_of_the_format_that_its_name_says(
    tmp_path: Path, house: House, gateway: Process, name: str, kind: str
) -> None:
    """From a model that makes JPEG, and nothing else, of itself."""
    ran = run("generate", "a fox", "-m", "doubao-seedream-4-0-250828", "-o", f"new/{name}", "--url", gateway.url,
              "--key", house.key, folder=tmp_path)  # fmt: skip
    assert ran.code == 0, ran.err
    assert Image.open(tmp_path / "new" / name).format == kind


def test_models_are_the_endpoints(tmp_path: Path, house: House, gateway: Process) -> None:
    assert run("models", "--json", folder=tmp_path).json == call(f"{gateway.url}/v1/models", key=house.key).json
    people = run("models", folder=tmp_path)
    assert people.code == 0
    assert GEMINI in people.out


def test_serve_says_ready_when_it_answers_and_stops_in_order(tmp_path: Path) -> None:
    """Standard output holds the ready line alone; logs are JSON on standard error; SIGTERM is exit code 0."""
    child = subprocess.Popen(
        [sys.executable, "-m", "imageway.cli.main", "serve", "--sandbox", "--port", "0", "--data", str(tmp_path / "d")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean_environment(), cwd=tmp_path,
    )  # fmt: skip
    assert child.stdout is not None
    ready = child.stdout.readline()
    assert ready.startswith("ready http://127.0.0.1:")
    url = ready.split()[1]
    assert call(f"{url}/healthz").status == 200
    assert call(f"{url}/readyz").json == {"status": "ok"}
    child.terminate()
    out, err = child.communicate(timeout=20)
    assert (child.returncode, out) == (0, "")
    events = [json.loads(line)["event"] for line in err.splitlines()]
    assert {"process.started", "process.stopped"} <= set(events)
    assert oct((tmp_path / "d" / "media-signing.key").stat().st_mode & 0o777) == "0o600"
    assert not list((tmp_path / "d" / "processes").iterdir())
