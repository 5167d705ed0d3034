"""Who may import whom, and what must not appear anywhere: the house rules, read from the source."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import analysis as an

ROOT = Path(__file__).parents[2]
PACKAGES = ("app", "pages", "analysis", "logitscope")
FILES = sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))
LONGEST_MODULE = 300


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(path: Path, *, lazy: bool = True) -> Iterator[str]:
    """Dotted names a file imports; without ``lazy`` only those that importing it really imports."""
    yield from _imports(ast.parse(path.read_text()).body, path, lazy)


def _imports(body: list[ast.stmt], path: Path, lazy: bool) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = name_of(path).removesuffix(".py").split("/")[: -node.level] if node.level else []
            module = ".".join([*package, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not lazy:
            continue
        elif isinstance(node, ast.If) and not lazy and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from _imports(node.orelse, path, lazy)
        else:
            yield from _imports(list(_inside(node)), path, lazy)


def _inside(node: ast.AST) -> Iterator[ast.stmt]:
    """Statements directly inside one: its body, its else, its handlers and cases."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield child
        elif isinstance(child, (ast.ExceptHandler, ast.match_case)):
            yield from child.body


def roots(path: Path, **options: bool) -> set[str]:
    return {name.partition(".")[0] for name in imports(path, **options)}


def only(folder: str, pattern: str = "*.py") -> list[Path]:
    return sorted((ROOT / folder).rglob(pattern))


def by_name(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=name_of)


def test_the_walk_sees_what_it_should(tmp_path):
    """The rules below are worth what this finds."""
    source = """
import a.b
from c import d
if x:
    import e
try:
    import f
except ImportError:
    import g
def h():
    with y:
        import i
class J:
    import k
    def l(self):
        from m.n import o
if TYPE_CHECKING:
    import p
"""
    path = ROOT / "analysis" / "none.py"
    body = ast.parse(source).body
    everything = ["a.b", "c.d", "e", "f", "g", "i", "k", "m.n.o", "p"]
    assert sorted(_imports(body, path, True)) == sorted(everything)
    assert sorted(_imports(body, path, False)) == sorted(["a.b", "c.d", "e", "f", "g", "k"])
    assert len(FILES) > 30


# Direction --------------------------------------------------------------------------------------------


@by_name(only("analysis"))
def test_analysis_knows_no_app(path):
    assert not roots(path) & {"streamlit", "app", "pages", "logitscope"}


@by_name(only("pages"))
def test_pages_compute_and_draw_nothing(path):
    names = set(imports(path))
    assert not roots(path) & {
        "torch",
        "transformers",
        "tokenizers",
        "numpy",
        "pandas",
        "plotly",
        "matplotlib",
    }
    inner = [n for n in names if n.startswith(("analysis.forward", "analysis.models", "analysis.drawing"))]
    assert not [n for n in inner if not n.startswith(("analysis.models.spec", "analysis.drawing.numbers"))]
    assert not any(n.startswith("pages") for n in names)


@by_name(only("app"))
def test_the_app_knows_no_page(path):
    assert not roots(path) & {"pages", "logitscope"}


@by_name(only("logitscope"))
def test_the_public_name_holds_nothing_of_its_own(path):
    assert roots(path) <= {"analysis", *sys.stdlib_module_names}


