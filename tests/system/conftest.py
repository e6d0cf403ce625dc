"""One agency for all the tests of this folder that only use it; those that break it for good make their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.site import Site, open_site


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site(tmp_path_factory.mktemp("agency") / "home") as opened:
        yield opened
