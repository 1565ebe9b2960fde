from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.api.contract.filters import Filter, aip160, compute, logging
from testbed.api.contract.filters.charsets import PatternError
from testbed.api.contract.filters.patterns import Pattern
from testbed.errors import InvalidArgument

quick = settings(max_examples=60)

THING: dict[str, Any] = {
    "name": "projects/p/locations/l/connectors/web-1",
    "displayName": "Web Front",
    "state": "READY",
    "minInstances": 2,
    "ratio": 0.5,
    "done": True,
    "paused": False,
    "id": "12345678901234567890",
    "serial": "007",
    "createTime": "2024-05-01T10:00:00.123456789Z",
    "timeout": "90s",
    "labels": {"env": "prod", "empty": "", "my_key": "x", "a-b": "c"},
    "tags": ["web", "db"],
    "ports": [80, 443],
    "disks": [{"size": 10, "name": "boot"}, {"size": 20}],
    "subnet": {"name": "s", "projectId": "q", "deep": {"er": 1}},
    "nothing": None,
    "none": [],
}


@pytest.mark.parametrize("text", ["", "  \t"])
def test_no_filter_lets_everything_pass(text: str) -> None:
    assert aip160(text)({})
    assert compute(text)({})


@pytest.mark.parametrize(
    "text",
    [
        # bare words
        "web-1",
        "FRONT",
        '"web front"',
        "web ready",
        "we*front",
        "12345",
        "2",
        "boot",
        "0.5",
        "-absent",
        # comparisons
        "state = READY",
        'state="READY"',
        "state='READY'",
        "state != STOPPED",
        "display_name = 'Web Front'",
        "displayName = 'Web*'",
        'name = "*/connectors/*"',
        'name = "projects/*/web-1"',
        "name != 'projects/*/web-2'",
        "minInstances = 2",
        "minInstances = 2.0",
        "min_instances >= 2 min_instances < 3",
        "minInstances<1e1",
        "minInstances > -3",
        "ratio = 5e-1",
        "ratio <= .5",
        "done = true",
        "done != false",
        "paused = false",
        "id > 9",
        "id = 12345678901234567890",
        "serial = 007",
        "serial != 7",
        "displayName > Vet",
        # moments and durations
        'createTime > "2024-05-01T09:59:59Z"',
        "createTime = 2024-05-01T12:00:00.123456789+02:00",
        "createTime < 2024-05-01T10:00:00.123456790Z",
        "createTime > 2024-05-01T10:00:00.123456788Z",
        "timeout > 9s",
        "timeout = 90.0s",
        # traversal and maps
        "labels.env = prod",
        "labels.env = pr*",
        "labels.my_key = x",
        "labels.a-b = c",
        'labels."env" = prod',
        "subnet.project_id = q",
        "subnet.deep.er < 2",
        # has
        "labels:env",
        "labels.env:*",
        "labels.empty:*",
        "labels.env:prod",
        "tags:web",
        "tags:w*",
        "ports:80",
        "disks.size:20",
        "disks.name:boot",
        "subnet:project_id",
        "state:*",
        "state:READY",
        "done:true",
        "absent:false",
        "labels.env:(dev OR prod)",
        "tags:(web AND db)",
        "tags:(web NOT dev)",
        # null and unset
        "absent = null",
        "nothing = null",
        "state != null",
        "absent.below = null",
        "absent = false",
        "absent = 0",
        "absent < 1",
        'absent = ""',
        "absent != x",
        "labels.absent != x",
        "subnet.absent != x",
        "NOT absent:*",
        "-paused:*",
        "-none:*",
        "NOT absent.below != x",
        # logic
        "state = READY AND done = true",
        "state = READY done = true",
        "state = NO OR done = true",
        "(state = NO OR done = true)(ports:80)",
        "done = true OR state = NO AND state = READY",
        "NOT (state = NO AND done = true)",
        "-state=NO",
        "NOT state = NO",
        "state = (NO OR READY)",
    ],
)
def test_what_aip160_matches(text: str) -> None:
    assert aip160(text)(THING)


