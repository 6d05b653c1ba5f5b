"""Settings: a flag wins over the environment, that over the file, that over the default; a mistake is one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imageway.catalog import load
from imageway.server.configuration import ConfigurationError, Settings, read_settings, upstreams_of

CATALOG = load()
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes imageway.toml into the current directory, which holds nothing else."""
    monkeypatch.chdir(tmp_path)

    def written(text: str) -> Path:
        path = tmp_path / "imageway.toml"
        path.write_text(text)
        return path

    return written


def settings_of(environment: dict[str, str] | None = None, **flags: Any) -> Settings:
    return read_settings(flags, environment or {})


def refused(environment: dict[str, str] | None = None, **flags: Any) -> str:
    with pytest.raises(ConfigurationError) as raised:
        settings_of(environment, **flags)
    return str(raised.value)


def test_without_anything_the_defaults_hold(write: Write, tmp_path: Path) -> None:
    settings = settings_of()
    assert (settings.host, settings.port, settings.drain_s, settings.log_level) == ("127.0.0.1", 8400, 30.0, "info")
    assert settings.data == tmp_path / "imageway-data"
    assert settings.database_url == f"sqlite://{tmp_path}/imageway-data/imageway.db"
    assert settings.media_url == f"file://{tmp_path}/imageway-data/images"
    assert (dict(settings.media_options), settings.media_redirect) == ({}, False)
    assert (settings.sandbox, settings.catalog, settings.public_url) == (False, None, None)
    assert settings.request_bytes == 32 * 2**20
    assert settings.spool_bytes == 16 * 2**30


PRECEDENCE = [
    # setting, variable, flag, what the file says, the variable, the flag, and what each becomes
    ("host", "IMAGEWAY_HOST", "host", ("'file'", "file"), ("environment", "environment"), ("flag", "flag")),
    ("port", "IMAGEWAY_PORT", "port", ("1", 1), ("2", 2), (3, 3)),
    ("port", "IMAGEWAY_PORT", "port", ("8401", 8401), ("0", 0), (8403, 8403)),
    ("log_level", "IMAGEWAY_LOG_LEVEL", None, ("'debug'", "debug"), ("error", "error"), None),
    ("public_url", "IMAGEWAY_PUBLIC_URL", None, ("'https://a/'", "https://a"), ("https://b/", "https://b"), None),
    ("database", "IMAGEWAY_DATABASE", None, ("'memory://'", "memory://"), ("sqlite:///x", "sqlite:///x"), None),
    ("media", "IMAGEWAY_MEDIA", None, ("'file:///one'", "file:///one"), ("s3://two/three", "s3://two/three"), None),
    ("catalog", "IMAGEWAY_CATALOG", None, ("'one'", Path("one")), ("two", Path("two")), None),
    ("request_bytes", "IMAGEWAY_REQUEST_BYTES", None, ("1000", 1000), ("2000", 2000), None),
    ("spool_bytes", "IMAGEWAY_SPOOL_BYTES", None, ("1000", 1000), ("2000", 2000), None),
    ("drain_s", None, "drain_s", ("5", 5.0), None, (0.0, 0.0)),
]


@pytest.mark.parametrize(("name", "variable", "flag", "in_file", "in_environment", "as_flag"), PRECEDENCE)
def test_a_flag_wins_over_the_environment_over_the_file(
    write: Write,
    name: str,
    variable: str | None,
    flag: str | None,
    in_file: tuple[str, Any],
    in_environment: tuple[str, Any] | None,
    as_flag: tuple[Any, Any] | None,
) -> None:
    write(f"{name} = {in_file[0]}")
    assert getattr(settings_of(), name) == in_file[1]
    environment = {}
    if variable and in_environment:
        environment = {variable: in_environment[0]}
        assert getattr(settings_of(environment), name) == in_environment[1]
        assert getattr(settings_of({variable: ""}), name) == in_file[1], "an empty variable is none"
    if flag and as_flag:
        assert getattr(settings_of(environment, **{flag: as_flag[0]}), name) == as_flag[1]
        assert getattr(settings_of(environment, **{flag: None}), name) != as_flag[1], "a flag left out is none"


def test_the_data_directory_and_the_file_are_found_in_the_same_way(write: Write, tmp_path: Path) -> None:
    other = write("port = 1").rename(tmp_path / "other.toml")
    write("port = 2")
    assert settings_of().port == 2
    assert settings_of({"IMAGEWAY_CONFIG": str(other)}).port == 1
    assert settings_of({"IMAGEWAY_CONFIG": str(other)}, config=tmp_path / "imageway.toml").port == 2
    assert settings_of({"IMAGEWAY_DATA": "/a"}).data == Path("/a")
    assert settings_of({"IMAGEWAY_DATA": "/a"}, data=Path("b")).data == tmp_path / "b"


