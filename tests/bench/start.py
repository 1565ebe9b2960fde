"""How long a testbed takes to come up, to see that nothing is to be done, and to go."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from tests.bench import bare
from tests.bench.figures import Figure, ratio, taken
from tests.bench.setting import Setting
from tests.e2e.program import Program
from tests.e2e.rest import Rest
from tests.e2e.small import small

EXAMPLE_TO_BARE = 2.0
SMALL_OVER_BARE = 1.5
"""Seconds."""
UNCHANGED = 0.4
"""Seconds."""
_RULE = "compute/v1/projects/demo-project/global/firewalls/vpc-allow-web"


def measure(setting: Setting) -> Iterator[Figure]:
    """The example, then a testbed of one service, one connector of two instances and one VM."""
    bed, example = setting.bed, setting.example()
    setting.up(bed, example)
    images = bare.images_of(bed)
    setting.run(bed, "down")
    up, least, unchanged, back, down = ([] for _ in range(5))
    for _ in range(setting.repeats):
        least.append(bare.start(images))
        up.append(taken(lambda: setting.up(bed, example)))
        unchanged.append(taken(lambda: setting.up(bed, example)))
        _change_a_rule(bed)
        back.append(taken(lambda: setting.up(bed, example)))
        down.append(taken(lambda: setting.run(bed, "down")))
    yield Figure(f"bare start of the example's {len(images)} containers", median(least), "s")
    yield Figure("up", median(up), "s")
    yield Figure("up, as a multiple of the bare start", ratio(up, least), at_most=EXAMPLE_TO_BARE)
    yield Figure("up, nothing to change", median(unchanged), "s", at_most=UNCHANGED)
    yield Figure("up, back to the file after a rule was changed", median(back), "s", at_most=UNCHANGED)
    yield Figure("down", median(down), "s")
    yield from _small(setting)


def _small(setting: Setting) -> Iterator[Figure]:
    with setting.program() as bed:
        topology = small(bed.name)
        setting.up(bed, topology)
        images = bare.images_of(bed)
        setting.run(bed, "down")
        up, least = list[float](), list[float]()
        for _ in range(setting.repeats):
            least.append(bare.start(images))
            up.append(taken(lambda: setting.up(bed, topology)))
            setting.run(bed, "down")
    more = median(a - b for a, b in zip(up, least, strict=True))
    yield Figure(f"bare start of the {len(images)} containers of a service, a connector and a VM", median(least), "s")
    yield Figure("up of these", median(up), "s")
    yield Figure("up of these, more than their bare start", more, "s", at_most=SMALL_OVER_BARE)


def _change_a_rule(bed: Program) -> None:
    """Change a rule of the example by the API."""
    Rest.of(bed).succeeds("PATCH", _RULE, {"priority": 999})
