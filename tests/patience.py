"""How long a test waits for what must come. It says nothing about how soon it should.

The host of a virtual machine may take its processors away for half a minute at a time; a test that gave up earlier
would tell of the host. Nothing is asserted about the time: what comes early is taken early.
"""

from __future__ import annotations

PATIENCE_S = 120.0
PATIENCE_MS = PATIENCE_S * 1000
