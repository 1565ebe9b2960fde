from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.api.contract.filters import EVERYTHING, aip160
from testbed.api.contract.listing import AIP, COMPUTE, ListingRules, order, page
from testbed.errors import InvalidArgument

quick = settings(max_examples=60)
values = st.none() | st.integers(-2, 2) | st.sampled_from(["a", "b", "10", "9", "2024-01-01T00:00:00Z"])
items = st.dictionaries(st.text("abc", min_size=1, max_size=2), values, max_size=9).map(
    lambda found: [{"name": name, "size": value} for name, value in found.items()]
)
orders = st.sampled_from(["", "name", "name desc", "size", "size desc", "size desc, name", "name,size desc"])


def names(found: Any) -> list[str]:
    return [item["name"] for item in found]


def all_pages(found: list[dict[str, Any]], sizes: list[int], **query: Any) -> list[Mapping[str, Any]]:
    result: list[Mapping[str, Any]] = []
    token = ""
    for number in range(1 + len(found)):
        one = page(found, size=sizes[number % len(sizes)], token=token, **query)
        result += one.items
        token = one.next_token
        if not token:
            return result
    raise AssertionError("there are more pages than items")


@given(items, st.lists(st.integers(1, 4), min_size=1, max_size=3), orders)
@quick
def test_all_pages_together_give_each_item_once(found: list[dict[str, Any]], sizes: list[int], order_by: str) -> None:
    assert all_pages(found, sizes, order_by=order_by) == list(page(found, order_by=order_by).items)
    assert sorted(names(all_pages(found, sizes, order_by=order_by))) == sorted(names(found))


@given(items, items, st.integers(1, 3), orders)
@quick
def test_what_stays_is_seen_once_whatever_comes_and_goes(
    found: list[dict[str, Any]], others: list[dict[str, Any]], size: int, order_by: str
) -> None:
    first = page(found, size=size, order_by=order_by)
    if not first.next_token:
        return
    kept = [item for item in found if item not in first.items][::2]
    changed = kept + [item for item in others if item["name"] not in names(found)]
    second = page(changed, token=first.next_token, order_by=order_by)
    assert set(names(kept)) <= set(names(second.items))
    assert not set(names(first.items)) & set(names(second.items))


@pytest.mark.parametrize(
    ("order_by", "expected"),
    [
        ("", ["a", "b", "c"]),
        ("name desc", ["c", "b", "a"]),
        ("size", ["a", "c", "b"]),
        ("size desc,name", ["b", "c", "a"]),
        ("  zone.id   desc ,  name ", ["a", "b", "c"]),
        ("create_time", ["b", "a", "c"]),
    ],
)
def test_the_order(order_by: str, expected: list[str]) -> None:
    found: list[dict[str, Any]] = [
        {"name": "c", "size": "9", "createTime": "2024-01-01T00:00:00.5Z"},
        {"name": "a", "zone": {"id": 3}, "createTime": "2024-01-01T00:00:00Z"},
        {"name": "b", "size": "10", "createTime": "2024-01-01T00:30:00+01:00"},
    ]
    assert names(page(found, order_by=order_by).items) == expected


@pytest.mark.parametrize(
    "text", ["name asc", "name,", ",", "name name", "1", "name desc desc", "a..b", "name,name desc"]
)
def test_what_is_no_order_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="Invalid order_by"):
        order(text)


@pytest.mark.parametrize("text", ["creationTimestamp", "name desc", "size", "name, creationTimestamp desc"])
def test_compute_has_two_orders(text: str) -> None:
    assert order("name", COMPUTE)
    assert order("creationTimestamp  desc", COMPUTE)
    with pytest.raises(InvalidArgument, match=r"Invalid value for field 'orderBy': '.+'\."):
        order(text, COMPUTE)


def test_the_size() -> None:
    found = [{"name": f"n{number}"} for number in range(10)]
    assert len(page(found, size=0, maximum=4).items) == 4
    assert len(page(found, size=9, maximum=4).items) == 4
    assert len(page(found, size=3, maximum=4).items) == 3
    assert not page(found, size=10).next_token
    with pytest.raises(InvalidArgument):
        page(found, size=-1)


def test_compute_refuses_a_size_over_its_maximum() -> None:
    found = [{"name": "a"}]
    for size in (0, 1, 500):
        assert page(found, size=size, rules=COMPUTE).items == ({"name": "a"},)
    for size in (-1, 501):
        with pytest.raises(InvalidArgument, match=re.escape(f"'maxResults': '{size}'")):
            page(found, size=size, rules=COMPUTE)


THREE = [{"name": "a"}, {"name": "b"}, {"name": "c"}]


def test_the_filter_counts_before_the_size() -> None:
    assert names(page(THREE, size=2, predicate=aip160("name != a")).items) == ["b", "c"]


@pytest.mark.parametrize(
    "other",
    [
        {"predicate": aip160("name != a")},
        {"order_by": "name desc"},
        {"collection": "projects/p/locations/other"},
        {"predicate": EVERYTHING, "order_by": "name"},
    ],
)
def test_a_token_is_good_for_its_own_request_only(other: dict[str, Any]) -> None:
    query: dict[str, Any] = {"collection": "projects/p/locations/l"}
    token = page(THREE, size=1, **query).next_token
    assert names(page(THREE, size=2, token=token, **query).items) == ["b", "c"]
    with pytest.raises(InvalidArgument, match="Page token is invalid"):
        page(THREE, size=1, token=token, **(query | other))


def test_a_token_is_opaque_and_fits_a_url() -> None:
    token = page([{"name": f"connector-{number}"} for number in range(3)], size=1).next_token
    assert re.fullmatch(r"[\w-]+", token)
    assert "connector" not in token


@pytest.mark.parametrize("rules", [AIP, COMPUTE])
@given(token=st.text("aé \ud800/+%", min_size=1, max_size=9) | st.text("abcXYZ019-_=", min_size=1, max_size=60))
@quick
def test_no_made_up_token_is_taken(rules: ListingRules, token: str) -> None:
    with pytest.raises(InvalidArgument, match=r"(?i)page token is invalid"):
        page(THREE, token=token, rules=rules)


@given(st.data())
@quick
def test_no_changed_token_is_taken(data: st.DataObject) -> None:
    token = page(THREE, size=1).next_token
    at = data.draw(st.integers(0, len(token) - 2))  # the last character has bits that mean nothing
    changed = token[:at] + data.draw(st.sampled_from("aZ0_-").filter(lambda one: one != token[at])) + token[at + 1 :]
    with pytest.raises(InvalidArgument):
        page(THREE, token=changed)


def test_items_may_have_another_key() -> None:
    found = [{"name": "x", "zone": "b"}, {"name": "x", "zone": "a"}]
    first = page(found, size=1, key=lambda item: str(item["zone"]))
    second = page(found, size=1, token=first.next_token, key=lambda item: str(item["zone"]))
    assert (first.items[0]["zone"], second.items[0]["zone"], second.next_token) == ("a", "b", "")
