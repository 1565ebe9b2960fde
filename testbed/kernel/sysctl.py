"""Network sysctls of the calling thread's namespace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from testbed.errors import Internal, Unimplemented

IMPLIED = {"net.ipv6.conf.all.disable_ipv6": "1"}
"""The cloud's connectors carry IPv4 only; without this every device would announce itself over IPv6.  A plan may say
otherwise."""


def read(names: Iterable[str]) -> dict[str, str]:
    """The values of those names that exist now."""
    values = {}
    for name in names:
        try:
            values[name] = _normal(_path(name).read_text())
        except FileNotFoundError:
            continue  # of a device that is still to be made, or of a feature that this kernel lacks
    return values


def write(values: Mapping[str, str]) -> None:
    """Sets the values.

    Raises:
        Unimplemented: the kernel has no such sysctl in a namespace.
        Internal: the kernel refused the value.
    """
    for name, value in values.items():
        try:
            _path(name).write_text(value)
        except FileNotFoundError as error:
            raise Unimplemented(f"sysctl {name}: this kernel does not have it") from error
        except OSError as error:
            raise Internal(f"sysctl {name}={value}: the kernel refused it: {error.strerror}") from error


def missing(wanted: Mapping[str, str], actual: Mapping[str, str]) -> dict[str, str]:
    """What has to be written.  An implied value is skipped where the kernel does not have it."""
    implied = {name: value for name, value in IMPLIED.items() if name in actual}
    return {name: value for name, value in {**implied, **wanted}.items() if actual.get(name) != _normal(value)}


def of_device(name: str) -> bool:
    """Whether this sysctl exists only together with a device."""
    words = name.split(".")
    return len(words) > 4 and words[2] in ("conf", "neigh") and words[3] not in ("all", "default")


def _normal(value: str) -> str:
    return " ".join(value.split())


def _path(name: str) -> Path:
    """As sysctl(8) does: a slash in the name is a dot of a device's name."""
    if not name.startswith("net."):
        raise Internal(f"sysctl {name}: its name must begin with `net.`")
    return Path("/proc/sys") / name.translate(str.maketrans("./", "/."))
