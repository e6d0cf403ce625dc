"""One incident as one person may see it: everything that the board does not carry, and what only a clinician sees."""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy import Connection

from hub import cautions, labels, packet
from hub.deeds import Deed, note, the
from hub.earlier import Earlier, earlier
from hub.errors import Refused
from hub.incidents import Asked, described
from hub.labels import ON_THE_BOARD
from hub.links import LinkView, links
from hub.remarks import Remark, remarks
from wire.state import KnownCaution, PacketAnswer


class Dossier(Struct, frozen=True, kw_only=True):
    """`revision`: to be said again by whoever changes the incident; `amber`: codes of what matters before a unit is en
    route and nobody has asked; `gate_by`: who called the scene secure; `need`: what it asks for, to be said again whole by
    whoever changes it; `merged_into`: the incident that goes on for it; `earlier`: who was at this place before."""

    id: str
    number: int
    revision: int
    state: str
    gate: str
    gate_by: str | None
    disposition: str | None
    recommended: str | None
    reopened_ms: int | None
    merged_into: str | None
    need: Asked
    amber: tuple[str, ...]
    packet: tuple[PacketAnswer, ...]
    known_cautions: tuple[KnownCaution, ...]
    remarks: tuple[Remark, ...]
    links: tuple[LinkView, ...]
    earlier: tuple[Earlier, ...]


def dossier(connection: Connection, incident_id: str, deed: Deed) -> Dossier:
    """The incident as `deed.by` may see it. Who is shown what the board does not show is in the audit."""
    found = the(connection, incident_id)
    answers = packet.of(connection, (incident_id,)).get(incident_id, ())
    whole = Dossier(
        id=found.incident,
        number=found.number,
        revision=found.revision,
        state=found.state,
        gate=found.gate,
        gate_by=found.gate_by,
        disposition=found.disposition,
        recommended=found.recommended,
        reopened_ms=found.reopened_ms,
        merged_into=found.merged_into,
        need=described(found).need,
        amber=packet.amber(packet.answered(answers), found.place, found.problem),
        packet=answers,
        known_cautions=cautions.known(connection, found, deed.now_ms),
        remarks=remarks(connection, cautions.family(connection, incident_id)),
        links=links(connection, incident_id),
        earlier=earlier(connection, found, deed.now_ms),
    )
    shown = labels.seen(whole, deed.may)
    if shown is None:
        raise Refused("not_your_role", "Your role does not include this.")
    beyond = sorted({*(one.label for one in shown.packet), *(one.label for one in shown.remarks)} - ON_THE_BOARD)
    if beyond:
        note(connection, deed, "incident_read", incident_id, " ".join(beyond))
    return shown
