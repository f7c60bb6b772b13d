"""The package as it is installed: from a wheel, and for development."""

import tarfile
from pathlib import Path

import pytest

from dqtw.config.options import options
from tests.packaging.tree import copy_of_the_tree, fresh_environment, run
from tests.process.node import Nodes


def push_get_and_acknowledge(programs: Path, directory: Path) -> None:
    """What a user does first, with the server of that environment."""
    nodes = Nodes(directory, str(programs / "twistd"))
    try:
        node = nodes.start("--size=1")
        assert node.request("POST", "/push", b"x").status == 201
        receipt = node.request("GET", "/get").headers["Dqtw-Receipt"]
        assert node.request("POST", f"/ack/{receipt}").status == 204
        assert node.stop() == 0
    finally:
        nodes.end()


@pytest.mark.parametrize("editable", [False, True])
def test_an_installed_package_serves(tmp_path: Path, editable: bool) -> None:
    tree = copy_of_the_tree(tmp_path / "tree")
    programs = fresh_environment(tmp_path / "environment")
    if editable:
        run(programs / "pip", "install", "--quiet", "-e", tree, cwd=tmp_path)
    else:
        run(programs / "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", "wheels", tree, cwd=tmp_path)
        (wheel,) = (tmp_path / "wheels").iterdir()
        run(programs / "pip", "install", "--quiet", wheel, cwd=tmp_path)
        (site,) = (tmp_path / "environment").glob("lib/*/site-packages")
        (license_file,) = site.glob("dqtw-*.dist-info/licenses/LICENSE")
        assert license_file.read_text() == (tree / "LICENSE").read_text()
        run(programs / "twistd", "--help", cwd=tmp_path)  # as an image is built: who runs it can't write there
        assert b"dqtw_plugin" in (site / "twisted/plugins/dropin.cache").read_bytes()
    shown = run(programs / "twistd", "dqtw", "--help", cwd=tmp_path, COLUMNS="300")
    for option in options:
        assert f"--{option.name}" in shown
        assert f"[default: {option.default_shown}]" in shown
    push_get_and_acknowledge(programs, tmp_path)


def test_the_source_distribution_has_the_license(tmp_path: Path) -> None:
    tree = copy_of_the_tree(tmp_path / "tree")
    programs = fresh_environment(tmp_path / "environment")
    run(programs / "pip", "install", "--quiet", "hatchling", cwd=tmp_path)
    run(programs / "python", "-m", "hatchling", "build", "-t", "sdist", cwd=tree)
    (archive,) = (tree / "dist").iterdir()
    with tarfile.open(archive) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml", "dqtw/tap.py", "twisted/plugins/dqtw_plugin.py"} <= names
