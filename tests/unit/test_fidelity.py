"""`docs/fidelity.md` has every statement, and says of each what is true now."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fidelity import page


def test_every_statement_is_accounted_for() -> None:
    assert page.unaccounted() == []


def test_the_page_is_up_to_date() -> None:
    assert page.PAGE.read_text() == page.page(), "run `make fidelity`"


def test_a_statement_that_has_lost_its_last_test_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = page.page()
    assert page.lost(before) == []
    monkeypatch.setattr(page, "shown", dict)
    monkeypatch.setattr(page, "PAGE", tmp_path / "fidelity.md")
    page.PAGE.write_text(before)
    assert {"1.1.1", "4.1.5"} <= set(page.lost(before))
    with pytest.raises(SystemExit, match=r"no test shows 1\.1\.1, .*4\.1\.5, .* any more"):
        page.main()
    assert page.PAGE.read_text() == before
