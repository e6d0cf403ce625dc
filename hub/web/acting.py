"""One act on one incident, as HTTP: whose it is, that everybody hears of it, and what the incident is then."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from flask import Response
from msgspec import Struct
from sqlalchemy import Connection, Engine

from hub import labels, snapshot
from hub.deeds import Deed
from hub.errors import Refused
from hub.labels import Labels
from hub.snapshot import IncidentView
from hub.web import answers
from hub.web.access import signed_in

T = TypeVar("T")

Act = Callable[[Connection, str, T, Deed], bool]
"""Does what is asked to the incident of this id; False when this very request was done before."""


class Acting(Struct, frozen=True, kw_only=True):
    """What a view needs to act. `changed` is called after each commit that changed something."""

    engine: Engine
    changed: Callable[[], None]
    now_ms: Callable[[], int]

    def deed(self) -> Deed:
        """Who is signed in, and what this person may see, and so write."""
        session = signed_in()
        may = labels.of_role(session.role, has_cji=session.has_cji)
        return Deed(by=session.account, now_ms=self.now_ms(), may=may)

    def do(self, act: Act[T], incident_id: str, asked: T, status: int = 200) -> Response:
        """Act, and answer the incident as it is then: `status` when it is done now, 200 when it was done before."""
        with self.engine.begin() as connection:
            is_new = act(connection, incident_id, asked, self.deed())
            now = incident_of(connection, incident_id, self.deed().may)
        if is_new:
            self.changed()
        return answers.json(now, status if is_new else 200)


def incident_of(connection: Connection, incident_id: str, may: Labels = labels.ON_THE_BOARD) -> IncidentView:
    """The incident as everybody at a board may see it, and who may see less as that; Refused when there is none."""
    for found in snapshot.incidents(connection, only=incident_id):
        if (seen := labels.seen(found, may)) is not None:
            return seen
    raise Refused("not_found", "There is no such incident.")