@pytest.mark.parametrize(
    "text",
    [
        "absent",
        "web absent",
        "-web",
        "state = ready",
        "state = READ",
        "state != READY",
        "displayName = Web",
        "displayName = '*Web'",
        r"displayName = 'Web\*'",
        'displayName = "ab*ab"',
        "minInstances = 3",
        "minInstances = two",
        "minInstances < two",
        "minInstances = true",
        "done = yes",
        "done > false",
        "done = false",
        "id < 9",
        "serial = 7",
        "createTime < 2024-05-01T10:00:00.123456789Z",
        "createTime = 2024-13-01T10:00:00Z",
        "timeout < 100",
        "tags = web",
        "tags != web",
        "disks.size = 20",
        "disks.size > 5",
        "tags:we",
        "tags:*x",
        "ports:8",
        "disks.size:30",
        "labels:absent",
        "labels.absent:*",
        "absent:*",
        "paused:*",
        "none:*",
        "none:x",
        "labels = prod",
        "labels.env.below = x",
        "labels.env = dev",
        "absent.below = x",
        "absent.below != x",
        "absent = *",
        "absent < 2024-05-01T10:00:00Z",
        "absent != 2024-05-01T10:00:00Z",
        "absent > 9s",
        "state = null",
        "absent != null",
        "absent < null",
        "done = true AND state = NO OR paused = true",
        "state = (NO OR STOPPED)",
        "labels.env:(prod AND dev)",
    ],
)
def test_what_aip160_does_not_match(text: str) -> None:
    assert not aip160(text)(THING)


def test_what_is_not_set_differs_in_compute() -> None:
    """So gcloud counts on it: of what a filter of the server lets through, it filters once more itself."""
    assert compute("absent.below != x")(THING)
    assert compute("absent.below ne x")(THING)
    assert not compute("absent.below = x")(THING)
    assert not compute("absent.below != null")(THING)


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("a = ", 4),
        ("= b", 0),
        ("a AND", 5),
        ("AND a", 0),
        ("a OR", 4),
        ("a OR OR b", 5),
        ("NOT", 3),
        ("--a", 1),
        ("(a", 0),
        ("a)", 1),
        ("()", 1),
        ("a = 'b", 4),
        ("a = b = c", 6),
        ("a == b", 3),
        ("a ! b", 2),
        ("a.b. = c", 4),
        (".a", 0),
        ("1a = b", 0),
        ("a[0].b = c", 0),
        ("a.* = c", 0),
        ("matches(a)", 7),
        ("a = now()", 7),
        ('a="b"c', 5),
        ("a = AND", 4),
        ("name:(a, b)", 7),
        ("(" * 60 + "a" + ")" * 60, 50),
        ("a" * 5000, 4096),
    ],
)
def test_a_malformed_filter_says_where(text: str, position: int) -> None:
    with pytest.raises(InvalidArgument, match=rf"^filter: .+ at position {position}$"):
        aip160(text)


@pytest.mark.parametrize("language", [aip160, compute])
def test_only_known_fields_if_they_are_given(language: Callable[..., Filter]) -> None:
    for text in ("display_name = x", "displayName.any != x"):
        language(text, known={"displayName"})
    for text in ("other = x", "a.displayName:x"):
        with pytest.raises(InvalidArgument):
            language(text, known={"displayName"})


# a reference: filters as trees, printed, and evaluated by the definition

Tree = tuple[Any, ...]
FIELDS: dict[str, list[Any]] = {"one": [-1, 0, 1, 2], "two": ["", "a", "ab", "b"], "m.three": ["x", "y"]}
SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    ":": lambda a, b: a == b,
}
terms = st.sampled_from(sorted(FIELDS)).flatmap(
    lambda field: st.tuples(
        st.just("is"), st.just(field), st.sampled_from(sorted(SIGNS)), st.sampled_from(FIELDS[field])
    )
)
trees: st.SearchStrategy[Tree] = st.recursive(
    terms,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["and", "or", "beside"]), inner, inner),
        st.tuples(st.sampled_from(["not", "minus"]), inner),
    ),
    max_leaves=6,
)


def printed(tree: Tree, above: str = "") -> str:
    if tree[0] == "is":
        _, field, sign, value = tree
        return f'{field}{sign}"{value}"' if isinstance(value, str) else f"{field} {sign} {value}"
    if tree[0] in {"not", "minus"}:
        return {"not": "NOT ", "minus": "-"}[tree[0]] + f"({printed(tree[1])})"
    joined = {"and": " AND ", "or": " OR ", "beside": " "}[tree[0]].join(printed(one, tree[0]) for one in tree[1:])
    # OR binds tighter, so what AND joins needs parentheses in it, and OR needs none anywhere
    return f"({joined})" if tree[0] != "or" and above == "or" else joined


def holds(tree: Tree, resource: dict[str, Any]) -> bool:
    if tree[0] == "is":
        _, field, sign, value = tree
        return SIGNS[sign](resource["m"]["three"] if "." in field else resource[field], value)
    parts = [holds(one, resource) for one in tree[1:]]
    if tree[0] in {"not", "minus"}:
        return not parts[0]
    return any(parts) if tree[0] == "or" else all(parts)


