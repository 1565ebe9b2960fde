"""The event log: numbered without a gap, bounded, in the order of what has happened."""

from __future__ import annotations

from contextlib import suppress

import pytest

from testbed.control.state import events
from testbed.control.state.store import Store


def test_a_reader_goes_on_where_it_was() -> None:
    with Store.open("bed", create=True) as store, Store.open("bed") as reader:
        store.events.add("node", "vm-us", "has started")
        (first,) = reader.events.after(0)
        assert (first.kind, first.subject, first.text, first.details) == ("node", "vm-us", "has started", {})
        store.events.add("instance", "c1-0001", "is healthy", health="healthy")
        store.events.add("instance", "c1-0002", "is healthy", health="healthy")
        assert [event.subject for event in reader.events.after(first.number)] == ["c1-0001", "c1-0002"]
        assert [event.number for event in reader.events.after(0)] == [1, 2, 3]
        assert [event.subject for event in reader.events.after(0, limit=2)] == ["vm-us", "c1-0001"]


def test_the_oldest_are_forgotten_and_no_number_is_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "KEPT", 3)
    with Store.open("bed", create=True) as store:
        for index in range(5):
            store.events.add("node", f"n{index}", "has started")
        assert [(event.number, event.subject) for event in store.events.after(0)] == [(3, "n2"), (4, "n3"), (5, "n4")]


def test_what_is_taken_back_has_not_happened() -> None:
    with Store.open("bed", create=True) as store:
        with suppress(KeyError), store.transaction():
            store.events.add("node", "vm-us", "has started")
            raise KeyError
        assert store.events.after(0) == []
