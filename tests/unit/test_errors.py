"""The texts of errors: all are in `errors.golden`, and ours keep our habits (CONTRIBUTING.md, "House rules")."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.unit.error_texts import GOLDEN, entries, golden

WORDS_PER_SENTENCE = 22
NAMES = ("Locust", "Docker Engine", "Serverless VPC Access", "Content-Range")
"""Proper names that a text may begin with."""
BANNED = re.compile(
    r"\b(whoever|whatever|but for|besides|anew|thereby|for ever|what (is|are|was|were|has|had|would)|none of the"
    r"|is no|are no|there is no|there are)\b",
    re.IGNORECASE,
)


def faults(text: str) -> Iterator[str]:
    """The habits that a text of ours does not keep."""
    if re.match(r"[A-Z]([a-z]| )", text) and not text.startswith(NAMES):
        yield "begins with a capital letter"
    if text.rstrip().endswith(".") and not text.endswith("..."):
        yield "ends with a full stop"
    if found := BANNED.search(text):
        yield f"has {found[0]!r}"
    if text.count(";") > 1:
        yield "has more than one semicolon"
    longest = max(len(sentence.split()) for sentence in re.split(r"[.;:](?:\s|$)", text))
    if longest > WORDS_PER_SENTENCE:
        yield f"has a sentence of {longest} words"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("firewall rule web: not found; create it first", None),
        ("Firewall rule web: not found", "begins with a capital letter"),
        ("firewall rule web: not found.", "ends with a full stop"),
        ("the node is what was asked for", "has 'what was'"),
        ("one; two; three", "has more than one semicolon"),
        ("word " * 23, "has a sentence of 23 words"),
    ],
)
def test_the_habits_tell_a_good_text_from_a_bad_one(text: str, fault: str | None) -> None:
    assert list(faults(text)) == ([] if fault is None else [fault])


def test_the_texts_of_errors_are_those_of_the_golden_file() -> None:
    assert GOLDEN.read_text() == golden(), "look at the difference, then run `make errors`"


def test_errors_keep_the_habits_except_for_googles_own() -> None:
    ours = [
        (entry.file, text.words)
        for entry in entries()
        for text in (entry.text, entry.hint)
        if text is not None and not text.googles
    ]
    assert len(ours) > 300
    assert [f"{file}: {text!r} {fault}" for file, text in ours for fault in faults(text)] == []


def test_googles_own_texts_are_marked() -> None:
    """As these are: clients and scripts compare them."""
    googles = {entry.text.words for entry in entries() if entry.text.googles}
    assert "The resource '{full}' was not found" in googles
    assert "Connector name must not be set." in googles
