"""`docs/fidelity.md` has every statement, and says of each what is true now."""

from __future__ import annotations

from tests.fidelity import page


def test_every_statement_is_accounted_for() -> None:
    assert page.unaccounted() == []


def test_the_page_is_up_to_date() -> None:
    assert page.PAGE.read_text() == page.page(), "run `make fidelity`"
