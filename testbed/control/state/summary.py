"""What a testbed's state says of itself, read without the machinery of the whole store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

from testbed.control.state.folders import names
from testbed.control.state.reading import reading
from testbed.errors import NotFound, Unavailable
from testbed.json_object import Json


def begun(name: str) -> bool:
    """Whether a topology may ever have been in effect; if not, nothing has been made."""
    try:
        return "topology" in _facts(name)
    except NotFound:
        return False
    except Unavailable:
        return True


def summary(name: str) -> Json:
    """Name, id, source, and whether the last `up` came to its end.

    Raises:
        NotFound: there is no such testbed, or a `down` is removing it.
        Unavailable: its state cannot be read, or is damaged.
    """
    facts = _facts(name)
    return {
        "name": name,
        "id": facts.get("id"),
        "source": facts.get("source", ""),
        "complete": facts.get("complete") == "yes",
    }


def ports_of_others(name: str) -> frozenset[int]:
    """The ports of all other testbeds, whether their controllers run or not: clients may still know them."""
    return frozenset(_ports(other for other in names() if other != name))


def _ports(testbeds: Iterable[str]) -> Iterator[int]:
    for name in testbeds:
        with suppress(NotFound, Unavailable):  # a `down` is removing it, or it has to be removed
            yield int(_facts(name).get("port") or 0)


def _facts(name: str) -> dict[str, str]:
    with reading(name) as connection:
        return dict(connection.execute("SELECT key, value FROM facts"))
