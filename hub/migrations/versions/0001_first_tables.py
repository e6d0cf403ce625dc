"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("password", sa.LargeBinary(), nullable=False),
        sa.Column("fails", sa.Integer(), nullable=False),
        sa.Column("first_fail_ms", sa.Integer(), nullable=True),
        sa.Column("locked_ms", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("account"),
    )
    op.create_table(
        "audit",
        sa.Column("seq", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("at_ms", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_table(
        "boot",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("boot", sa.LargeBinary(), nullable=False),
        sa.Column("session", sa.Integer(), nullable=False),
        sa.Column("mono_ms", sa.Integer(), nullable=False),
        sa.Column("held_ms", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("device", "boot"),
    )
    op.create_table(
        "clock_correction",
        sa.Column("record", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("boot", sa.LargeBinary(), nullable=False),
        sa.Column("mono_ms", sa.Integer(), nullable=False),
        sa.Column("wall_before_ms", sa.Integer(), nullable=False),
        sa.Column("wall_after_ms", sa.Integer(), nullable=False),
        sa.Column("quality", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("record"),
    )
    with op.batch_alter_table("clock_correction", schema=None) as batch_op:
        batch_op.create_index("clock_correction_by_boot", ["device", "boot", "mono_ms"], unique=False)

    op.create_table(
        "desired",
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("section", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("held_epoch", sa.Integer(), nullable=False),
        sa.Column("held_n", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("device", "section"),
    )
    op.create_table(
        "gap",
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("log_id", sa.LargeBinary(), nullable=False),
        sa.Column("first", sa.Integer(), nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.Column("noted_ms", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("device", "log_id", "first"),
    )
    op.create_table(
        "hub_fact",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "incident",
        sa.Column("incident", sa.Text(), nullable=False),
        sa.Column("encounter", sa.LargeBinary(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("lat", sa.Float(), nullable=False),
        sa.Column("lon", sa.Float(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("cautions", sa.Text(), nullable=False),
        sa.Column("need", sa.Text(), nullable=False),
        sa.Column("gate", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("opened_ms", sa.Integer(), nullable=False),
        sa.Column("opened_by", sa.Text(), nullable=False),
        sa.Column("closed_ms", sa.Integer(), nullable=True),
        sa.Column("disposition", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("incident"),
        sa.UniqueConstraint("encounter"),
        sa.UniqueConstraint("number"),
    )
    op.create_table(
        "log",
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("log_id", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("through", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("device", "log_id"),
    )
    op.create_table(
        "note",
        sa.Column("note_id", sa.LargeBinary(), nullable=False),
        sa.Column("encounter", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=True),
        sa.Column("disposition", sa.Text(), nullable=True),
        sa.Column("body_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("note", sa.LargeBinary(), nullable=False),
        sa.Column("certificate", sa.LargeBinary(), nullable=False),
        sa.Column("held_ms", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("note_id"),
    )
    with op.batch_alter_table("note", schema=None) as batch_op:
        batch_op.create_index("note_by_encounter", ["encounter"], unique=False)

    op.create_table(
        "position_last",
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("fix", sa.LargeBinary(), nullable=True),
        sa.Column("has_fix", sa.Boolean(), nullable=False),
        sa.Column("arrived_ms", sa.Integer(), nullable=False),
        sa.Column("age_ms", sa.Integer(), nullable=False),
        sa.Column("boot", sa.LargeBinary(), nullable=False),
        sa.Column("mono_ms", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("unit"),
    )
    op.create_table(
        "quarantine",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("held_ms", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("quarantine", schema=None) as batch_op:
        batch_op.create_index("quarantine_by_device", ["device"], unique=False)

    op.create_table(
        "signer",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("public", sa.LargeBinary(), nullable=False),
        sa.Column("certificate", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("digest"),
    )
    op.create_table(
        "staff",
        sa.Column("staff", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("skills", sa.Text(), nullable=False),
        sa.Column("languages", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("staff"),
    )
    op.create_table(
        "status_history",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("assignment", sa.Text(), nullable=True),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("staff", sa.Text(), nullable=True),
        sa.Column("skipped", sa.Boolean(), nullable=False),
        sa.Column("noted_ms", sa.Integer(), nullable=True),
        sa.Column("quality", sa.Text(), nullable=False),
        sa.Column("held_ms", sa.Integer(), nullable=False),
        sa.Column("device", sa.Text(), nullable=True),
        sa.Column("boot", sa.LargeBinary(), nullable=True),
        sa.Column("mono_ms", sa.Integer(), nullable=True),
        sa.Column("stamped_ms", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("status_history", schema=None) as batch_op:
        batch_op.create_index("status_history_by_unit", ["unit", "id"], unique=False)

    op.create_table(
        "twin",
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("boot", sa.LargeBinary(), nullable=False),
        sa.Column("is_stranger", sa.Boolean(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("noted_ms", sa.Integer(), nullable=False),
        sa.Column("newest_ms", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("device", "boot"),
    )
    op.create_table(
        "device_order",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("issued_ms", sa.Integer(), nullable=False),
        sa.Column("issued_by", sa.Text(), nullable=False),
        sa.Column("done_ms", sa.Integer(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("device_order", schema=None) as batch_op:
        batch_op.create_index("device_order_by_device", ["device", "done_ms"], unique=False)

    op.create_table(
        "unit",
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("call_sign", sa.Text(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("unit"),
        sa.UniqueConstraint("call_sign"),
    )
    op.create_table(
        "unit_now",
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("status_ms", sa.Integer(), nullable=False),
        sa.Column("status_by", sa.Text(), nullable=False),
        sa.Column("skipped", sa.Boolean(), nullable=False),
        sa.Column("assignment", sa.Text(), nullable=True),
        sa.Column("crew", sa.Text(), nullable=False),
        sa.Column("shift", sa.LargeBinary(), nullable=True),
        sa.Column("log_id", sa.LargeBinary(), nullable=True),
        sa.Column("status_through", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("unit"),
    )
    op.create_table(
        "assignment",
        sa.Column("assignment", sa.Text(), nullable=False),
        sa.Column("incident", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("offered_ms", sa.Integer(), nullable=False),
        sa.Column("offered_by", sa.Text(), nullable=False),
        sa.Column("version_epoch", sa.Integer(), nullable=True),
        sa.Column("version_n", sa.Integer(), nullable=True),
        sa.Column("received_ms", sa.Integer(), nullable=True),
        sa.Column("acknowledged_ms", sa.Integer(), nullable=True),
        sa.Column("released_ms", sa.Integer(), nullable=True),
        sa.Column("released_by", sa.Text(), nullable=True),
        sa.Column("override_reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["incident"],
            ["incident.incident"],
        ),
        sa.ForeignKeyConstraint(
            ["unit"],
            ["unit.unit"],
        ),
        sa.PrimaryKeyConstraint("assignment"),
    )
    with op.batch_alter_table("assignment", schema=None) as batch_op:
        batch_op.create_index("assignment_by_unit", ["unit", "released_ms"], unique=False)

    op.create_table(
        "device",
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("public", sa.LargeBinary(), nullable=True),
        sa.Column("kem_public", sa.LargeBinary(), nullable=True),
        sa.Column("certificate", sa.LargeBinary(), nullable=True),
        sa.Column("serial", sa.Text(), nullable=True),
        sa.Column("not_after_ms", sa.Integer(), nullable=True),
        sa.Column("facts", sa.LargeBinary(), nullable=True),
        sa.Column("added_ms", sa.Integer(), nullable=False),
        sa.Column("enrolled_ms", sa.Integer(), nullable=True),
        sa.Column("revoked_ms", sa.Integer(), nullable=True),
        sa.Column("revoked_reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["unit"],
            ["unit.unit"],
        ),
        sa.PrimaryKeyConstraint("device"),
    )
    op.create_table(
        "duty",
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("staff", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["staff"],
            ["staff.staff"],
        ),
        sa.ForeignKeyConstraint(
            ["unit"],
            ["unit.unit"],
        ),
        sa.PrimaryKeyConstraint("unit", "staff"),
    )
    op.create_table(
        "ranking",
        sa.Column("ranking", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("incident", sa.Text(), nullable=False),
        sa.Column("ranked_ms", sa.Integer(), nullable=False),
        sa.Column("ranked_by", sa.Text(), nullable=False),
        sa.Column("engine", sa.Text(), nullable=False),
        sa.Column("candidates", sa.Text(), nullable=False),
        sa.Column("chosen", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["incident"],
            ["incident.incident"],
        ),
        sa.PrimaryKeyConstraint("ranking"),
    )
    op.create_table(
        "record",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("log_id", sa.LargeBinary(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("held_ms", sa.Integer(), nullable=False),
        sa.Column("signer", sa.Integer(), nullable=False),
        sa.Column("refused", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["signer"],
            ["signer.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("device", "log_id", "seq"),
    )
    with op.batch_alter_table("record", schema=None) as batch_op:
        batch_op.create_index("record_by_kind", ["kind", "id"], unique=False)

    op.create_table(
        "alarm",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("held_ms", sa.Integer(), nullable=False),
        sa.Column("signer", sa.Integer(), nullable=False),
        sa.Column("after_record", sa.Integer(), nullable=False),
        sa.Column("after_act", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["signer"],
            ["signer.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("digest"),
    )
    op.create_table(
        "emergency",
        sa.Column("emergency", sa.LargeBinary(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=True),
        sa.Column("is_drill", sa.Boolean(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("received_ms", sa.Integer(), nullable=False),
        sa.Column("pressed_ms", sa.Integer(), nullable=True),
        sa.Column("presses", sa.Integer(), nullable=False),
        sa.Column("newest_ms", sa.Integer(), nullable=False),
        sa.Column("staff", sa.Text(), nullable=False),
        sa.Column("assignment", sa.Text(), nullable=True),
        sa.Column("incident", sa.Text(), nullable=True),
        sa.Column("fix", sa.LargeBinary(), nullable=True),
        sa.Column("fix_age_ms", sa.Integer(), nullable=True),
        sa.Column("asked_ms", sa.Integer(), nullable=True),
        sa.Column("acknowledged_ms", sa.Integer(), nullable=True),
        sa.Column("acknowledged_by", sa.Text(), nullable=True),
        sa.Column("cleared_ms", sa.Integer(), nullable=True),
        sa.Column("cleared_by", sa.Text(), nullable=True),
        sa.Column("contact", sa.Text(), nullable=True),
        sa.Column("words", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("emergency"),
    )
    with op.batch_alter_table("emergency", schema=None) as batch_op:
        batch_op.create_index("emergency_by_device", ["device", "cleared_ms"], unique=False)

    op.create_table(
        "press",
        sa.Column("emergency", sa.LargeBinary(), nullable=False),
        sa.Column("boot", sa.LargeBinary(), nullable=False),
        sa.Column("mono_ms", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("asks_clear", sa.Boolean(), nullable=False),
        sa.Column("held_ms", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("emergency", "boot", "mono_ms"),
    )
    op.create_table(
        "web_session",
        sa.Column("session", sa.LargeBinary(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("csrf", sa.Text(), nullable=False),
        sa.Column("began_ms", sa.Integer(), nullable=False),
        sa.Column("seen_ms", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account"],
            ["account.account"],
        ),
        sa.PrimaryKeyConstraint("session"),
    )
    op.create_table(
        "stray",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("log_id", sa.LargeBinary(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("boot", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("held_ms", sa.Integer(), nullable=False),
        sa.Column("signer", sa.Integer(), nullable=False),
        sa.Column("settled_ms", sa.Integer(), nullable=True),
        sa.Column("settled", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["signer"],
            ["signer.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("digest"),
    )
    with op.batch_alter_table("stray", schema=None) as batch_op:
        batch_op.create_index("stray_by_device", ["device", "settled_ms"], unique=False)

    op.create_table(
        "act",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("after_record", sa.Integer(), nullable=False),
        sa.Column("at_ms", sa.Integer(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("assignment", sa.Text(), nullable=True),
        sa.Column("emergency", sa.LargeBinary(), nullable=True),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("contact", sa.Text(), nullable=True),
        sa.Column("words", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["assignment"],
            ["assignment.assignment"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("act", schema=None) as batch_op:
        batch_op.create_index("act_by_assignment", ["assignment"], unique=False)

    op.create_table(
        "bundle",
        sa.Column("tid", sa.LargeBinary(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("exp_ms", sa.Integer(), nullable=False),
        sa.Column("wrong_macs", sa.Integer(), nullable=False),
        sa.Column("used_ms", sa.Integer(), nullable=True),
        sa.Column("answer_to", sa.LargeBinary(), nullable=True),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(
            ["device"],
            ["device.device"],
        ),
        sa.PrimaryKeyConstraint("tid"),
    )
