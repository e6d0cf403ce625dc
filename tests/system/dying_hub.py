"""The hub's own program with one failpoint: with a file `die` in its home it is killed between a commit and its receipt."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from hub import assembly, main
from hub.link import Link
from wire.topics import Receipts, Topic

DIE = "die"


class Dying(Link):
    """Its intake publishes a receipt when the commit has returned, and before anything is acknowledged."""

    def publish(self, topic: Topic, payload: bytes) -> bool:
        """As the link's, or the end."""
        if isinstance(topic, Receipts) and (Path(sys.argv[sys.argv.index("--home") + 1]) / DIE).exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().publish(topic, payload)


if __name__ == "__main__":
    assembly.Link = Dying  # type: ignore[misc]
    main.cli(prog_name="tandem-hub")
