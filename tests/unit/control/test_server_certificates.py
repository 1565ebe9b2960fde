"""Certificates of Redis servers: who has signed them, and when there are new ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509

from testbed.control.state.store import Store


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTBED_STATE", str(tmp_path))
    monkeypatch.setenv("TESTBED_WORK", "")


def test_a_ca_stays_and_a_certificate_goes_with_the_address() -> None:
    with Store.open("bed", create=True) as store:
        store.certificates.ensure({"a": "10.9.0.3", "b": "10.9.1.3"})
        first = store.certificates.all()
        store.certificates.ensure({"a": "10.9.0.3", "b": "10.9.2.3"})
        second = store.certificates.all()
    assert first["a"] == second["a"]
    assert first["b"].ca == second["b"].ca != first["a"].ca
    assert first["b"].key != second["b"].key
    ca, made = (x509.load_pem_x509_certificate(text.encode()) for text in (second["b"].ca, second["b"].certificate))
    made.verify_directly_issued_by(ca)
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["10.9.2.3"]
    assert made.not_valid_after_utc <= ca.not_valid_after_utc


def test_one_that_is_gone_is_forgotten() -> None:
    with Store.open("bed", create=True) as store:
        store.certificates.ensure({"a": "10.9.0.3"})
        before = store.certificates.all()
        store.certificates.ensure({})
        assert store.certificates.all() == {}
        store.certificates.ensure({"a": "10.9.0.3"})
        assert store.certificates.all()["a"].ca != before["a"].ca


def test_a_key_is_not_shown() -> None:
    with Store.open("bed", create=True) as store:
        store.certificates.ensure({"a": "10.9.0.3"})
        assert "PRIVATE" not in repr(store.running)
