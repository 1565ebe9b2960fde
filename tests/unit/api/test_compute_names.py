"""Compute Engine's names: fingerprints survive the clients that send them back."""

from __future__ import annotations

import base64

from testbed.api.services.compute.names import fingerprint


def test_a_fingerprint_is_the_same_in_both_alphabets_of_base64() -> None:
    for number in range(200):
        text = fingerprint(number)
        assert base64.urlsafe_b64encode(base64.b64decode(text, validate=True)).decode() == text
    assert len({fingerprint(number) for number in range(200)}) == 200
