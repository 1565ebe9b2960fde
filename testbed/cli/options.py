"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

Delay = Annotated[
    float | None,
    typer.Option(
        min=0,
        metavar="FACTOR",
        help="Operations take this part of Google's time: 1 for all of it; 0 at first.",
    ),
]
