from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

pytest_plugins = [
    "tests.tally",
    "tests.layers",
    "tests.sample",
    "tests.needs",
    "tests.proof",
    "tests.seconds",
    "tests.forks",
    "tests.leaks",
    "tests.api_coverage",
]

# A busy machine is no defect of what is tested.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# A shell without job control lets what it starts in the background ignore Ctrl-C; tests press it, and so do programs.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
