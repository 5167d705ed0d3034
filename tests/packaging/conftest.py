"""The wheel, built once, and a folder that holds what it installs."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """The wheel of this checkout, built without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [
            *f"{sys.executable} -m pip wheel --no-deps --no-index --no-build-isolation -w".split(),
            folder,
            ROOT,
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory) -> Path:
    """A folder with the wheel's files, as pip would put them."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture
def python(installed, tmp_path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs Python with the installed files, in a folder that has nothing to do with them."""

    def run(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": str(options.pop("path", installed))}
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=options.pop("cwd", tmp_path),
            env=environment | options.pop("env", {}),
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run
