"""One page of a list method: filtered, ordered, and continued where the last page ended (AIP-132, AIP-158).

Pages follow the keys of the items, not their numbers: what comes or goes between two requests neither repeats an item
nor hides one.
"""

from __future__ import annotations

import json
import re
import zlib
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import total_ordering
from hashlib import blake2b
from typing import Any

from testbed.api.contract.filters import EVERYTHING, Filter
from testbed.api.contract.filters.fields import Path, member, parent
from testbed.api.contract.filters.scalars import instant, whole
from testbed.api.contract.masks import camel
from testbed.errors import GoogleText, InvalidArgument
from testbed.json_object import Json

Resource = Mapping[str, Any]
Term = tuple[Path, bool]
"""A field to order by, and whether in descending order."""

_FIELD = re.compile(r"([A-Za-z_]\w*(?:\.[\w-]+)*)(?:\s+(desc))?", re.ASCII)
_DIGEST = 9
_MAX_POSITION = 65536
_SALT = b"testbed.listing"  # no secret: it keeps the tokens of other software, and accidents, apart from ours


@dataclass(frozen=True, slots=True)
class Page:
    """Some items of a list."""

    items: tuple[Resource, ...]
    next_token: str
    """The token of the page that follows; empty after the last one ("the only way to communicate end-of-collection",
    AIP-158)."""

    def answer(self, field: str, *, always: bool = False) -> Json:
        """The page as it is printed; without items, Google's servers leave the field out, if not `always`."""
        items = {field: list(self.items)} if self.items or always else {}
        return {**items, **self.following}

    @property
    def following(self) -> dict[str, str]:
        """What leads to the page that follows."""
        return {"nextPageToken": self.next_token} if self.next_token else {}


@dataclass(frozen=True, slots=True)
class ListingRules:
    """How a family of services words its errors and what it takes as a size or an order."""

    size_field: str
    token_error: Callable[[str], str]
    order_error: Callable[[str], str]
    over_maximum: bool
    """Whether a size above the maximum is cut down to it ("should coerce down", AIP-158), not refused."""
    orders: frozenset[str] | None = None
    """The only orders there are; None if any field will do."""


AIP = ListingRules(
    size_field="page_size",
    token_error=lambda _: "Page token is invalid.",
    order_error=lambda text: f"Invalid order_by: '{text}'.",
    over_maximum=True,
)
"""The services that follow the AIPs."""

COMPUTE = ListingRules(
    size_field="maxResults",
    token_error=lambda text: f"Invalid value for field 'pageToken': '{text}'. The page token is invalid.",
    order_error=lambda text: f"Invalid value for field 'orderBy': '{text}'. Unsupported sort order.",
    over_maximum=False,
    orders=frozenset({"", "name", "creationTimestamp desc"}),
)
"""Compute: "only sorting by `name` or `creationTimestamp desc` is supported"; `maxResults` is 0 to 500 (compute v1)."""


def by_name(item: Resource) -> str:
    """The key of most collections: the item's `name`, which is unique in it."""
    return str(item["name"])


def page(
    items: Iterable[Resource],
    *,
    size: int = 0,
    token: str = "",
    order_by: str = "",
    predicate: Filter = EVERYTHING,
    maximum: int = 500,
    key: Callable[[Resource], str] = by_name,
    collection: str = "",
    rules: ListingRules = AIP,
) -> Page:
    """At most `size` items (0: `maximum`) that pass the filter, from where `token` says.

    `key` tells the items apart and orders them where `order_by` does not. A token continues the request that it came
    from: the same `collection` (the parent's name), filter and order; the size may change (AIP-158). Raises
    InvalidArgument for a size, order or token that is not valid.
    """
    limit = _limit(size, maximum, rules)
    terms = order(order_by, rules)
    request = json.dumps([collection, predicate.text, terms]).encode()
    found = sorted(
        ((_Position(_values(item, terms, key), terms), item) for item in items if predicate(item)),
        key=lambda pair: pair[0],
    )
    if token:
        after = _Position(_opened(token, request, len(terms) + 1, rules), terms)
        found = [(position, item) for position, item in found if after < position]
    more = len(found) > limit
    return Page(
        items=tuple(item for _, item in found[:limit]),
        next_token=_sealed(found[limit - 1][0].values, request) if more else "",
    )


