"""The testbed's clock, and how a person says for how long."""

from __future__ import annotations

import time

import pytest

from testbed.cli.duration import seconds, words
from testbed.control.state.clock import LONGEST
from testbed.control.state.store import Store
from testbed.errors import InvalidArgument


def test_it_is_put_forward_for_all_and_adds_up() -> None:
    with Store.open("bed", create=True) as store, Store.open("bed") as other:
        assert store.clock.ahead == 0
        store.clock.advance(60)
        other.clock.advance(30)
        assert store.clock.ahead == other.clock.ahead == 90
        assert store.clock.now() >= time.time() + 89
        store.events.add("clock", "the clock", "was put forward")
        assert store.events.after(0)[0].at >= time.time() + 89


@pytest.mark.parametrize("step", [0, -1, LONGEST + 1, float("nan")])
def test_it_goes_neither_back_nor_out_of_sight(step: float) -> None:
    with Store.open("bed", create=True) as store:
        with pytest.raises(InvalidArgument, match="clock: cannot be put forward"):
            store.clock.advance(step)
        assert store.clock.ahead == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", 90), ("20m", 1200), ("1h30m", 5400), ("2d", 172800), ("1.5h", 5400), ("30", 30)],
)
def test_durations_are_read(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "m", "20 m", "-5s", "5x", "1h-3m", "٣s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="is not a duration"):
        seconds(text)


def test_durations_are_written() -> None:
    assert [words(value) for value in (0, 90, 5400, 172800.2)] == ["0s", "1m30s", "1h30m", "2d"]
