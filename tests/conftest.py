from __future__ import annotations

pytest_plugins = ["tests.layers", "tests.needs", "tests.leaks", "tests.api_coverage", "tests.proof"]
