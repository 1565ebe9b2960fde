"""`testbed configure`: what was changed by hand in a node is as the topology says again."""

from __future__ import annotations

from testbed.errors import InvalidArgument, NotFound
from tests.e2e.program import Program
from tests.waiting import eventually

CONFIGURATION = "/etc/redis/testbed.conf"


def _configuration(demo: Program) -> str:
    return demo.execute("cache", "cat", CONFIGURATION).stdout


def _started(demo: Program) -> str:
    """When the server of the node started, in clock ticks since the boot."""
    look = ("sh", "-c", "cut -d ' ' -f 22 /proc/$(pgrep -x redis-server)/stat")
    return eventually(lambda: demo.execute("cache", *look, check=False).stdout, "a server in the node")


def test_a_hand_made_change_is_undone(demo: Program) -> None:
    before, started = _configuration(demo), _started(demo)
    demo.execute("cache", "sh", "-c", f"echo 'maxmemory 1mb' >> {CONFIGURATION}")
    assert _configuration(demo) != before

    assert demo.json("configure", "cache") == {"name": demo.name, "configured": ["cache"]}
    assert _configuration(demo) == before
    again = _started(demo)
    assert again != started  # the server has read it

    said = demo.run("configure")
    assert "configuration ..." in said.stderr
    assert "cache" in said.stdout
    assert "vm-us" in said.stdout
    assert _started(demo) == again  # nothing was different, so nothing was restarted


def test_what_cannot_be_configured(demo: Program) -> None:
    missing = demo.run("configure", "nobody", check=False)
    assert missing.returncode == NotFound.exit_status
    assert "node 'nobody': not found" in missing.stderr
    plain = demo.run("configure", "hello-run", check=False)
    assert plain.returncode == InvalidArgument.exit_status
    assert "has no role" in plain.stderr