def order(text: str, rules: ListingRules = AIP) -> tuple[Term, ...]:
    """The fields of an `order_by`: separated by commas, ` desc` for descending, white space as one likes (AIP-132)."""
    spelled = " ".join(text.split())
    if not spelled:
        return ()
    found = [_FIELD.fullmatch(part.strip()) for part in spelled.split(",")]
    terms = tuple((tuple(camel(name) for name in one[1].split(".")), one[2] is not None) for one in found if one)
    names = [".".join(path) for path, _ in terms]
    if len(terms) < len(found) or len(set(names)) < len(names):
        raise InvalidArgument(rules.order_error(text))
    if rules.orders is not None and ",".join(f"{'.'.join(p)}{' desc' * down}" for p, down in terms) not in rules.orders:
        raise InvalidArgument(rules.order_error(text))
    return terms


def _limit(size: int, maximum: int, rules: ListingRules) -> int:
    if size < 0 or (size > maximum and not rules.over_maximum):
        within = "not be negative" if rules.over_maximum else f"be within the range: [0, {maximum}]"
        raise InvalidArgument(
            GoogleText(f"Invalid value for field '{rules.size_field}': '{size}'. Values must {within}.")
        )
    return min(size or maximum, maximum)


def _values(item: Resource, terms: tuple[Term, ...], key: Callable[[Resource], str]) -> list[Any]:
    """What an item is ordered by, as JSON has it; the key comes last."""
    values = []
    for path, _ in terms:
        holder = parent(item, path)
        value = None if holder is None else member(holder, path[-1])
        values.append(value if isinstance(value, str | int | float) else None)
    return [*values, key(item)]


@total_ordering
@dataclass(frozen=True, slots=True)
class _Position:
    """Where an item stands among the others."""

    values: list[Any]
    terms: tuple[Term, ...]

    def __lt__(self, other: _Position) -> bool:
        down = [descending for _, descending in self.terms]
        *mine, my_key = self.values
        *theirs, their_key = other.values
        for left, right, descending in zip(map(_rank, mine), map(_rank, theirs), down, strict=True):
            if left != right:
                return (left > right) == descending
        return bool(my_key < their_key)


def _rank(value: Any) -> tuple[int, Any]:
    """A value such that any two compare: what is not set comes first, moments go by time and not by their text."""
    if value is None or isinstance(value, int | float):  # an unset number is 0, an unset boolean false
        return 0, value or 0
    moment, integer = instant(value), whole(value)
    if integer is not None:
        return 0, integer
    return (1, moment) if moment else (2, value)


def _sealed(values: list[Any], request: bytes) -> str:
    """A token: opaque (compressed, so that nobody reads and relies on it) and good for one request only."""
    position = zlib.compress(json.dumps(values).encode(), wbits=-15)
    return urlsafe_b64encode(_digest(position, request) + position).decode().rstrip("=")


def _opened(token: str, request: bytes, length: int, rules: ListingRules) -> list[Any]:
    try:
        raw = b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        digest, position = raw[:_DIGEST], raw[_DIGEST:]
        if digest == _digest(position, request):
            values = json.loads(zlib.decompressobj(wbits=-15).decompress(position, _MAX_POSITION))
            if isinstance(values, list) and len(values) == length and isinstance(values[-1], str):
                return [value if isinstance(value, str | int | float) else None for value in values]
    except (ValueError, zlib.error, RecursionError):  # not base64, not compressed, not JSON: not ours
        pass
    raise InvalidArgument(rules.token_error(token))


def _digest(position: bytes, request: bytes) -> bytes:
    return blake2b(position, digest_size=_DIGEST, key=blake2b(_SALT + request).digest()).digest()
