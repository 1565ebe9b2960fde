"""Google's APIs: what is served, by REST and by gRPC."""

import os

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
"""Ansible is started by a fork, in which gRPC would do as if it went on: what it writes then spoils Ansible's output.
gRPC reads this when it is imported."""
