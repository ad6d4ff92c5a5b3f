"""The hot modules of the core as compiled extensions: built from the same source, and never a stale one.

``python -m fraudstream.compiled`` translates :data:`MODULES` by mypyc and has them compiled, into a folder
beside them that is named after a digest of every source of the core, the interpreter and the machine.
``fraudstream.core`` looks into the folder of the sources as they are, and nowhere else: after any change
there is none, and the plain modules run, giving the same numbers to the last bit more slowly,
until they are compiled again. ``python -X fraudstream=plain`` runs them in any case.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

MODULES = (
    "assembling",
    "backtest",
    "features",
    "ftrl",
    "history",
    "learning",
    "look_tables",
    "looks",
    "observation",
    "prequential",
    "price_levels",
    "reason_words",
    "reasons",
    "review_budget",
    "risk",
    "scoring",
    "serving",
    "weighing",
    "window",
    "windows",
)
"""Modules of the core that are compiled, as one: they call each other, and hold each other's state, without
the interpreter. No structs, enumerations or protocols live in them: those stay plain classes."""

_CORE = Path(__file__).parent / "core"

_TYPES = """\
[mypy]
follow_imports = silent
[mypy-river.*]
follow_imports = skip
[mypy-numpy.*]
follow_imports = skip
"""
"""River and NumPy are named by no compiled module, and take minutes to be understood."""

_SETUP = """\
import sys
from pathlib import Path

from fraudstream.core.terms import assembling
from mypyc.build import mypycify
from setuptools import setup

Path("fraudstream/core/assembling.py").write_text(assembling())
setup(
    name="core",
    script_args=["--quiet", "build_ext", "--inplace"],
    ext_modules=mypycify(["--config-file", "mypy.ini", *sys.argv[1:]], group_name="fraudstream.core.core"),
)
"""


def folder_of(core: Path = _CORE) -> Path:
    """Return where the compiled modules of these very sources are, if they have been compiled."""
    digest = hashlib.sha256("\0".join((_SETUP, *MODULES)).encode())
    for source in sorted(core.glob("*.py")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return core / "_compiled" / f"{digest.hexdigest()[:16]}-{sysconfig.get_config_var('SOABI')}"


def compiled_path() -> list[str]:
    """Return what goes before the sources on the search path of the core: the folder, if it exists."""
    if sys._xoptions.get("fraudstream") == "plain":
        return []
    folder = folder_of()
    return [str(folder)] if folder.is_dir() else []


def compile_core(core: Path = _CORE) -> Path:
    """Compile the modules of a core, unless that was done, and remove those compiled from older sources.

    All or nothing: the folder appears with everything in it.

    Raises
    ------
    subprocess.CalledProcessError
        There is no compiler, or it failed; nothing has changed.
    """
    folder = folder_of(core)
    if folder.is_dir():
        return folder
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        package = root / "fraudstream"
        shutil.copytree(core, package / "core", ignore=shutil.ignore_patterns("_compiled", "__pycache__"))
        for name in ("__init__.py", "errors.py", "compiled.py"):
            shutil.copy(_CORE.parent / name, package)
        (root / "mypy.ini").write_text(_TYPES, "utf-8")
        (root / "setup.py").write_text(_SETUP, "utf-8")
        subprocess.run(  # noqa: S603  our own script
            [sys.executable, "setup.py", *(f"fraudstream/core/{name}.py" for name in MODULES)],
            cwd=root,
            check=True,
            capture_output=True,
        )
        folder.parent.mkdir(exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=folder.parent))
        for built in package.glob("core/*.so"):
            shutil.copy(built, made)
        made.chmod(0o755)
        made.rename(folder)
    for other in folder.parent.iterdir():
        if other != folder:
            shutil.rmtree(other)
    return folder


def main() -> int:
    """Compile the core where it can be, and say in one line what came of it."""
    try:
        folder = compile_core()
    except (ImportError, OSError, subprocess.CalledProcessError) as fault:
        told = getattr(fault, "stderr", b"") or str(fault).encode()
        last = told.decode(errors="replace").strip().splitlines()[-1:]
        print(f"core not compiled, it runs as plain Python: {''.join(last)}")
        return 0 if "--optional" in sys.argv else 1
    print(f"core compiled into {os.path.relpath(folder)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