@given(trees, st.tuples(*(st.sampled_from(FIELDS[field]) for field in ("one", "two", "m.three"))))
@quick
def test_a_printed_tree_means_what_it_meant(tree: Tree, values: tuple[Any, ...]) -> None:
    resource = {"one": values[0], "two": values[1], "m": {"three": values[2]}}
    assert aip160(printed(tree))(resource) == holds(tree, resource)
    without_has = printed(tree).replace(":", "=")  # compute's finds parts of strings
    assert compute(without_has)(resource) == holds(tree, resource)


# compute

VM: dict[str, Any] = {
    "name": "debian-12-v3",
    "id": "42",
    "zone": "https://www.googleapis.com/compute/v1/projects/p/zones/us-central1-b",
    "cpuPlatform": "Intel Skylake",
    "scheduling": {"automaticRestart": True, "minNodeCpus": 3},
    "labels": {"owner": "", "env": "prod"},
    "canIpForward": False,
    "sourceRanges": ["0.0.0.0/0"],
}


@pytest.mark.parametrize(
    "text",
    [
        "name != example-instance",
        '(name = "debian-12-v3")',
        "labels.owner:*",
        "scheduling.automaticRestart = true",
        '(scheduling.automaticRestart = true) (cpuPlatform = "Intel Skylake")',
        '(scheduling.automaticRestart = true)(cpuPlatform = "Intel Skylake")',
        '(cpuPlatform = "Intel Skylake") OR (cpuPlatform = "Intel Broadwell") AND (scheduling.automaticRestart = true)',
        '(cpuPlatform = "Intel Skylake") AND (name = y) OR -(name = z)',
        "name:debian",
        "name:12-v",
        "zone:us-central1",
        "cpu_platform:Intel",
        "NOT name = x",
        "id > 9",
        # patterns, as gcloud writes them
        'name eq ".*(^debian).*"',
        r'name eq ".*\bdebian\-12\-v3\b.*"',
        'name eq ".*(^deb.*|centos-.*$).*"',
        "name eq ^debian-12-v3$",
        "name eq ^debian(-.+)*-v.+",
        "name eq debian.*",
        "name eq 'debian-12-v3'",
        "name eq (debian-12-v3|b)",
        "(name eq (a|debian-12-v3))",
        r"name eq debian[-(]12[)-]v\d",
        "name ne .*instance",
        "id eq 42",
        "scheduling.automaticRestart eq true",
        "can_ip_forward eq false",
        "scheduling.minNodeCpus eq 3",
        r'(name eq ".*\bdebian.*")(scheduling.automaticRestart eq true)',
        r"(name eq debian.*) (id ne 43)",
        '(name eq debian.*)((id eq 42)(zone eq ".*us-central1-b"))',
        r'zone eq ".*\bus\-central1\-b\b.*"',
        "absent ne x",
        "labels.env eq pr.d",
    ],
)
def test_what_compute_matches(text: str) -> None:
    assert compute(text)(VM)


@pytest.mark.parametrize(
    "text",
    [
        "name = debian",
        "name:instance",
        "labels.absent:*",
        "(cpuPlatform = X) (scheduling.automaticRestart = true)",
        "name eq debian",
        "name eq ebian.*",
        "name eq (a|b)",
        "name ne debian.*",
        "(name eq debian.*)(id ne 42)",
        "absent eq .*",
        "sourceRanges eq .*",
        "scheduling.automaticRestart eq false",
    ],
)
def test_what_compute_does_not_match(text: str) -> None:
    assert not compute(text)(VM)


@pytest.mark.parametrize(
    "text",
    [
        "not-a-filter",
        "name",
        "name =",
        "name ~ x",
        "(name = x",
        "name eq",
        "name eq ",
        "(name eq )",
        "name eq 'x",
        "name eq x y",
        "name eq x)",
        "(name eq x",
        "(name eq x) AND (id eq y)",
        "(name eq x) OR (id eq y)",
        "NOT (name eq x)",
        "(name eq x) (id = y)",
        "(id = y) (name eq x)",
        "name eq (a",
        "name eq a**",
        "name eq *a",
        "name eq [b-a]",
        r"name eq (a)\1",
        "name eq (?=a)b",
        "name eq a{1001}",
        "name eq (((a{99}){99}){99})",
        "name eq (((){999}){999}){999}",
        "(" * 60 + "name eq a" + ")" * 60,
        "name eq " + "(" * 60 + ")" * 60,
        "name eq " + "a" * 5000,
    ],
)
def test_a_malformed_filter_of_compute_is_refused_in_its_words(text: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        compute(text)
    assert raised.value.message == f"Invalid value for field 'filter': '{text}'. Invalid list filter expression."
    assert "at position" in str(raised.value.hint)


# patterns

pieces = st.sampled_from(["a", "b", "-", ".", "[ab]", "[^a]", r"\w", r"\d", r"\b", "^", "$", "(?i)A", "[b-]", r"\-"])
patterns = st.recursive(
    pieces,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map("(?:{0[0]}|{0[1]})".format),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "*?", "{,2}"])).map("({0[0]}){0[1]}".format),
    ),
    max_leaves=5,
)


