from __future__ import annotations

from testbed.capability import Capability, Finding, Probe, missing, on_path
from testbed.kernel import capabilities


def capability(name: str, need: str, *, present: bool) -> Capability:
    probe = Probe(
        name, "required" if need == "required" else "optional", lambda: Finding(present, "seen"), "cost", "remedy"
    )
    return probe.capability()


def test_a_probe_reports_what_its_look_saw() -> None:
    assert capability("veth", "required", present=True) == Capability(
        "veth", "required", True, "seen", "cost", "remedy"
    )


def test_only_what_is_required_and_absent_is_missing() -> None:
    absent = capability("veth", "required", present=False)
    others = [capability("nat", "required", present=True), capability("netem", "optional", present=False)]
    assert missing([absent, *others]) == [absent]


def test_a_program_is_found_on_the_path_or_not() -> None:
    assert on_path("sh")() == Finding(present=True, detail=on_path("sh")().detail)
    assert on_path("sh")().detail.endswith("/sh")
    absent = on_path("no-such-program")()
    assert not absent.present
    assert absent.detail.startswith("not in /")


def test_every_capability_has_a_name_of_its_own_and_says_what_to_do() -> None:
    names = [each.name for each in capabilities.PROBES]
    assert len(names) == len(set(names))
    assert all(each.cost and each.remedy for each in capabilities.PROBES)