def test_a_file_that_was_named_has_to_be_there(write: Write) -> None:
    assert refused(config=Path("missing.toml")) == 'the configuration file "missing.toml" is not there'
    assert "missing.toml" in refused({"IMAGEWAY_CONFIG": "missing.toml"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot = 1", "prot"),
        ("port = '1'", "$.port"),
        ("port = ", "imageway.toml"),
        ("[limits]\ntasks = 1", '[limits] has no "tasks"; there are '),
        ("[connections]\nhead = 1", '[connections] has no "head"; there are at_once, body_idle_s, body_s'),
        ("[limits]\ntasks_at_once = 0", '[limits] tasks_at_once is "0"; a whole number from 1 up is needed'),
        ("[limits]\ntasks_at_once = 1.5", '[limits] tasks_at_once is "1.5"'),
        ("[limits]\ntasks_at_once = inf", '[limits] tasks_at_once is "inf"'),
        ("[limits]\nlease_s = nan", '[limits] lease_s is "nan"; a number above 0 is needed'),
        ("[limits]\nlease_s = -1", '[limits] lease_s is "-1"'),
        (
            "[limits]\nwebhook_claim_s = 29",
            '[limits] webhook_claim_s is "29"; at least twice webhook_deadline_s ("15") is needed',
        ),
        ("[limits]\nlease_s = 9", '[limits] lease_s is "9"; at least twice lease_renew_s ("5") is needed'),
        ("[limits]\nlease_renew_s = 11", 'at least twice lease_renew_s ("11") is needed'),
        (
            "public_url = 'gateway.example'",
            'public_url is "gateway.example"; http:// or https://',
        ),
        ("public_url = 'http://'", "http:// or https:// and a host are needed"),
        ("public_url = 'https:///images'", "http:// or https:// and a host are needed"),
        ("public_url = 'https://a/?b'", 'public_url is "https://a/?b"; http:// or https://'),
        ("public_url = 'https://a b'", 'public_url is "https://a b"; http:// or https://'),
        ("drain_s = -1", 'drain is "-1.0"'),
        ("drain_s = nan", 'drain is "nan"'),
        ("drain_s = inf", 'drain is "inf"'),
        ("port = 65536", 'port is "65536"; a number from 0 to 65535 is needed'),
        ("log_level = 'loud'", 'log_level is "loud"; it is one of debug, info'),
        ("request_bytes = 0", 'request_bytes is "0"'),
        ("[[upstreams]]\nid = 'x'", "provider"),
        ("[[upstreams]]\nprovider = 'openai'\nkye = 'x'", "kye"),
    ],
)
def test_a_mistake_in_the_file_is_named(write: Write, text: str, said: str) -> None:
    write(text)
    assert said in refused()


def test_a_file_that_is_no_text_is_refused(write: Write) -> None:
    write("").write_bytes(b"\xff\xfe\x00")
    assert "imageway.toml" in refused()


@pytest.mark.parametrize("text", ["eight", "-1", "1.5", "1e3", "²", "٣"])
def test_a_variable_that_is_no_number_is_refused(write: Write, text: str) -> None:
    assert refused({"IMAGEWAY_PORT": text}) == f'IMAGEWAY_PORT is "{text}"; a whole number is needed'


def test_limits_come_with_their_own_types(write: Write) -> None:
    write("[limits]\ntasks_at_once = 7\nlease_s = 30\n[connections]\nhead_bytes = 9000\nstall_s = 1.5")
    settings = settings_of()
    assert (settings.engine.tasks_at_once, settings.engine.lease_s) == (7, 30.0)
    assert (settings.connections.head_bytes, settings.connections.stall_s) == (9000, 1.5)


# Upstreams


def upstreams(environment: dict[str, str] | None = None, **flags: Any) -> dict[str, Any]:
    found = upstreams_of(settings_of(environment, **flags), CATALOG, environment or {})
    return {upstream.id: upstream for upstream in found}


def test_without_a_credential_there_is_no_upstream(write: Write) -> None:
    assert upstreams() == {}
    assert upstreams({"OPENAI_API_KEY": ""}) == {}


def test_a_key_in_the_environment_is_an_upstream_at_the_providers_own_address(write: Write) -> None:
    (upstream,) = upstreams({"OPENAI_API_KEY": "sk-test-1"}).values()
    assert upstream.provider == "openai"
    assert upstream.base_url == CATALOG.providers["openai"].base_url
    assert upstream.secrets == {"key": "sk-test-1"}
    assert not upstream.sandbox


def test_its_address_can_be_moved(write: Write) -> None:
    environment = {"OPENAI_API_KEY": "sk-test-1", "OPENAI_BASE_URL": "http://127.0.0.1:1/openai/v1/"}
    assert upstreams(environment)["openai"].base_url == "http://127.0.0.1:1/openai/v1"


def test_with_the_sandbox_every_provider_has_a_pretend_upstream(write: Write) -> None:
    found = upstreams(sandbox=True)
    assert set(found) == {f"sandbox-{name}" for name in CATALOG.providers}
    assert all(upstream.sandbox and upstream.base_url.startswith("sandbox:/") for upstream in found.values())