# Floors: a room imports from its own floor or from one below, lazily or not. Pictures stand beside each other.
FLOORS = [
    {"errors", "units", "progress", "paths", "ties", "out_of_memory"},
    {"papers"},
    {"results"},
    {"models", "drawing"},
    {"forward"},
    {"kv_cache"},
    {"token_entropy", "attention_sinks", "entropy_collapse", "pruning_effects", "visual_tokens"},
    {"writing"},
    {"comparison"},
    {"story"},
    {"lessons"},
    {"figures", "methods", "session_file"},
    {"reports"},
    {"command_line"},
    {"__init__", "__main__"},
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
PICTURES = FLOORS[6]
BESIDE = {("entropy_collapse", "attention_sinks")}
"""Pictures that use another one: the Bigram-Backcopy lab measures the sink that it forms."""
APP_FLOORS = {"compute": 0, "widgets": 1, "panels": 2}


def room_of(dotted: str) -> str:
    return [*dotted.split("."), ""][1]


def test_every_room_has_a_floor():
    rooms = {p.relative_to(ROOT / "analysis").parts[0].removesuffix(".py") for p in only("analysis")}
    assert rooms == set(FLOOR)


@by_name(only("analysis"))
def test_no_arrow_runs_back_up(path):
    room = path.relative_to(ROOT / "analysis").parts[0].removesuffix(".py")
    for name in imports(path):
        if name.startswith("analysis.") and room_of(name) in FLOOR:
            there = room_of(name)
            assert FLOOR[there] <= FLOOR[room], name
            beside = there in PICTURES and room in PICTURES and there != room
            assert not beside or (room, there) in BESIDE, name


@by_name(only("app"))
def test_no_arrow_of_the_app_runs_back_up(path):
    parts = path.relative_to(ROOT / "app").parts
    floor = APP_FLOORS.get(parts[0], 1 if len(parts) == 1 else 2)
    for name in imports(path):
        if name.startswith("app.") and room_of(name) in APP_FLOORS and len(parts) > 1:
            assert APP_FLOORS[room_of(name)] <= floor, name


@by_name(only("app/compute"))
def test_the_worker_knows_no_streamlit(path):
    if path.stem in ("worker", "job", "model_slot", "failures"):
        assert "streamlit" not in roots(path)


@by_name(FILES)
def test_no_module_imports_anothers_private_names(path):
    private = [n for n in imports(path) if n.startswith(("analysis", "app")) and re.search(r"\._[a-z]", n)]
    assert not private


def test_no_circle_of_files():
    """Following what importing a file really imports never leads back to it."""
    files = {".".join(p.relative_to(ROOT).with_suffix("").parts): p for p in only("analysis") + only("app")}

    def leads_to(module: str) -> set[str]:
        found = set()
        for name in imports(files[module], lazy=False):
            parts = name.split(".")
            whole = [".".join(parts[:n]) for n in range(len(parts), 0, -1)]
            found |= {next((n for n in whole if n in files), "")} - {"", module}
        return found

    arrows = {module: leads_to(module) for module in files}
    open_, done = [], set()

    def follow(module: str) -> None:
        assert module not in open_, " -> ".join([*open_[open_.index(module) :], module])
        if module in done:
            return
        open_.append(module)
        for there in sorted(arrows[module]):
            follow(there)
        open_.pop()
        done.add(module)

    for module in sorted(files):
        follow(module)


FIGURES = sorted(
    {
        *(p for p in only("analysis") if p.stem == "figures" or p.stem.endswith("_figures")),
        *only("analysis/drawing"),
        *only("analysis", "strips.py"),
        *only("analysis", "attention_mass.py"),
    }
)


@by_name(FIGURES)
def test_figures_know_results_only(path):
    assert not roots(path) & {"torch", "transformers", "tokenizers", "safetensors", "gguf"}
    bad = ("analysis.forward", "analysis.kv_cache", "analysis.models")
    assert not [n for n in imports(path, lazy=False) if n.startswith(bad)]


@by_name([*only("analysis/results"), *only("analysis", "results.py")])
def test_results_are_plain(path):
    assert not roots(path) & {"torch", "transformers", "plotly"}


@by_name([p for p in only("analysis", "measures.py") if "labs" not in p.parts])
def test_measures_know_numbers_only(path):
    own = {n for n in imports(path) if n.startswith("analysis")}
    assert roots(path) - {"analysis", "__future__"} <= {"numpy", "pandas", "torch", *sys.stdlib_module_names}
    assert all(re.match(r"analysis\.(units|errors|results|[\w.]+\.(results|measures))\b", n) for n in own), (
        own
    )


@by_name(only("analysis/forward") + only("analysis/kv_cache"))
def test_the_engines_draw_nothing(path):
    assert not [n for n in imports(path, lazy=False) if "figures" in n or n.startswith("analysis.drawing")]
    assert "plotly" not in roots(path)


def test_a_room_bears_no_name_of_a_public_function():
    import analysis as an

    folders = {p.name for p in (ROOT / "analysis").iterdir() if p.is_dir()}
    assert not folders & (set(an.__all__) - {"figures"})


def test_the_map_names_rooms_that_exist():
    text = (ROOT / "docs" / "architecture.md").read_text()
    named = re.findall(r"(?:analysis|app|pages)/[\w./]+", text)
    assert named and not [p for p in named if not (ROOT / p.rstrip("/.")).exists()]


def test_only_one_place_converts_units():
    """``log(2)`` outside units.py would be a second converter; bits per byte has its own definition."""
    found = [
        name_of(p)
        for p in FILES
        if re.search(r"log\(2(\.0)?\)|log2|0\.6931|1\.4426", p.read_text()) and p.name != "units.py"
    ]
    assert found == ["analysis/token_entropy/measures.py"]


# What is loaded when ----------------------------------------------------------------------------------


def modules_after(code: str) -> set[str]:
    script = f"{code}\nimport sys\nprint(*sorted(m for m in sys.modules if '.' not in m))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy():
    loaded = modules_after("import analysis")
    assert "analysis" in loaded
    assert not loaded & {"torch", "transformers", "plotly", "pandas", "numpy", "safetensors"}


@pytest.mark.parametrize("module", ["analysis.figures", "analysis.token_entropy.figures"])
def test_a_figure_needs_no_torch(module):
    loaded = modules_after(f"import importlib; importlib.import_module({module!r})")
    assert "analysis" in loaded and "numpy" in loaded
    assert not loaded & {"torch", "transformers", "streamlit", "tokenizers"}


def test_a_run_needs_no_plotting_library():
    loaded = modules_after("import analysis; analysis.trace, analysis.load_model, analysis.sampler_panel")
    assert "torch" in loaded
    assert not loaded & {"plotly", "streamlit", "matplotlib"}


# What must not appear ---------------------------------------------------------------------------------


def calls(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Every call in a file: what is called, and its keywords as source."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {k.arg or "**": ast.unparse(k.value) for k in node.keywords}


@by_name(FILES)
def test_no_code_and_no_pickle_is_read(path):
    assert not roots(path) & {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    for function, keywords in calls(path):
        assert function not in {"torch.load", "eval", "exec", "os.system", "np.load", "numpy.load"}, function
        assert not function.endswith((".read_pickle", ".to_pickle")), function
        assert keywords.get("trust_remote_code", "False") == "False", function
        assert keywords.get("allow_pickle", "False") == "False", function
        assert keywords.get("weights_only", "True") == "True", function
        assert keywords.get("use_safetensors", "True") == "True", function
        assert "unsafe_allow_html" not in keywords, function
        assert keywords.get("shell", "False") == "False", function
    source = path.read_text()
    assert not re.search(r"trust_remote_code[\"']?\s*[:=]\s*True", source)
    assert "unsafe_allow_html" not in source and "unsafe_allow_javascript" not in source


def test_weights_are_asked_for_as_safetensors():
    """At the one place that opens a folder or a hub model."""
    source = (ROOT / "analysis/models/pretrained.py").read_text()
    assert "use_safetensors=True" in source and '"trust_remote_code": False' in source


@by_name(FILES)
def test_nothing_is_fetched_at_view_time(path):
    """No address of another machine in the app; the hub is asked by its own library."""
    addresses = re.findall(r"https?://[^\s\"'`<>)]+", path.read_text())
    allowed = ("http://localhost", "http://127.0.0.1", "http://www.w3.org/", "https://arxiv.org/")
    assert not [a for a in addresses if not a.startswith(allowed)]


@by_name(FILES)
def test_modules_stay_short(path):
    lines = len(path.read_text().splitlines())
    assert lines <= LONGEST_MODULE, f"{name_of(path)} has {lines} lines"


def test_no_two_test_files_have_one_name():
    """pytest takes files of one name in two folders for one module, and stops where both are collected."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))


# Names ------------------------------------------------------------------------------------------------


def test_no_module_of_the_app_hides_one_of_python():
    """Streamlit puts the folder of the main file first on the path."""
    stems = {p.stem for folder in ("app", "pages") for p in (ROOT / folder).glob("*.py")} - {
        "__init__",
        "__main__",
    }
    assert stems and not stems & set(sys.stdlib_module_names)


def test_there_is_no_folder_of_automatic_pages():
    assert not (ROOT / "app" / "pages").exists()


def test_there_is_no_drawer_for_everything():
    assert not [p for p in FILES if p.stem in {"utils", "util", "helpers", "common", "misc"}]


@pytest.mark.parametrize("name", an.__all__)
def test_every_public_name_is_there_and_says_what_it_is(name):
    thing = getattr(an, name)
    own = inspect.getdoc(thing)
    assert own and len(own.splitlines()[0]) > 15
    if inspect.isclass(thing):
        assert thing.__doc__ and not thing.__doc__.startswith(f"{name}("), "a dataclass's automatic docstring"
    if inspect.isfunction(thing):
        shown = [p for p in inspect.signature(thing).parameters if p not in {"settings"}]
        if len(shown) > 2:
            assert all(re.search(rf"\b{p}\b", thing.__doc__) for p in shown), "a parameter is not explained"
            assert "Parameters\n" in thing.__doc__


def test_the_public_names_are_those_of_the_stub():
    stub = ast.parse((ROOT / "analysis/__init__.pyi").read_text()).body
    listed = [alias for node in stub if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert an.__all__ == dir(an) == sorted({alias.name for alias in listed})
    assert len(listed) == len(an.__all__) and all(alias.name == alias.asname for alias in listed)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = an.no_such_name


@by_name(only("analysis"))
def test_public_functions_and_classes_have_docstrings(path):
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name
