"""What `up` is given: a file, standard input, or nothing.  Files are opened with the caller's rights."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

from testbed.errors import InvalidArgument, NotFound
from testbed.paths import EXAMPLES
from testbed.yaml_document import NotYaml, YamlDocument

DEFAULT_FILE = Path("testbed.yaml")
EXAMPLE = EXAMPLES / "serverless-vpc-access.yaml"
STDIN = Path("-")


class TopologyText(NamedTuple):
    """The text of a topology, and what it is called."""

    text: str
    file: str
    """As errors name it."""
    folder: Path
    """Where relative source folders start."""
    source: str
    """Where it is from, for people."""

    @property
    def name(self) -> str | None:
        """The testbed's name, if the text says one; whether the rest is right is not looked at."""
        try:
            data = YamlDocument(self.text).data
        except NotYaml:
            return None
        name = data.get("name") if isinstance(data, dict) else None
        return name if isinstance(name, str) else None


def secrets(file: Path) -> dict[str, str]:
    """The values of secrets, by name.

    Raises:
        InvalidArgument: it cannot be read, or is no such file; no value is in the error.
    """
    try:
        data = YamlDocument(file.read_text(encoding="utf-8")).data
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"secrets file {file}: cannot be read: {error}") from error
    except NotYaml:
        data = None
    if not isinstance(data, dict) or not all(isinstance(one, str) for pair in data.items() for one in pair):
        raise InvalidArgument(f"secrets file {file}: it must be a mapping of names to texts, `NAME: value`")
    return data


def read(file: Path | None) -> TopologyText:
    """The text of a file; testbed.yaml here if none is given, else the example.

    Raises:
        NotFound: there is no such file.
        InvalidArgument: it cannot be read.
    """
    path = file or (DEFAULT_FILE if DEFAULT_FILE.exists() else EXAMPLE)
    if path == STDIN:
        return TopologyText(sys.stdin.read(), "standard input", Path.cwd(), "standard input")
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        hint = "name one: testbed up examples/serverless-vpc-access.yaml"
        raise NotFound(f"topology file {path}: not found", hint=hint) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"topology file {path}: cannot be read: {error}") from error
    whole = path.resolve()
    return TopologyText(text, str(path), whole.parent, str(whole))
