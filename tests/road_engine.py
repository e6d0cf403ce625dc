"""The road engine, which `scripts/road-engine` unpacks beside us; a test without it says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub.valhalla import Programs, find_programs

ABOVE = Path(__file__).resolve().parents
# A real city lies beside the project, in shared/maps; not every machine has it.
COLUMBUS = next((city for above in ABOVE if (city := above / "shared" / "maps" / "columbus.osm.pbf").is_file()), None)


def road_engine() -> Programs:
    """Where its programs are; the test that asks is left out where there are none."""
    programs = find_programs()
    if programs is None:
        pytest.skip("the road engine is not unpacked here: run scripts/road-engine")
    return programs
