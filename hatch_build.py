"""Build the two web interfaces into the wheel, so that a board or a hub never needs Node."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUILT = ("hub/web/static/dist", "edge/screen/static/dist")


class Screens(BuildHookInterface):  # type: ignore[type-arg]
    """Runs npm unless the interfaces are already built; TANDEM_BUILD_UI=1 builds them in any case, for releases."""

    def initialize(self, version: str, build_data: dict[str, list[str]]) -> None:
        """Called by hatchling before the files are gathered."""
        if version == "editable":
            return
        if os.environ.get("TANDEM_BUILD_UI") or not all(Path(self.root, folder).exists() for folder in BUILT):
            npm = shutil.which("npm")
            if npm is None:
                self.app.abort("Building the interfaces needs npm; or install a released wheel.")
            for step in (["ci", "--ignore-scripts"], ["run", "build"]):
                subprocess.run([str(npm), *step], cwd=self.root, check=True)
        build_data["artifacts"] += [f"{folder}/**" for folder in BUILT]  # git-ignored, so it must be named
