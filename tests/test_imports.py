"""The structure of the package: imports run one way between its folders, and every library is declared."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import ROOT


PACKAGE = ROOT / "cot_distill_datasets"
# From the bottom to the top. Modules of one level may import each other, without a circle.
LEVELS = (
    {"errors", "files", "environment", "messages"},
    {"grading"},
    {"benchmarks"},
    {"names"},
    {"schema", "templates", "licenses", "provenance", "chat", "hub"},
    {"sources"},
    {"release"},
    {"evaluation"},
    {"reports"},
    {"training"},
    {"studies", "teachers"},
    {"recommend"},
    {"explorer"},
    {"cli", "__init__"},
)
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name != "__init__.py" or path.parent == PACKAGE
}


def _nodes(path: Path) -> Iterator[ast.Import | ast.ImportFrom]:
    return (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import | ast.ImportFrom))


def _imports(module: str) -> set[str]:
    """Return the modules of the package that `module` imports, anywhere in its text."""
    found = set()
    for node in _nodes(MODULES[module]):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = module.split(".")[: -node.level] + ([node.module] if node.module else [])
            names = [".".join([*base, alias.name]) for alias in node.names]
            found |= {name if name in MODULES else ".".join(base) for name in names}
    return found


def _libraries(path: Path) -> set[str]:
    """Return the third-party libraries that a file imports, anywhere in its text."""
    names = set()
    for node in _nodes(path):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif not node.level and node.module:
            names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"cot_distill_datasets", "__future__"}


def _room(module: str) -> str:
    return module.partition(".")[0]


IMPORTS = {module: _imports(module) for module in MODULES}


def test_every_module_has_a_level() -> None:
    assert {_room(module) for module in MODULES} == set(LEVEL)


def test_the_package_has_at_most_14_modules_at_its_root() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 14


def test_imports_between_rooms_run_one_way() -> None:
    backward = [
        (module, other)
        for module, others in IMPORTS.items()
        for other in others
        if _room(module) != _room(other) and LEVEL[_room(other)] > LEVEL[_room(module)]
    ]
    assert backward == []


def test_rooms_that_stand_side_by_side_do_not_import_each_other() -> None:
    apart = [{"training", "evaluation"}, {"teachers", "training"}, {"teachers", "evaluation"}, {"teachers", "studies"}]
    crossing = [
        (module, other)
        for module, others in IMPORTS.items()
        for other in others
        if {_room(module), _room(other)} in apart
    ]
    assert crossing == []


def test_there_is_no_circle_of_imports() -> None:
    finished: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " imports ".join([*path[path.index(module) :], module])
        if module not in finished:
            for other in IMPORTS[module] & MODULES.keys():
                visit(other, (*path, module))
            finished.add(module)

    for module in MODULES:
        visit(module, ())


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DISTRIBUTION = {
    "yaml": "pyyaml",
    "math_verify": "math-verify",
    "markdown_it": "markdown-it-py",
}  # where the names differ
CORE = {
    "errors",
    "files",
    "environment",
    "messages",
    "names",
    "benchmarks",
    "schema",
    "templates",
    "licenses",
    "hub",
    "cli",
    "__init__",
}
CORE |= {"grading", "sources", "release"}


def _declared(*extras: str) -> set[str]:
    requirements = [
        *PROJECT["dependencies"],
        *(r for extra in extras for r in PROJECT["optional-dependencies"][extra]),
    ]
    return {re.split(r"[\[>=<;]", requirement)[0].lower() for requirement in requirements}


@pytest.mark.parametrize("module", MODULES)
def test_every_imported_library_is_declared_in_the_extra_of_its_room(module: str) -> None:
    """A training also runs the code of `evaluation` and `reports`, so the extra `train` has their libraries."""
    room = _room(module)
    extras = [()] if room in CORE else [("eval",), ("train",)] if room in ("evaluation", "reports") else [("train",)]
    own = {
        "studies": [("train", "study")],
        "recommend": [("train", "study")],
        "teachers": [("annotate",)],
        "explorer": [("explore",)],
    }
    extras = own.get(room, extras)
    optional = {"vllm"} if "vllm" in module else set()
    libraries = {DISTRIBUTION.get(name, name) for name in _libraries(MODULES[module])} - optional
    for names in extras:
        assert libraries - _declared(*names) - ({"lm_eval"} if module == "cli.parser" else set()) == set()


def test_files_and_functions_are_short() -> None:
    paths = [*MODULES.values(), ROOT / "training/sft.py"]
    assert [path for path in paths if len(path.read_text().splitlines()) > 350] == []
    functions = (
        (path.name, node.name, (node.end_lineno or 0) - node.lineno + 1)
        for path in paths
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    )
    assert [function for function in functions if function[2] > 45] == []


def test_every_text_file_is_read_and_written_as_utf_8() -> None:
    calls = [
        (path.name, node.lineno)
        for path in [*MODULES.values(), ROOT / "training/sft.py"]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", "") in ("read_text", "write_text")
        and "encoding" not in {keyword.arg for keyword in node.keywords}
    ]
    assert calls == []
