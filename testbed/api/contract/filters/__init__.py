"""The `filter` of list methods: AIP-160 and the languages of compute and logging, compiled to predicates."""

from testbed.api.contract.filters.dialects import EVERYTHING, Filter, aip160, compute, logging

__all__ = ["EVERYTHING", "Filter", "aip160", "compute", "logging"]
