"""What is in the wheel: all that the testbed reads, as it is in the checkout."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from testbed import paths
from testbed.nodes import tree
from tests.distribution import build

COMPOSE = {"testbed.Dockerfile", "testbed.requirements.txt"}
"""Files of images/ that only compose.yaml needs."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", paths.PROJECT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing in it that does not come from the wheel."""
    folder = tmp_path_factory.mktemp("installed")
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-index", "--target", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(wheel)], check=True)
    return folder


def test_the_source_archive_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(build("sdist", paths.PROJECT, tmp_path)) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert build("wheel", source, tmp_path / "wheel").read_bytes() == wheel.read_bytes()


def test_the_package_finds_its_folders_in_itself(installed: Path) -> None:
    program = "from testbed import paths; print(paths.PROJECT)"
    command = [sys.executable, "-P", "-c", program]
    found = subprocess.run(
        command, env={"PYTHONPATH": str(installed)}, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert Path(found) == installed / "testbed" / "project"


@pytest.mark.parametrize("folder", [paths.PLAYBOOKS, paths.LOADTESTS, paths.EXAMPLES], ids=lambda folder: folder.name)
def test_a_folder_is_that_of_the_checkout(installed: Path, folder: Path) -> None:
    assert tree.digest(installed / "testbed" / "project" / folder.name) == tree.digest(folder)


def test_images_have_the_same_digests_so_that_none_is_built_twice(installed: Path) -> None:
    shipped = installed / "testbed" / "project" / "images"
    assert {path.name for path in shipped.iterdir()} == {path.name for path in paths.IMAGES.iterdir()} - COMPOSE
    for image in filter(Path.is_dir, paths.IMAGES.iterdir()):
        assert tree.digest(shipped / image.name) == tree.digest(image)
    assert (shipped / "nginx/etc/service/nginx/run").stat().st_mode & 0o111


def test_the_package_says_that_it_is_typed(installed: Path) -> None:
    assert (installed / "testbed" / "py.typed").is_file()
