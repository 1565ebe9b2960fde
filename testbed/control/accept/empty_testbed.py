"""What an empty testbed has, if nothing is said of it.  This module is light: the command's help names it."""

from __future__ import annotations

NAME, PROJECT, REGION = "testbed", "demo", "us-central1"
