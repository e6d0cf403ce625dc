"""One agency for all the tests of this folder that only use it; those that break it for good make their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.agency import make_once
from tests.system.site import Site, open_site


@pytest.fixture(scope="session")
def made_agency(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of an agency that nobody runs: for `open_site`."""
    ours = tmp_path_factory.getbasetemp()
    of_all_workers = ours.parent if "PYTEST_XDIST_WORKER" in os.environ else ours
    return make_once(of_all_workers / "agency-once")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, made_agency: Path) -> Iterator[Site]:
    with open_site(tmp_path_factory.mktemp("agency") / "home", made_agency) as opened:
        yield opened
