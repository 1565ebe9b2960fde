"""Client packages are loaded when they are asked for first, by several threads at once."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from testbed.api.contract.messages import load_types, rpcs
sys.setswitchinterval(1e-6)
together = Barrier(8)
def load(number):
    together.wait()
    load_types({"@type": "type.googleapis.com/google.cloud.run.v2.Service"} if number % 2 else None)
    return len(rpcs("run.v2"))
with ThreadPoolExecutor(8) as pool:
    print(len(set(pool.map(load, range(8)))))
"""


def test_threads_that_load_a_client_at_once_all_have_it() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
