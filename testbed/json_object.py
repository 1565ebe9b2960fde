"""What a JSON object is in Python: bodies of resources, facts, records of logs."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
