"""What is shipped: the list of packages, the wheel, the command line's start, the Makefile's error."""

import os
import shutil
import stat
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import ocelog
import pytest

ROOT = Path(ocelog.__file__).parent
ROOMS = ("bench", "client", "cluster", "log", "shard")


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def modules() -> set[str]:
    """Every module of the project, as paths below the package."""
    rooms = (path.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    return {str(path) for path in rooms} | {"__init__.py", "__main__.py"}


def test_every_package_is_listed():
    found = {str(Path(module).parent).replace("/", ".") for module in modules() if module.endswith("__init__.py")}
    expected = {"ocelog" if name == "." else f"ocelog.{name}" for name in found}
    assert set(project()["tool"]["setuptools"]["packages"]) == expected


def test_every_folder_with_modules_is_a_package():
    for module in modules():
        assert (ROOT / module).with_name("__init__.py").exists(), module


def test_the_version_is_the_same_everywhere():
    assert project()["project"]["version"] == ocelog.__version__
    assert f"\n## {ocelog.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_wheel_holds_every_module_and_nothing_else(tmp_path):
    source = tmp_path / "checkout"  # a build leaves files behind, and the name of a checkout must not matter
    ignored = shutil.ignore_patterns(".*", "build", "dist", "data", "*.egg-info", "__pycache__", "tests")
    shutil.copytree(ROOT, source, ignore=ignored)
    built = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(source)],
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    shipped = {name.removeprefix("ocelog/") for name in names if not name.split("/")[0].endswith(".dist-info")}
    assert shipped == modules() | {"py.typed"}


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-P", *arguments], capture_output=True, text=True, env={**os.environ, **environment}
    )


def test_help_imports_no_room():
    """What keeps `ocelog --help` fast: neither numpy nor ZeroMQ nor any room is imported for it."""
    script = (
        "import sys; from ocelog.__main__ import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'numpy', 'zmq', 'msgpack', 'psutil', 'rich'}))\n"
        f"print(sorted(name for name in sys.modules if name in {[f'ocelog.{room}' for room in ROOMS]}))"
    )
    lines = run("-c", script).stdout.splitlines()
    assert lines[-2:] == ["[]", "[]"]
    assert lines[0] == "usage: ocelog VERB ..."


def test_every_verb_has_a_module_and_help():
    from ocelog.__main__ import VERBS

    for verb in VERBS:
        done = run("-m", "ocelog", verb, "--help")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"usage: ocelog {verb}")


def test_the_pytest_plugin_imports_nothing_of_ours():
    listing = "sorted(name for name in sys.modules if name[:6] == 'ocelog')"
    script = f"import sys, ocelog.cluster.pytest_plugin; print(*{listing})"
    assert run("-c", script).stdout.split() == ["ocelog", "ocelog.cluster", "ocelog.cluster.pytest_plugin"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["stauts"], 64, "unknown verb 'stauts': did you mean 'status'?"),
        (["--shards"], 64, "unrecognized arguments: --shards"),
        (["up", "--shard", "two"], 64, "invalid int value: 'two'"),
        (["up", "--sockets", "x"], 64, "unrecognized arguments: --sockets x"),
        (["map", "put", "m", "k"], 64, "the following arguments are required: VALUE"),
        (["map", "putt", "m"], 64, "invalid choice: 'putt': did you mean 'put'?"),
        (["set", "add_mani", "s"], 64, "invalid choice: 'add_mani': did you mean 'add-many'?"),
        (
            ["set", "xyz", "s"],
            64,
            "'xyz'; there are add, add-many, remove, remove-many, contains, contains-many, size,",
        ),
        (["lock", "l"], 64, "or --status\nTry: ocelog lock --help"),
        (["barrier", "enter", "b", "2"], 64, "behind --\nTry: ocelog barrier --help"),
        (["partition", "hold", "p", "--items", ","], 64, "there is nothing to divide"),
        (["counter", "add", "c", "1.5"], 64, "invalid int value: '1.5'"),
        (["status", "--timeout", "0"], 64, "not a time in seconds"),
        (["status", "--endpoints", "somewhere"], 64, "not an endpoint: 'somewhere'"),
        (["up", "--replicas", "0"], 78, "cluster.replicas is 0, and must be at least 1"),
        (["up", "--listen", "tcp://0.0.0.0:7400"], 78, "needs CURVE"),
        (["up", "--config", "absent.toml"], 78, "absent.toml cannot be read"),
        (["up", "--data", "/proc/ocelog"], 73, "/proc/ocelog: No such file or directory): give another with --data"),
        ([], 64, "usage: ocelog VERB ..."),
    ],
)
def test_a_mistake_is_one_clear_line_and_a_code_of_sysexits(arguments, code, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run("-m", "ocelog", *arguments)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_variable_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run("-m", "ocelog", "up", OCELOG_RAFT__TIK_MS="5")
    assert (done.returncode, "did you mean 'OCELOG_RAFT__TICK_MS'" in done.stderr) == (78, True)


def test_it_does_not_run_without_assertions():
    done = run("-O", "-m", "ocelog", "--version")
    assert (done.returncode, "without -O" in done.stderr) == (78, True)


def test_make_names_an_old_python_clearly(tmp_path):
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.1" && exit 0\nexit 1\n')
    old.chmod(old.stat().st_mode | stat.S_IXUSR)
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    done = subprocess.run(["make", "up", f"PYTHON={old}"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert "ocelog needs Python 3.11 or newer" in done.stderr
    assert "Python 3.9.1" in done.stderr
