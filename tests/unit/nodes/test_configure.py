from __future__ import annotations

import stat
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import yaml

from testbed.errors import Internal
from testbed.fabric.plan import Node
from testbed.nodes import configure as module
from testbed.nodes.configure import ROLES, Verbatim, configure, inventory
from testbed.nodes.playbook import Event
from testbed.paths import PLAYBOOKS

SECRET = "s3cret {{ lookup('pipe', 'id') }} \"'\\ ü\nend"
CACHE = Node(
    name="redis",
    kind="redis",
    image="testbed/redis",
    role="redis",
    variables=MappingProxyType(
        {
            "auth_string": SECRET,
            "port": 6379,
            "maxmemory": 1 << 30,
            "settings": {"maxmemory-policy": "volatile-lru"},
            "bind": "10.9.0.3",
        }
    ),
)
GATEWAY = Node(
    name="gateway",
    kind="vpn",
    image="testbed/vpn",
    role="vpn",
    variables=MappingProxyType({"tunnels": ({"name": "t", "initiate": True, "local_selectors": ("10.8.0.0/28",)},)}),
)
PLAIN = Node(name="internet", kind="host", image="testbed/vm")


def container(name: str) -> str:
    return f"tb-demo-{name}"


def test_a_group_for_each_role_with_its_nodes() -> None:
    groups = inventory([PLAIN, GATEWAY, CACHE], container)["all"]["children"]
    assert {name: list(group["hosts"]) for name, group in groups.items()} == {
        "role_vpn": ["gateway"],
        "role_redis": ["redis"],
        "role_web": [],
        "role_frontend": [],
    }


def test_a_node_is_its_container_and_one_variable_called_like_its_role() -> None:
    groups = inventory([GATEWAY], container)["all"]["children"]
    assert groups["role_vpn"]["hosts"]["gateway"] == {
        "ansible_host": "tb-demo-gateway",
        "vpn": {"tunnels": [{"name": "t", "initiate": True, "local_selectors": ["10.8.0.0/28"]}]},
    }


def test_no_group_can_be_called_like_a_node() -> None:
    # A node's name obeys RFC 1035: no underscore.
    assert all("_" in group for group in inventory([], container)["all"]["children"])


def test_the_inventory_says_whose_last_run_was_cut_short() -> None:
    groups = inventory([GATEWAY, CACHE], container, {CACHE.name})["all"]["children"]
    hosts = {name: variables for group in groups.values() for name, variables in group["hosts"].items()}
    assert hosts[CACHE.name]["unfinished"] is True
    assert "unfinished" not in hosts[GATEWAY.name]


def test_the_inventory_does_not_depend_on_the_order_of_the_nodes() -> None:
    assert inventory([GATEWAY, CACHE], container) == inventory([CACHE, GATEWAY], container)


def test_a_role_that_does_not_exist_is_named() -> None:
    with pytest.raises(Internal, match="node a: its role dns is not known"):
        inventory([Node(name="a", kind="vm", image="i", role="dns")], container)


def test_a_variable_that_yaml_cannot_say_is_refused() -> None:
    with pytest.raises(Internal, match="bytes"):
        inventory([Node(name="a", kind="vm", image="i", role="web", variables={"name": b"a"})], container)


def test_every_role_has_a_folder_and_handlers_of_its_own() -> None:
    """In one play, a handler of the same name would be another role's."""
    folders = sorted((PLAYBOOKS / "roles").iterdir())
    assert sorted(ROLES) == [folder.name for folder in folders]
    handlers = [one["name"] for f in folders for one in yaml.safe_load((f / "handlers" / "main.yml").read_text())]
    assert len(handlers) == len(set(handlers))


def test_a_task_that_handles_a_secret_does_not_log() -> None:
    for role in ("vpn", "redis"):
        task, *_ = yaml.safe_load((PLAYBOOKS / "roles" / role / "tasks" / "main.yml").read_text())
        assert task["no_log"] is True
        assert task["config_file"]["mode"] == "0600"


class _Loader(yaml.SafeLoader):
    """Reads Ansible's tag `!unsafe`."""


_Loader.add_constructor("!unsafe", lambda _loader, node: Verbatim(node.value))


Run = tuple[Path, Path, list[str] | None]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """The playbooks that would have been run: playbook, inventory, limit."""
    ran: list[Run] = []

    def run_playbook(path: Path, _report: object, **options: Any) -> None:
        ran.append((path, options["inventory"], options["limit"]))

    monkeypatch.setattr(module, "run_playbook", run_playbook)
    return ran


def ignore(_event: Event) -> None:
    pass


@pytest.fixture
def written(tmp_path: Path, runs: list[Run]) -> Path:
    """The inventory file, written twice."""
    for _ in range(2):
        configure(tmp_path, [CACHE, GATEWAY], container, ignore)
    path = tmp_path / "ansible" / "inventory.yml"
    assert runs == [(PLAYBOOKS / "nodes.yml", path, None)] * 2
    return path


@pytest.mark.parametrize(
    ("nodes", "only", "limits"),
    [
        ([CACHE, GATEWAY, PLAIN], None, [None]),
        ([CACHE, GATEWAY, PLAIN], ["redis", "internet"], [["redis"]]),
        ([CACHE, GATEWAY, PLAIN], ["internet"], []),
        ([CACHE, GATEWAY, PLAIN], [], []),
        ([PLAIN], None, []),
    ],
)
def test_only_the_chosen_nodes_are_configured(
    tmp_path: Path, runs: list[Run], nodes: list[Node], only: list[str] | None, limits: list[list[str] | None]
) -> None:
    configure(tmp_path, nodes, container, ignore, only=only)
    assert [limit for _, _, limit in runs] == limits
    assert len((tmp_path / "ansible" / "inventory.yml").read_text()) > 0


@pytest.mark.usefixtures("runs")
def test_folders_that_a_killed_run_has_left_go(tmp_path: Path) -> None:
    left = tmp_path / "ansible" / "run-abc" / "env" / "envvars"
    left.parent.mkdir(parents=True)
    left.touch()
    configure(tmp_path, [CACHE], container, ignore)
    assert [path.name for path in (tmp_path / "ansible").iterdir()] == ["inventory.yml"]


def test_only_we_can_read_the_inventory(written: Path) -> None:
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert stat.S_IMODE(written.parent.stat().st_mode) == 0o700
    assert list(written.parent.iterdir()) == [written]


def test_a_text_reaches_ansible_letter_by_letter_and_never_as_a_template(written: Path) -> None:
    read = yaml.load(written.read_text(), Loader=_Loader)  # noqa: S506  # a SafeLoader with one more tag
    assert read == inventory([CACHE, GATEWAY], container)
    auth_string = read["all"]["children"]["role_redis"]["hosts"]["redis"]["redis"]["auth_string"]
    assert (type(auth_string), auth_string) == (Verbatim, SECRET)
