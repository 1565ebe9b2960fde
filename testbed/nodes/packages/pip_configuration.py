"""How the user's pip gets packages: indexes, certificates, proxies.  It is asked itself, so that it is as it says.

What comes of it may be secret: it is handed over in files only, and `redacted` takes it out of what pip says.
"""

from __future__ import annotations

import ast
import netrc
import os
import pwd
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

KEYS = (
    "index-url",
    "extra-index-url",
    "no-index",
    "find-links",
    "trusted-host",
    "proxy",
    "timeout",
    "default-timeout",
    "retries",
    "cert",
    "client-cert",
)
"""What says where packages come from (https://pip.pypa.io/en/stable/cli/pip_install/)."""
_FILES = {"cert": "cert.pem", "client-cert": "client.pem"}
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_BUNDLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_SYSTEM = Path("/etc/ssl/certs/ca-certificates.crt")
_LINE = re.compile(r"(:env:|[\w-]+)\.([\w-]+)=(.*)")
_SECTIONS = ("global", "install", ":env:")
"""The later ones override the former."""
_PATIENCE = 60.0
LINKED = 256 << 20
"""Bytes of packages in local folders (`find-links`) that are taken along."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """How pip is set up, as files of a folder, and as variables."""

    folder: str
    """Where the files will be."""
    files: Mapping[str, bytes] = field(repr=False)
    """By their names; `pip.conf` is among them."""
    links: Mapping[str, Path]
    """Packages of local folders, by their names."""
    environment: Mapping[str, str] = field(repr=False)
    secrets: frozenset[str] = field(repr=False)

    def redacted(self, text: str) -> str:
        """A text without passwords."""
        for secret in sorted(self.secrets, key=len, reverse=True):
            text = text.replace(secret, "****")
        return text


def read(folder: str) -> Configuration:
    """The configuration of the user who has started this process, by sudo or not, for files in a folder."""
    environment = {**os.environ, **_home()}
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list", "--disable-pip-version-check"],
        capture_output=True,
        text=True,
        check=False,
        timeout=_PATIENCE,
        env=environment,
    )
    return configured(listed.stdout, environment, folder)


def _home() -> dict[str, str]:
    """The home of the user who has called sudo, if there is one."""
    caller = os.environ.get("SUDO_UID", "")
    if os.geteuid() != 0 or not caller.isdigit():
        return {}
    try:
        return {"HOME": pwd.getpwuid(int(caller)).pw_dir}
    except KeyError:
        return {}


def configured(listed: str, environment: Mapping[str, str], folder: str) -> Configuration:
    """The configuration that `pip config list` prints, in an environment."""
    values = _values(listed)
    files: dict[str, bytes] = {}
    values.setdefault("cert", _bundle(environment))
    for key, name in _FILES.items():
        if (path := values.pop(key, "")) and Path(path).is_file():
            files[name] = Path(path).read_bytes()
            values[key] = f"{folder}/{name}"
    links: dict[str, Path] = {}
    if found := values.pop("find-links", ""):
        remote = [one for one in found.split() if "://" in one and not one.startswith("file:")]
        links = _linked(one.removeprefix("file://") for one in found.split() if one not in remote)
        values["find-links"] = "\n".join([*remote, *([f"{folder}/links"] if links else [])])
    files["pip.conf"] = _printed(values).encode()
    proxies = {name: value for name, value in environment.items() if name.lower() in _PROXIES}
    secrets = set(_secrets([*values.values(), *proxies.values()]))
    rc = Path(environment.get("NETRC") or Path(environment.get("HOME", "/")) / ".netrc")
    if rc.is_file():
        files[".netrc"] = rc.read_bytes()
        secrets |= _of_netrc(rc)
    return Configuration(folder, files, links, proxies, frozenset(secrets))


def _values(listed: str) -> dict[str, str]:
    sections: dict[str, dict[str, str]] = {name: {} for name in _SECTIONS}
    for line in listed.splitlines():
        found = _LINE.fullmatch(line)
        if found and found[1] in sections and found[2] in KEYS:
            sections[found[1]][found[2]] = str(ast.literal_eval(found[3]))
    merged: dict[str, str] = {}
    for name in _SECTIONS:
        merged |= sections[name]
    return {key: value for key, value in merged.items() if value}


def _bundle(environment: Mapping[str, str]) -> str:
    """The CAs that pip trusts where it is not told any."""
    named = next((environment[name] for name in _BUNDLES if environment.get(name)), "")
    system = ssl.get_default_verify_paths().cafile
    return named or (system if system and Path(system).is_file() else str(_SYSTEM) if _SYSTEM.is_file() else "")


def _linked(folders: Iterator[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    left = LINKED
    for folder in map(Path, folders):
        for path in sorted(folder.glob("*.whl")) if folder.is_dir() else ():
            left -= path.stat().st_size
            if left < 0:
                return found
            found[path.name] = path
    return found


def _printed(values: Mapping[str, str]) -> str:
    lines = (f"{key} = " + "\n    ".join(value.split()) for key, value in values.items())
    return "[global]\n" + "".join(f"{line}\n" for line in lines)


def _secrets(texts: list[str]) -> Iterator[str]:
    """Passwords in URLs; a user without one is a token."""
    for word in (word for text in texts for word in text.split()):
        user, found, _ = urlsplit(word).netloc.rpartition("@")
        if found:
            secret = user.partition(":")[2] or user
            yield from {secret, unquote(secret)}


def _of_netrc(path: Path) -> set[str]:
    try:
        return {given[2] for given in netrc.netrc(str(path)).hosts.values() if given[2]}
    except (netrc.NetrcParseError, OSError):
        return set()