@given(patterns, st.text("abA-1", max_size=5))
@quick
def test_patterns_mean_what_they_mean_to_python(pattern: str, text: str) -> None:
    ours = pattern.replace("{,2}", "{0,2}")  # to RE2, {,2} is just text
    theirs = ours.replace("(?i)A", "(?i:A)").replace("$", r"\Z")
    assert Pattern(ours.replace("(?i)A", "(?i:A)")).automaton().matches(text) == bool(
        re.fullmatch(theirs, text, re.ASCII)
    )


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("a{,2}", "a{,2}", True),
        ("a$", "a\n", False),
        (".*(^b$).*", "ab", False),
        (".*(^b$).*", "b", True),
        (".", "\n", False),
        ("(?s).", "\n", True),
        ("(?i)straße", "STRAßE", True),
        ("(a(?i)b)c", "aBC", False),
        ("(?-i:a)|(?i:b)", "B", True),
        ("(?P<x>a)(?<y>b)", "ab", True),
        ("[[:alpha:]_]+", "ab_", True),
        ("[[:^digit:]]", "1", False),
        ("[]a]+", "]a", True),
        (r"[\]\d]+", "]1", True),
        (r"\x41\x{42}\n", "AB\n", True),
        (r"\Aa\z", "a", True),
        (r"a\Bb", "ab", True),
        (r"\w", "é", False),
        ("", "", True),
        ("|a", "", True),
        ("(|a)+", "aa", True),
    ],
)
def test_patterns_are_those_of_re2(pattern: str, text: str, expected: bool) -> None:
    assert Pattern(pattern).automaton().matches(text) == expected


def test_no_pattern_takes_long() -> None:
    """With backtracking it would be years: the test would end by its own time."""
    assert not compute("name eq ^debian(-.+)*-v.+")({"name": "debian" + "-" * 57})
    assert not compute("name eq (a*)*(a|aa)+(.*.*)*b")({"name": "a" * 2000})


@given(st.text(r"a[]()\^$*+?{},1|-.:d", max_size=12))
@quick
def test_no_pattern_breaks_the_parser(pattern: str) -> None:
    try:
        Pattern(pattern).automaton().matches("a1-.d")
    except PatternError:
        return


TOKENS = """name labels.env . = != < : * ( ) AND OR NOT - eq ne " ' \\ 1e9 true null [ é 5s ,
2024-01-01T00:00:00Z 9999-99-99T99:99:99Z"""
words = st.sampled_from([*TOKENS.split(), " ", "\n", "\ud800"])


@pytest.mark.parametrize("language", [aip160, compute])
@given(parts=st.lists(words, max_size=14), spaced=st.booleans())
@settings(max_examples=150)
def test_no_text_raises_anything_but_invalid_argument(
    language: Callable[[str], Filter], parts: list[str], spaced: bool
) -> None:
    text = (" " if spaced else "").join(parts)
    try:
        accepted = language(text)
    except InvalidArgument:
        return
    for resource in ({}, THING, VM, {"name": {"labels": 1}, "labels": [1, None, [2]]}):
        assert accepted(resource) in {True, False}


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("severity>=ERROR", {"ERROR", "CRITICAL"}),
        ("severity>=warning severity<CRITICAL", {"WARNING", "ERROR"}),
        ("severity=INFO", {"INFO"}),
        ("severity>=DEFAULT", {"DEFAULT", "INFO", "WARNING", "ERROR", "CRITICAL"}),
        ("severity=DEFAULT", {"DEFAULT"}),
    ],
)
def test_severities_have_an_order_of_their_own(text: str, passes: set[str]) -> None:
    known = ("DEFAULT", "INFO", "WARNING", "ERROR", "CRITICAL")
    chosen = logging(text)
    assert {one for one in known if chosen({} if one == "DEFAULT" else {"severity": one})} == passes


def test_a_severity_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="Unparseable filter: 'NOISE' is none of DEFAULT"):
        logging("severity>=NOISE")
