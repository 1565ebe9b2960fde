"""What names look like.  This module is light: commands that need no more import no model."""

from __future__ import annotations

import re

COMPUTE_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
"""Names of Compute Engine resources, 1 to 63 characters (behaviour 4.1.2)."""
NAME_RULE = "Must be a match of regex '(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)'"
"""What Compute Engine says of another one."""
LONGEST_TESTBED = 20
"""Characters of a testbed's name: it is a part of longer names."""
