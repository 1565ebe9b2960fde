# ruff: noqa: INP001 - Ansible finds it by its place
"""The action `config_file`: makes a file on the node be exactly `content`, in one round trip.

    config_file:
      dest: /etc/redis/testbed.conf
      mode: "0600"
      content: "{{ lookup('template', 'testbed.conf.j2') }}"

`ansible.builtin.template` takes five round trips for that (stat, temporary folder, transfer, chmod, copy), two of them
with a Python in the node: 8 nodes took 7 s and take 2 s with this.  What is more, the node needs no Python, and the
content, which may be secret, goes through standard input only and is never in a file that others can read.
The file is replaced as a whole (rename), and only if it is different.

The variable `unfinished` says that an earlier run may have ended between the file and its handler: then the file counts
as changed whatever is in it, so that the handler runs.
"""

from __future__ import annotations

import shlex
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.plugins.loader import connection_loader

# Here, before Ansible forks its workers: else each of them, one for every task of every node, loads it anew.
connection_loader.get("docker_exec", class_only=True)

WRITE = """
set -eu
umask 077
new=$(mktemp "$1.XXXXXX")
trap 'rm -f "$new"' EXIT
cat >"$new"
if cmp -s "$new" "$1"; then exit; fi
chmod "$2" "$new"
mv -f "$new" "$1"
echo changed
"""


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible has no types
    """Ansible looks for a class of this name."""

    _supports_check_mode = False
    _VALID_ARGS = frozenset({"dest", "mode", "content"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Write the file; the result never holds its content."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        if result.get("skipped"):
            return result
        args = self._task.args
        command = shlex.join(["/bin/sh", "-c", WRITE, "config_file", args["dest"], args["mode"]])
        status, out, err = self._connection.exec_command(command, in_data=args["content"].encode(), sudoable=False)
        if status:
            return result | {"failed": True, "msg": f"{args['dest']}: {err.decode(errors='replace').strip()}"}
        unfinished = bool(task_vars and task_vars.get("unfinished"))
        return result | {"changed": unfinished or out.strip() == b"changed"}
