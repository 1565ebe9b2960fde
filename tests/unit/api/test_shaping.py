"""Partial responses, and enums as numbers."""

from __future__ import annotations

from typing import Any

import pytest

from testbed.api.contract.discovery import document
from testbed.api.contract.shaping import selected, selection, shape
from testbed.errors import InvalidArgument

LIST = {
    "kind": "list",
    "items": [{"name": "a", "id": 1, "more": {"x": 1, "y": 2}}, {"name": "b", "id": 2}],
    "nextPageToken": "t",
}
METHODS = {method.id: method for method in document("vpcaccess.v1").methods}
LISTED = METHODS["vpcaccess.projects.locations.connectors.list"]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("kind", {"kind": "list"}),
        ("items/name,nextPageToken", {"items": [{"name": "a"}, {"name": "b"}], "nextPageToken": "t"}),
        ("items(name,id)", {"items": [{"name": "a", "id": 1}, {"name": "b", "id": 2}]}),
        ("items(name,more/x)", {"items": [{"name": "a", "more": {"x": 1}}, {"name": "b"}]}),
        ("items/*/y", {"items": [{"more": {"y": 2}}, {}]}),
        ("items.more.x", {"items": [{"more": {"x": 1}}, {}]}),
        ("items/name,items/id", {"items": [{"name": "a", "id": 1}, {"name": "b", "id": 2}]}),
        ("items,items/id", {"items": LIST["items"]}),
        ("items/id,items", {"items": LIST["items"]}),
        ("next_page_token", {"nextPageToken": "t"}),
        ("*", LIST),
    ],
)
def test_a_part_of_an_answer(text: str, part: dict[str, Any]) -> None:
    assert selected(LIST, selection(text)) == part


@pytest.mark.parametrize("text", ["a,", "a(b", "a)b", "/a", "a//b", "a b", "(", "a(" * 40, "a b(c)", "ü"])
def test_what_selects_nothing_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="Invalid field selection"):
        selection(text)


def test_a_field_that_the_answer_cannot_have_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="Invalid field selection colour"):
        shape(LISTED, {"fields": "connectors/colour"})
    assert shape(LISTED, {"fields": "connectors/name"})({"connectors": [{"name": "c", "state": "READY"}]}) == {
        "connectors": [{"name": "c"}]
    }


def test_enums_have_numbers_if_they_are_asked_for() -> None:
    answer = {"connectors": [{"name": "c", "state": "READY"}]}
    assert shape(LISTED, {"$alt": "json;enum-encoding=int"})(answer) == {"connectors": [{"name": "c", "state": 1}]}
    assert shape(LISTED, {"$alt": "json"})(answer) == answer
