"""The `filter` of list methods: AIP-160 and compute's own language, compiled to predicates of resources."""

from testbed.api.filters.dialects import EVERYTHING, Filter, aip160, compute

__all__ = ["EVERYTHING", "Filter", "aip160", "compute"]
