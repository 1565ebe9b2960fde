from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.api.contract.masks import apply, camel, merge, paths, snake
from testbed.errors import InvalidArgument

KNOWN = {"name", "labels", "minInstances", "vpcAccess.connector", "vpcAccess.egress", "containers", "uid"}
CURRENT: dict[str, Any] = {
    "name": "n",
    "labels": {"env": "prod", "team": "net"},
    "minInstances": 2,
    "vpcAccess": {"connector": "c", "egress": "ALL"},
    "containers": [{"image": "i"}],
    "uid": "u",
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(st.sampled_from("abc"), json_values, max_size=3)
quick = settings(max_examples=60)


@pytest.mark.parametrize(
    ("snaky", "camelish"),
    [
        ("ip_cidr_range", "ipCidrRange"),
        ("name", "name"),
        ("I_p_address", "IPAddress"),  # compute's own spelling in protocol buffers
        ("nat_i_p", "natIP"),
    ],
)
def test_both_spellings(snaky: str, camelish: str) -> None:
    assert camel(snaky) == camelish
    assert camel(camelish) == camelish
    assert snake(camelish) == snaky


@given(st.text("aB_1", max_size=8))
@quick
def test_the_json_spelling_is_final(name: str) -> None:
    assert camel(camel(name)) == camel(name)


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        ("", ()),
        ("  ", ()),
        ("name", (("name",),)),
        ("min_instances, labels.my_key", (("minInstances",), ("labels", "my_key"))),
        ("labels.`a.b, c`,name", (("labels", "a.b, c"), ("name",))),
        ("*", (("*",),)),
        ("name,name", (("name",),)),
    ],
)
def test_a_mask_is_read(mask: str, expected: tuple[tuple[str, ...], ...]) -> None:
    assert paths(mask) == expected


@pytest.mark.parametrize(
    "mask", [",", "name,", ",name", "a..b", ".a", "a.", "a b", "*,name", "authors.*.name", "1", "`a"]
)
def test_what_is_no_mask_is_refused(mask: str) -> None:
    with pytest.raises(InvalidArgument, match="field mask"):
        paths(mask)


@given(st.text(" ab.,*`_\u00e9", max_size=12))
@quick
def test_no_text_breaks_the_parser(mask: str) -> None:
    try:
        found = paths(mask)
    except InvalidArgument:
        return
    assert all(found)


@pytest.mark.parametrize(
    ("patch", "mask", "change"),
    [
        ({"minInstances": 5, "uid": "ignored"}, "minInstances", {"minInstances": 5}),
        ({"min_instances": 5}, "min_instances", {"minInstances": 5}),
        ({}, "minInstances", {"minInstances": None}),
        ({"minInstances": None}, "minInstances", {"minInstances": None}),
        ({"labels": {"env": "dev"}}, "labels", {"labels": {"env": "dev"}}),
        ({"labels": {"env": "dev"}}, "labels.env", {"labels": {"env": "dev", "team": "net"}}),
        ({"labels": {"env": "dev"}}, "labels.team", {"labels": {"env": "prod"}}),
        ({}, "labels.team", {"labels": {"env": "prod"}}),
        ({"labels": {"my_key": "x"}}, "labels.my_key", {"labels": {**CURRENT["labels"], "my_key": "x"}}),
        ({"vpcAccess": {"egress": "X"}}, "vpc_access.egress", {"vpcAccess": {"connector": "c", "egress": "X"}}),
        ({"vpcAccess": {"egress": "X"}}, "vpcAccess", {"vpcAccess": {"egress": "X"}}),
        ({"containers": []}, "containers", {"containers": []}),
        ({"minInstances": 5, "labels": None}, "", {"minInstances": 5}),
    ],
)
def test_a_mask_says_what_changes(patch: dict[str, Any], mask: str, change: dict[str, Any]) -> None:
    expected = {name: value for name, value in {**CURRENT, **change}.items() if value is not None}
    assert apply(CURRENT, patch, paths(mask), known=KNOWN) == expected


def test_the_star_replaces_all_that_is_known_and_keeps_output() -> None:
    current = {**CURRENT, "internal": 1}
    result = apply(current, {"name": "n", "labels": {}}, paths("*"), known=KNOWN, output_only={"uid"})
    assert result == {"name": "n", "labels": {}, "uid": "u", "internal": 1}


def test_output_only_fields_stay_within_what_is_replaced() -> None:
    patch = {"uid": "mine", "vpcAccess": {"connector": "d", "egress": "mine"}}
    result = apply(CURRENT, patch, paths("uid,vpcAccess"), known=KNOWN, output_only={"uid", "vpcAccess.egress"})
    assert result == {**CURRENT, "vpcAccess": {"connector": "d", "egress": "ALL"}}


@pytest.mark.parametrize(
    "mask", ["nope", "vpcAccess.nope", "containers.0", "containers.0.image", "minInstances.x", "name.x"]
)
def test_a_path_that_leads_nowhere_is_refused(mask: str) -> None:
    with pytest.raises(InvalidArgument, match="field mask"):
        apply(CURRENT, {"containers": [{"image": "j"}]}, paths(mask), known=KNOWN)


@pytest.mark.parametrize("mask", ["", "*"])
def test_an_unknown_field_is_refused_where_all_fields_count(mask: str) -> None:
    assert apply(CURRENT, {"nope": 1}, paths("name"), known=KNOWN)
    with pytest.raises(InvalidArgument, match="no field 'nope'"):
        apply(CURRENT, {"nope": 1}, paths(mask), known=KNOWN)


def test_what_is_known_may_be_a_function() -> None:
    assert apply({}, {"a": 1}, paths("a"), known=lambda path: path == "a") == {"a": 1}
    with pytest.raises(InvalidArgument):
        apply({}, {"a": 1}, paths("b"), known=lambda path: path == "a")


@given(objects, objects, st.sampled_from(["", "a", "a,b", "*", "a,b,c"]))
@quick
def test_an_update_repeats_and_touches_nothing_given(current: dict[str, Any], patch: dict[str, Any], mask: str) -> None:
    before = deepcopy((current, patch))
    once = apply(current, patch, paths(mask), known={"a", "b", "c"})
    assert apply(once, patch, paths(mask), known={"a", "b", "c"}) == once
    once["a"] = {"changed": once.get("a")}
    for value in once.values():
        if isinstance(value, list):
            value.append("changed")
    assert (current, patch) == before


@given(objects.map(lambda found: merge({}, found)), st.sampled_from(["a", "a.b", "a.b.c", "a,b.c", "*", ""]))
@quick
def test_what_was_read_and_is_written_back_changes_nothing(current: dict[str, Any], mask: str) -> None:
    try:
        result = apply(current, current, paths(mask), known={"a", "b", "c"})
    except InvalidArgument:  # the path leads into a list or a plain value
        assert "." in mask
    else:
        assert result == current


# RFC 7396, appendix A, those whose root is an object
@pytest.mark.parametrize(
    ("current", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({"a": "foo"}, {"b": {"c": None}}, {"a": "foo", "b": {}}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch(current: dict[str, Any], patch: dict[str, Any], result: dict[str, Any]) -> None:
    assert merge(current, patch) == result


@given(objects, objects)
@quick
def test_a_merge_repeats_and_touches_nothing_given(current: dict[str, Any], patch: dict[str, Any]) -> None:
    before = deepcopy((current, patch))
    once = merge(current, patch)
    assert merge(once, patch) == once
    assert (current, patch) == before
