from __future__ import annotations

from hypothesis import settings

pytest_plugins = ["tests.layers", "tests.needs", "tests.leaks", "tests.api_coverage", "tests.proof"]

settings.register_profile("untimed", deadline=None)  # a busy machine is no defect of what is tested
settings.load_profile("untimed")
