"""No code of ours runs what a file says: every call that could is looked at, and a new one fails here."""

import ast
import functools
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("dhauds_jax", "converters", "experiments", "benchmarks")

NEVER = {"eval", "exec", "compile", "__import__", "execfile", "input"}
"""Builtins that run a text."""

NEVER_MODULES = {"marshal", "shelve", "joblib", "dill", "cloudpickle", "yaml", "jsonpickle", "pty", "code"}
"""Modules whose readers run what they read, or whose purpose it is."""

NEVER_NAMES = {
    *("os.system", "os.popen", "pickle.load", "pickle.loads", "pickle.Unpickler", "torch.load", "torch.hub.load"),
    *("pandas.read_pickle", "pd.read_pickle", "pd.eval", "numexpr.evaluate", "logging.config.dictConfig"),
    *("tf.saved_model.load", "tf.keras.models.load_model", "subprocess.getoutput", "subprocess.getstatusoutput"),
}

OPTIONS = ("shell", "allow_pickle", "trust_remote_code", "weights_only")

ARRAYS = {
    "dhauds_jax/nets/boxed.py": 1,
    "dhauds_jax/arrays.py": 1,
    "dhauds_jax/workdir/vector_files.py": 1,
    "dhauds_jax/runs/crossval_fold.py": 1,
    "dhauds_jax/runs/incremental_cache.py": 2,
    "converters/read.py": 1,
    "benchmarks/advice_table.py": 1,
    "benchmarks/zeroshot_speech.py": 1,
}
"""Who calls `np.load`, and how often. A new caller gets a row in test_readers.py as well."""

BY_NAME = {
    "dhauds_jax/__init__.py",
    "dhauds_jax/nets/__init__.py",
    "dhauds_jax/tta/__init__.py",
    "dhauds_jax/data/corruptions/__init__.py",
    "dhauds_jax/registry.py",
    "dhauds_jax/report/plotting.py",
    "converters/torch_side.py",
    "experiments/__main__.py",
}
"""Who imports by name. Only the registry takes names from elsewhere: of a command line, or of a checkpoint's config."""

CHECKPOINTS = {"dhauds_jax/nets/checkpoint.py", "dhauds_jax/workdir/saver.py"}
"""Who reads Orbax's folders, which are arrays and JSON."""

TRANSFORMERS = {"converters/torch_face.py", "converters/torch_clap.py"}
"""Who lets transformers build a network, to compare with; the weights are refused first (converters/read.py)."""


def files():
    found = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in found}


TREES = files()


def called(node):
    """The dotted name of what is called; "" where it is no name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{called(node.value) or '()'}.{node.attr}"
    return ""


KINDS = (ast.Call, ast.Import, ast.ImportFrom)


@functools.cache
def nodes(tree):
    """The calls and imports of a file, which is walked once."""
    return [node for node in ast.walk(tree) if isinstance(node, KINDS)]


def calls(tree):
    return [(called(node.func), node) for node in nodes(tree) if isinstance(node, ast.Call)]


@functools.cache
def counted():
    return {file: Counter(name for name, _ in calls(tree)) for file, tree in TREES.items()}


def who(name):
    """File -> number of calls of a dotted name."""
    return {file: counts[name] for file, counts in counted().items() if counts[name]}


def wrong_in(tree):
    found = []
    for name, node in calls(tree):
        given = {word.arg: ast.unparse(word.value) for word in node.keywords if word.arg in OPTIONS}
        bad = name in NEVER | NEVER_NAMES or given.get("shell", "False") != "False"
        bad |= given.get("allow_pickle", "False") != "False" or given.get("trust_remote_code", "False") != "False"
        bad |= given.get("weights_only", "True") != "True"
        bad |= name == "np.load" and len(node.args) > 2  # allow_pickle by its place
        found += [f"{node.lineno}: {ast.unparse(node)[:60]}"] * bad
    for node in nodes(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        found += [f"{node.lineno}: import {name}" for name in names if name.partition(".")[0] in NEVER_MODULES]
        if isinstance(node, ast.ImportFrom) and node.module == "pickle":
            found += [f"{node.lineno}: from pickle import {alias.name}" for alias in node.names]
    return found


def test_no_call_runs_what_it_reads():
    assert {file: found for file, tree in TREES.items() if (found := wrong_in(tree))} == {}


@pytest.mark.parametrize(
    "text",
    [
        "eval(line)",
        "exec(text)",
        "pickle.load(file)",
        "from pickle import loads",
        "import yaml",
        "from joblib import load",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=asked)",
        "np.load(path, None, True)",
        "torch.load(path, weights_only=False)",
        "torch.load(path)",
        "subprocess.run(line, shell=True)",
        "AutoModel.from_pretrained(path, trust_remote_code=True)",
        "def read(path):\n    import dill\n    return dill",
    ],
)
def test_an_unsafe_call_is_seen(text):
    assert len(wrong_in(ast.parse(text))) == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("np.load", ARRAYS),
        ("importlib.import_module", BY_NAME),
        ("ocp.load", CHECKPOINTS),
        ("np.fromfile", set()),
        ("np.memmap", {"dhauds_jax/data/windows.py"}),  # of a file that the same command has written
        ("jax.export.deserialize", set()),
        ("safe_open", set()),
        ("load_file", {"converters/read.py"}),  # safetensors: a JSON head and bytes
        ("tfds.builder_from_directory", set()),  # its features.json names classes that TFDS imports
        ("tfds.load", set()),
        ("runpy.run_module", {"experiments/__main__.py"}),  # a name of its own table
    ],
)
def test_every_reader_is_known(name, expected):
    found = who(name)
    assert (found if isinstance(expected, dict) else set(found)) == expected


def test_transformers_builds_classes_that_are_named_here_and_no_others():
    """An `Auto` class would look for code in the folder."""
    users = {file for file, names in counted().items() if any(name.endswith("from_pretrained") for name in names)}
    assert users == TRANSFORMERS
    for file in users:
        named = {node.value for node in ast.walk(TREES[file]) if isinstance(node, ast.Constant)}
        named |= {node.attr for node in ast.walk(TREES[file]) if isinstance(node, ast.Attribute)}
        assert not [name for name in named if isinstance(name, str) and name.startswith("Auto")]


def test_modules_that_are_imported_by_name_are_counted():
    assert Counter(who("importlib.import_module")) == {**dict.fromkeys(BY_NAME, 1), "dhauds_jax/registry.py": 2}
