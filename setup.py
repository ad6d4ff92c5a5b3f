"""What setup.cfg cannot say: a wheel holds the compiled modules of the core too, where a compiler is."""

import subprocess
import sys
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

sys.path.insert(0, str(Path(__file__).parent))

from fraudstream.compiled import compile_core


class BuildWithCompiledCore(build_py):
    """Compile beside the copied sources; an editable install is compiled by ``make setup``."""

    def run(self) -> None:
        """Copy the sources, then compile them."""
        super().run()
        core = Path(self.build_lib) / "fraudstream" / "core"
        if self.editable_mode or not core.is_dir():
            return
        try:
            compile_core(core)
        except (OSError, subprocess.CalledProcessError) as fault:
            print(f"core not compiled, it runs as plain Python: {fault}", file=sys.stderr)


class BinaryDistribution(Distribution):
    """A wheel for one platform."""

    def has_ext_modules(self) -> bool:
        """Say that there are compiled modules."""
        return True


setup(cmdclass={"build_py": BuildWithCompiledCore}, distclass=BinaryDistribution)
