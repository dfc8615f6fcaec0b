"""Say the one thing that pyproject.toml cannot: build in a fresh folder.

setuptools packs whatever lies in ``build/lib``, and after an earlier build that includes files deleted since.
"""

import tempfile

from setuptools import setup

with tempfile.TemporaryDirectory(prefix="zsr-sim-build-") as fresh:
    setup(options={"build": {"build_base": fresh}})
