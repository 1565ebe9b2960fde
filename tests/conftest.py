from __future__ import annotations

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.layers", "tests.needs", "tests.leaks", "tests.api_coverage", "tests.proof"]

# A busy machine is no defect of what is tested.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