def test_a_real_credential_leaves_its_provider_no_pretend_twin(write: Write) -> None:
    """From the environment or from the file: whoever has a key never gets a drawn picture for a real one."""
    write("[[upstreams]]\nprovider = 'google'\nkey = 'AIzaTEST'")
    found = upstreams({"OPENAI_API_KEY": "sk-test-1"}, sandbox=True)
    assert {upstream.provider: upstream.sandbox for upstream in found.values()} == {
        "google": False,
        "openai": False,
        "vertex": True,
        "volcengine": True,
        "dashscope": True,
    }


def test_rows_of_the_file_say_everything_about_an_upstream(write: Write) -> None:
    write(
        """
        [[upstreams]]
        provider = "openai"
        key_env = "MY_KEY"
        [[upstreams]]
        provider = "openai"
        id = "azure"
        key = "sk-test-2"
        base_url = "https://azure.example/openai/"
        weight = 3
        values = { deployment = "images" }
        """
    )
    found = upstreams({"MY_KEY": "sk-test-1"})
    assert list(found) == ["openai-1", "azure"]
    assert found["openai-1"].secrets == {"key": "sk-test-1"}
    assert found["azure"].base_url == "https://azure.example/openai"
    assert (found["azure"].weight, found["azure"].values) == (3, {"deployment": "images"})


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("provider = 'nobody'\nkey = 'x'", '[[upstreams]] 1: provider "nobody" is none of openai, google'),
        ("provider = 'openai'", "[[upstreams]] 1: give a key, or key_env and that variable"),
        ("provider = 'openai'\nkey_env = 'NOT_SET'", "[[upstreams]] 1: give a key"),
        ("provider = 'openai'\nkey = 'x'\nweight = 0", '[[upstreams]] 1: weight is "0"; a number from 1 up is needed'),
        ("provider = 'openai'\nkey = 'x'\nid = 'openai'", 'two upstreams have the id "openai"'),
    ],
)
def test_a_row_that_cannot_be_used_is_refused(write: Write, row: str, said: str) -> None:
    write(f"[[upstreams]]\n{row}")
    with pytest.raises(ConfigurationError) as raised:
        upstreams({"OPENAI_API_KEY": "sk-test-1"})
    assert said in str(raised.value)


def test_no_secret_shows_in_a_repr(write: Write) -> None:
    """Neither keys nor the password of a database: settings end up in logs and tracebacks."""
    write("database = 'postgresql://me:pass-word@db/x'\n[[upstreams]]\nprovider = 'openai'\nkey = 'sk-test-1'")
    settings = settings_of()
    shown = f"{settings} {settings!r} {upstreams_of(settings, CATALOG, {'ARK_API_KEY': 'ark-test-2'})}"
    assert "openai" in shown
    assert not [secret for secret in ("sk-test-1", "pass-word", "ark-test-2") if secret in shown]


# The media store


def test_options_of_the_media_store_are_texts(write: Write) -> None:
    write(
        "media = 's3://pictures'\nmedia_redirect = true\n[media_options]\n"
        "endpoint = 'http://store:9000'\nvirtual_hosted_style_request = true\nport = 9000\n"
    )
    settings = settings_of()
    assert settings.media_redirect
    assert settings.media_options == {
        "endpoint": "http://store:9000",
        "virtual_hosted_style_request": "true",
        "port": "9000",
    }


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"])
def test_an_endpoint_in_the_environment_is_one_of_s3_alone_and_the_files_wins(write: Write, variable: str) -> None:
    environment = {variable: "http://store:9000"}
    assert settings_of(environment | {"IMAGEWAY_MEDIA": "s3://p"}).media_options == {"endpoint": "http://store:9000"}
    assert settings_of(environment | {"IMAGEWAY_MEDIA": "gs://p"}).media_options == {}
    assert settings_of(environment).media_options == {}
    write("media = 's3://p'\n[media_options]\nendpoint = 'https://other'")
    assert settings_of(environment).media_options == {"endpoint": "https://other"}


def test_nobody_is_redirected_to_a_directory(write: Write) -> None:
    for place in ("", "media = 'file:///images'\n"):
        write(f"{place}media_redirect = true")
        assert refused() == "media_redirect sends readers to the media store: a bucket is needed (media)"


def test_what_settings_print_holds_no_credential(write: Write) -> None:
    write("media = 's3://p'\n[media_options]\nsecret_access_key = 'test-secret'")
    assert "test-secret" not in repr(settings_of())


def test_proxies_are_trusted_by_network(write: Write) -> None:
    write('trusted_proxies = ["10.0.0.0/8", "fd00::/8"]')
    assert [str(network) for network in settings_of().trusted_proxies] == ["10.0.0.0/8", "fd00::/8"]
    write('trusted_proxies = ["10.0.0.1/8"]')
    assert refused().startswith('trusted_proxies: "10.0.0.1/8" names no network')
