"""The wheel holds every file of the four folders, and what it installs works from anywhere."""

from __future__ import annotations

import base64
import configparser
import http.client
import json
import re
import tomllib
import urllib.request
import zipfile
from email.parser import Parser

import pytest

from tests.packaging.conftest import ROOT
from tests.packaging.serving import free_port, served

FOLDERS = ("analysis", "app", "pages", "logitscope")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def names(requirements):
    return {re.match(r"[\w.-]+", line)[0].lower() for line in requirements}


def in_repository():
    paths = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file())
    own = (path.relative_to(ROOT).as_posix() for path in paths)
    return {name for name in own if "__pycache__" not in name and ".ipynb_checkpoints" not in name}


def test_every_file_of_the_packages_is_inside_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert inside == in_repository()
    kinds = {name.rpartition(".")[2] for name in inside}
    assert kinds >= {"py", "js", "css", "png", "toml", "json", "txt"}


def test_the_metadata_says_what_pyproject_says(wheel):
    with zipfile.ZipFile(wheel) as archive:
        told = {name.rpartition("/")[2]: name for name in archive.namelist() if ".dist-info/" in name}
        metadata = Parser().parsestr(archive.read(told["METADATA"]).decode())
        scripts = configparser.ConfigParser()
        scripts.read_string(archive.read(told["entry_points.txt"]).decode())
    assert (metadata["Name"], metadata["Version"]) == ("logitscope", PROJECT["version"])
    assert scripts["console_scripts"]["logitscope"] == "logitscope.__main__:start"
    assert {"LICENSE"} <= set(told) and set(metadata.get_all("Provides-Extra")) == {
        "models",
        "app",
        "logs",
        "all",
    }


def test_the_extras_are_what_requirements_txt_says():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    wanted = {line for line in lines if line and not line.startswith("#")}
    groups = PROJECT["optional-dependencies"]
    extras = {line for group in groups.values() for line in group if not line.startswith("logitscope[")}
    assert {*PROJECT["dependencies"], *extras} == wanted
    assert not names(PROJECT["dependencies"]) & {"torch", "transformers", "streamlit", "tensorboard", "gguf"}


def test_installed_files_find_one_another(python, installed):
    code = """
import json, logitscope as ls, analysis, app.navigation, app.__main__ as start
from analysis.entropy_collapse.training.logs import EXAMPLES
print(json.dumps({
    "same": ls.trace is analysis.trace and ls.figures is analysis.figures,
    "files": [ls.__file__, analysis.__file__],
    "pages": [(app.navigation.PAGES / f"{e.slug}.py").is_file() for e in app.navigation.ENTRIES],
    "logs": [str(path) for path in EXAMPLES.values()],
    "steps": len(ls.read_training_log(EXAMPLES["near_words"]).step),
    "checkout": start.IS_CHECKOUT,
}))"""
    done = python("-P", "-c", code)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    assert told["same"] and told["pages"] and all(told["pages"]) and told["steps"] == 100
    assert all(name.startswith(str(installed)) for name in (*told["files"], *told["logs"]))
    assert told["checkout"] is False


def test_the_installed_app_draws_its_first_page(python, installed):
    code = f"""
from streamlit.testing.v1 import AppTest
page = AppTest.from_file({str(installed / "app" / "main.py")!r}, default_timeout=60).run()
print([error.value for error in page.exception], [title.value for title in page.title])"""
    done = python("-P", "-c", code)
    assert done.stdout.strip() == "[] ['Overview']", done.stderr[-2000:]


def test_the_installed_app_serves_every_page(installed, tmp_path):
    (tmp_path / "analysis").mkdir()
    (tmp_path / "analysis" / "__init__.py").write_text("raise ImportError('not this one')")
    port = free_port()
    flags = ("--port", str(port), "--json")
    with served(installed, tmp_path, *flags, LOGITSCOPE_ALLOWED_HOSTS="gpu.example") as said:
        assert said["url"] == f"http://127.0.0.1:{port}"
        assert said["health"] == f"{said['url']}/_stcore/health"
        with urllib.request.urlopen(said["url"], timeout=10) as page:
            assert b"<title>" in page.read()
        answers = {name: connected(port, name) for name in ("localhost", "gpu.example", "other.example")}
        assert answers == {"localhost": 101, "gpu.example": 101, "other.example": 403}


def connected(port, host):
    """Status of the answer to a browser that knows the server under a name and asks for its connection."""
    wanted = {"Host": f"{host}:{port}", "Connection": "Upgrade", "Upgrade": "websocket"}
    key = {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode()}
    server = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        server.request("GET", "/_stcore/stream", headers=wanted | key)
        return server.getresponse().status
    finally:
        server.close()


@pytest.mark.parametrize("module", ["logitscope", "analysis"])
def test_the_command_runs_from_anywhere(python, module):
    trace = str(ROOT / "tests" / "golden" / "schema_1.trace")
    done = python("-m", module, "show", trace, "--json", "--unit", "bits")
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout)["unit"] == "bits"
