"""The real terminal or hub with one part that breaks when a file appears: `python -m tests.system.failpoint PART HOW FILE …`.

Only the process that is run this way is touched. HOW is "hang" or "raise"; the rest is the program's own command line.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

from edge import main as edge_main
from edge.assembly import Terminal
from edge.clock_watch import ClockWatch
from edge.downlink import Downlink
from edge.emergency import Emergency
from edge.link import Link
from edge.uplink import LiveSlot, Uplink
from hub import downlink as hub_downlink
from hub import link as hub_link
from hub import main as hub_main

# The function that the part calls each time it comes by, and whose command line follows.
PARTS: dict[str, tuple[type, str, Callable[[], Any]]] = {
    "uplink": (Uplink, "step", edge_main.cli),
    "downlink": (Downlink, "take", edge_main.cli),
    "live": (LiveSlot, "_due", edge_main.cli),
    "emergency": (Emergency, "_send", edge_main.cli),
    "clock": (ClockWatch, "look", edge_main.cli),
    "link": (Link, "_until_lost", edge_main.cli),
    "network": (Terminal, "_heard", edge_main.cli),  # in a callback, on the MQTT library's own thread
    "hub-downlink": (hub_downlink.Downlink, "_answer", hub_main.cli),
    "hub-link": (hub_link.Link, "_conversation", hub_main.cli),
    "hub-intake": (hub_link.Link, "receive", hub_main.cli),
}


def main() -> None:
    part, how, file, *arguments = sys.argv[1:]
    owner, name, cli = PARTS[part]
    real = getattr(owner, name)

    def breaks(*given: Any, **named: Any) -> Any:
        if Path(file).exists():
            if how == "raise":
                raise RuntimeError("a failure that a test asked for")
            Event().wait()
        return real(*given, **named)

    setattr(owner, name, breaks)
    sys.argv = ["failpoint", *arguments]
    cli()


if __name__ == "__main__":
    main()
