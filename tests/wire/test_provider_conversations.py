"""Every golden conversation with every provider, and what the collection of them must cover."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from imageway.core.blobs import Tree
from imageway.core.steps import Done, Failed, FailureKind, JsonReply, More, Reply
from imageway.core.streams import StreamEnd, StreamEvent
from imageway.providers import ADAPTERS
from tests.values import replace
from tests.wire.providers.conversation import Conversation, Section, conversations, play, replies

GOLDENS = Path(__file__).parent / "providers"
FILES = sorted(GOLDENS.glob("*/*.txt"))
ALL = [
    pytest.param(path.parent.name, talk, id=f"{path.parent.name}/{path.stem}: {talk.title}")
    for path in FILES
    for talk in conversations(path)
]


@pytest.mark.parametrize(("adapter", "conversation"), ALL)
def test_the_adapter_speaks_as_written(adapter: str, conversation: Conversation) -> None:
    play(ADAPTERS[adapter], conversation)


@pytest.mark.parametrize(("adapter", "conversation"), ALL)
def test_a_conversation_checks_something_and_says_what(adapter: str, conversation: Conversation) -> None:
    """A title, and an outcome as its last section: a conversation that ends in a reply asserts nothing about it."""
    assert conversation.title.endswith(".")
    assert conversation.sections[-1].head.split()[0] in ("send", "done", "failed", "none", "cut")


def heads(adapter: str) -> list[str]:
    return [
        section.head
        for path in FILES
        if path.parent.name == adapter
        for talk in conversations(path)
        for section in talk.sections
    ]


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_every_kind_of_failure_that_a_reply_can_mean_is_shown(adapter: str) -> None:
    shown = {head.split()[1] for head in heads(adapter) if head.startswith("failed ")}
    assert shown == {str(kind) for kind in FailureKind if kind is not FailureKind.NEVER_SENT}


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_every_code_an_adapter_knows_is_shown(adapter: str) -> None:
    """A row of an adapter's tables without a conversation would be a row nobody has seen work."""
    module = importlib.import_module(f"imageway.providers.{adapter}")
    text = "\n".join(path.read_text() for path in FILES if path.parent.name == adapter)
    tables = ("KINDS", "MARKS", "BLOCKS", "DENIALS", "PATHS")
    codes = [code for table in tables for code in getattr(module, table, ())]
    assert codes
    assert [code for code in codes if code not in text] == []


def known_failures() -> Iterator[tuple[str, Conversation, str]]:
    """(adapter, conversation, code) of every failure whose code stands in a table of the adapter."""
    for path in FILES:
        module = importlib.import_module(f"imageway.providers.{path.parent.name}")
        table = {*getattr(module, "KINDS", ()), *getattr(module, "DENIALS", ())}
        for talk in conversations(path):
            last = talk.sections[-1]
            code = json.loads(last.text).get("code", "") if last.head.startswith("failed ") else ""
            if code in table or code.partition(".")[0] in table:
                yield path.parent.name, talk, code


def test_a_code_means_the_same_whatever_the_status() -> None:
    """Relays and failed tasks bring a provider's codes under other statuses; the code is the better witness."""
    seen = set()
    for adapter, talk, code in known_failures():
        *_, reply = replies(talk)
        if reply.status < 400:
            continue  # one image's error, or a task's: they have no other status
        for status in (200, 400, 429, 500):
            step = ADAPTERS[adapter].decode(talk.call, {}, replace(reply, status=status))
            assert f"failed {getattr(step, 'kind', step)}" == talk.sections[-1].head, (adapter, code, status)
        seen.add(adapter)
    assert seen == set(ADAPTERS)


JUNK: list[Tree] = [None, "", "x", -1, 1.5, True, [], {}, [None], {"code": {}}]


def mangled(tree: Tree) -> Iterator[Tree]:
    """The tree with each of its nodes in turn replaced by each piece of junk."""
    yield from JUNK
    if isinstance(tree, dict):
        for name, value in tree.items():
            yield {key: inner for key, inner in tree.items() if key != name}
            yield from ({**tree, name: worse} for worse in mangled(value))
    elif isinstance(tree, list):
        for number, value in enumerate(tree):
            yield from ([*tree[:number], worse, *tree[number + 1 :]] for worse in mangled(value))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_no_reply_is_so_odd_that_an_adapter_raises(path: Path) -> None:
    """Every reply and every event of every conversation, with every node gone or replaced by something of another type;
    and each of them where the other was expected."""
    decode = ADAPTERS[path.parent.name].decode
    for talk in conversations(path):
        for reply in replies(talk):
            for odd in mangled(said(reply)):
                for memo in ({}, {"task_id": "t"}):
                    step = decode(talk.call, memo, replace(reply, body=JsonReply(odd)))
                    assert not isinstance(step, Done | More) or (step.images and reply.status < 300)
                name = reply.body.name if isinstance(reply.body, StreamEvent) else None
                decode(talk.call, {}, replace(reply, body=StreamEvent(odd, name)))
            decode(talk.call, {}, replace(reply, body=StreamEnd()))


def said(reply: Reply) -> Tree:
    match reply.body:
        case JsonReply(tree):
            return tree
        case StreamEvent(data):
            return data
    return None


@pytest.mark.parametrize("adapter", ["ark_images", "gemini", "openai_images"])
def test_a_stream_without_a_last_word_is_unknown(adapter: str) -> None:
    call = conversations(GOLDENS / adapter / "streams.txt")[0].call
    step = ADAPTERS[adapter].decode(call, {}, Reply(200, {}, StreamEnd()))
    assert isinstance(step, Failed)
    assert step.kind is FailureKind.UNKNOWN


def test_the_runner_sees_a_wrong_line() -> None:
    """Planted: one other byte in what was to be sent, in the outcome, and in its kind."""
    conversation = conversations(GOLDENS / "openai_images" / "generations.txt")[0]
    play(ADAPTERS["openai_images"], conversation)
    for number, section in enumerate(conversation.sections):
        if section.head.startswith("reply"):
            continue
        for wrong in (
            Section(section.head, section.text.replace("a", "b", 1), section.line),
            Section("failed busy", section.text, section.line),
        ):
            sections = list(conversation.sections)
            sections[number] = wrong
            with pytest.raises((AssertionError, ValueError)):
                play(ADAPTERS["openai_images"], replace(conversation, sections=tuple(sections)))


def test_the_runner_sees_what_a_golden_leaves_out() -> None:
    """Planted: a stream whose first preview is not shown."""
    conversation = conversations(GOLDENS / "openai_images" / "streams.txt")[0]
    play(ADAPTERS["openai_images"], conversation)
    send, reply, first, *rest = conversation.sections
    assert first.head == "more"
    for sections in ((send, reply, *rest), (send, reply, first, *rest[:-1])):
        with pytest.raises(AssertionError):
            play(ADAPTERS["openai_images"], replace(conversation, sections=tuple(sections)))
