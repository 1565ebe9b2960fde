"""What names look like.  This module is light: commands that need no more import no model."""

from __future__ import annotations

import re

COMPUTE_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
"""Names of Compute Engine resources, 1 to 63 characters (behaviour 4.1.2)."""
NAME_RULE = "Must be a match of regex '(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)'"
"""What Compute Engine says of another one."""
ACCOUNT = re.compile(r"[a-z0-9]([a-z0-9.+_-]{0,62}[a-z0-9])?@[a-z0-9]([a-z0-9.-]{0,252}[a-z0-9])?")
"""Addresses of service accounts: `NAME@PROJECT.iam.gserviceaccount.com`, and those that Google makes."""
LONGEST_TESTBED = 20
"""Characters of a testbed's name: it is a part of longer names."""
