"""What sources ask for, and how the user's pip gets it."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest

from testbed.nodes.packages import pip_configuration
from testbed.nodes.packages.requirements import BuildFailed, wanted

TOKEN = "t0ken"


def source(folder: Path, text: str, **others: str) -> Path:
    (folder / "requirements.txt").write_text(text)
    for name, content in others.items():
        (folder / f"{name}.txt").write_text(content)
    return folder


def test_what_the_runtime_or_the_source_has_is_not_asked_for(tmp_path: Path) -> None:
    (tmp_path / "mine-1.0.dist-info").mkdir()
    text = "Flask>=2 # web\n\nfunctions_framework==3.*\nredis\\\n>=5\nuvloop; python_version < '3.8'\nmine==1.0\n"
    assert wanted(source(tmp_path, text)) is None
    assert wanted(tmp_path / "nowhere") is None


def test_if_anything_lacks_all_is_asked_for_with_the_servers(tmp_path: Path) -> None:
    (tmp_path / "mine-1.0.dist-info").mkdir()
    text = "-r more.txt\n--index-url https://example.com\nmine==1.0\nflask<3\n-c bounds.txt\n"
    asked = wanted(source(tmp_path, text, more="his\n", bounds="his<2\n"))
    assert asked is not None
    assert asked.requirements == ["his", "flask<3", "functions-framework", "gunicorn"]
    assert asked.constraints == ["his<2"]


def test_hashes_stay_and_then_nothing_is_added(tmp_path: Path) -> None:
    asked = wanted(source(tmp_path, f"his==1 \\\n    --hash=sha256:{'0' * 64}\n"))
    assert asked is not None
    assert asked.requirements == [f"his==1 --hash=sha256:{'0' * 64}"]


@pytest.mark.parametrize(
    "line",
    [
        "git+https://example.com/x.git",
        "his @ https://example.com/his.whl",
        "./his",
        "-e .",
        "/etc/passwd",
        "file:///etc/passwd",
        "--config-settings x",
    ],
)
def test_only_an_index_is_asked_for_anything(tmp_path: Path, line: str) -> None:
    with pytest.raises(BuildFailed, match=r"Build failed: requirements\.txt asks for"):
        wanted(source(tmp_path, f"flask\n{line}\n"))


@pytest.mark.parametrize("name", ["../secret.txt", "/etc/passwd", "none.txt", "requirements.txt"])
def test_a_file_that_is_named_is_the_sources_own(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.txt").write_text("his\n")
    folder = tmp_path / "source"
    folder.mkdir()
    with pytest.raises(BuildFailed, match="which the source does not have"):
        wanted(source(folder, f"-r {name}\n"))


def _conf(made: pip_configuration.Configuration) -> configparser.SectionProxy:
    parser = configparser.RawConfigParser()
    parser.read_string(made.files["pip.conf"].decode())
    return parser["global"]


def test_pips_own_order_holds() -> None:
    listed = (
        ":env:.index-url='https://env.example/simple'\nglobal.index-url='https://global.example/simple'\n"
        "install.extra-index-url='\\nhttps://a.example/s\\nhttps://b.example/s'\nglobal.target='/etc'\nfreeze.retries='9'\n"
    )
    conf = _conf(pip_configuration.configured(listed, {}, "/work"))
    assert conf["index-url"] == "https://env.example/simple"
    assert conf["extra-index-url"].split() == ["https://a.example/s", "https://b.example/s"]
    assert "target" not in conf
    assert "retries" not in conf


def test_certificates_and_packages_of_folders_come_along(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("CA")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "his-1-py3-none-any.whl").write_text("wheel")
    listed = f":env:.cert='{tmp_path}/ca.pem'\n:env:.find-links='{tmp_path}/links https://c.example/links'\n"
    made = pip_configuration.configured(listed, {}, "/work")
    assert made.files["cert.pem"] == b"CA"
    assert _conf(made)["cert"] == "/work/cert.pem"
    assert _conf(made)["find-links"].split() == ["https://c.example/links", "/work/links"]
    assert list(made.links) == ["his-1-py3-none-any.whl"]


def test_secrets_are_in_no_text_that_is_told(tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine n.example login u password from-netrc\n")
    listed = f":env:.index-url='https://me:p%40ss@a.example/s'\n:env:.extra-index-url='https://{TOKEN}@b.example/s'\n"
    environment = {"HOME": str(tmp_path), "HTTPS_PROXY": "http://u:from-proxy@proxy.example:3128", "PATH": "/bin"}
    made = pip_configuration.configured(listed, environment, "/work")
    said = made.redacted(f"p%40ss p@ss {TOKEN} from-netrc from-proxy proxy.example")
    assert said == "**** **** **** **** **** proxy.example"
    assert "p@ss" not in repr(made)
    assert "p%40ss" not in repr(made)
    assert made.environment == {"HTTPS_PROXY": "http://u:from-proxy@proxy.example:3128"}
    assert made.files[".netrc"]
