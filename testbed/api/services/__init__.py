"""The APIs, one module or package each.  Importing one registers its handlers (`testbed.api.calls.call`)."""

from __future__ import annotations

import importlib
import pkgutil


def register_all() -> None:
    """Import every module of this package, so that all handlers are known."""
    for module in pkgutil.walk_packages(__path__, f"{__name__}."):
        importlib.import_module(module.name)
