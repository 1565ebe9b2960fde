"""Unit and API tests on each Python that pyproject.toml names: `make pythons`, or `nox -p 3.13` for one.

The others take minutes, most of them root and containers too, and are tried on the Python of `make setup`.
"""

from __future__ import annotations

import nox

nox.needs_version = ">=2026.4"
nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False  # one that is not installed is skipped, and named at the end
nox.options.reuse_venv = "yes"


@nox.session(python=nox.project.python_versions(nox.project.load_toml("pyproject.toml")))
def tests(session: nox.Session) -> None:
    """Installs what is locked, and runs the tests that need nothing."""
    session.run_install("uv", "pip", "sync", "--quiet", "--system-certs", "--require-hashes", "locks/dev.txt")
    session.run("python", "-m", "pytest", "tests/unit", "tests/api", *session.posargs)
