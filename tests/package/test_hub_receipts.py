"""Every case of what may come of a log that is held through a number."""

from __future__ import annotations

import pytest

from hub.receipts import Verdict, decide


@pytest.mark.parametrize(
    ("through", "seq", "same", "verdict"),
    [
        (0, 1, None, Verdict.TAKE),
        (7, 8, None, Verdict.TAKE),
        (7, 7, True, Verdict.HAVE),
        (7, 1, True, Verdict.HAVE),
        (7, 7, False, Verdict.CONFLICT),
        (7, 3, None, Verdict.HAVE),
        (7, 9, None, Verdict.AHEAD),
        (0, 2, None, Verdict.AHEAD),
        (0, 2**63, None, Verdict.AHEAD),
    ],
)
def test_only_the_next_number_is_taken(through: int, seq: int, same: bool | None, verdict: Verdict) -> None:
    assert decide(through, seq, same) is verdict
