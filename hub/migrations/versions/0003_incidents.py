"""Incidents that are told, changed, linked and reopened: their acts, packet and cautions.

Only adds, and what it adds to a table that was there has a default: what an older program writes stays valid.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in (
        sa.Column("revision", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("gate_by", sa.Text(), nullable=True),
        sa.Column("recommended", sa.Text(), nullable=True),
        sa.Column("reopened_ms", sa.Integer(), nullable=True),
        sa.Column("merged_into", sa.Text(), nullable=True),
    ):
        op.add_column("incident", column)
    op.create_table(
        "incident_act",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("incident", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.Integer(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.Column("lines", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["incident"], ["incident.incident"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("act"),
    )
    op.create_index("incident_act_by_incident", "incident_act", ["incident", "id"], unique=False)
    op.create_table(
        "packet_answer",
        sa.Column("incident", sa.Text(), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.Integer(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["incident"], ["incident.incident"]),
        sa.PrimaryKeyConstraint("incident", "question"),
    )
    op.create_table(
        "caution",
        sa.Column("caution", sa.Text(), nullable=False),
        sa.Column("incident", sa.Text(), nullable=False),
        sa.Column("behavior", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("born", sa.Text(), nullable=False),
        sa.Column("lat", sa.Float(), nullable=False),
        sa.Column("lon", sa.Float(), nullable=False),
        sa.Column("radius_m", sa.Integer(), nullable=False),
        sa.Column("observed_ms", sa.Integer(), nullable=False),
        sa.Column("expires_ms", sa.Integer(), nullable=False),
        sa.Column("entered_ms", sa.Integer(), nullable=False),
        sa.Column("entered_by", sa.Text(), nullable=False),
        sa.Column("ended_ms", sa.Integer(), nullable=True),
        sa.Column("ended_by", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["incident"], ["incident.incident"]),
        sa.PrimaryKeyConstraint("caution"),
    )
    op.create_index("incident_by_survivor", "incident", ["merged_into"], unique=False)
    op.create_index("caution_by_place", "caution", ["lat"], unique=False)
    op.create_index("caution_by_incident", "caution", ["incident"], unique=False)
    op.create_index("caution_by_born", "caution", ["born"], unique=False)
    op.create_table(
        "incident_link",
        sa.Column("one", sa.Text(), nullable=False),
        sa.Column("other", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["one"], ["incident.incident"]),
        sa.ForeignKeyConstraint(["other"], ["incident.incident"]),
        sa.PrimaryKeyConstraint("one", "other"),
    )
