"""What a ranking rested on, which assignment came of it, licenses, and rests that a supervisor ended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("ranking", sa.Column("need", sa.Text(), nullable=True))
    op.add_column("ranking", sa.Column("rules", sa.Text(), nullable=True))
    op.add_column("ranking", sa.Column("graph", sa.Text(), nullable=True))
    op.add_column("ranking", sa.Column("book", sa.Integer(), nullable=True))
    op.add_column("ranking", sa.Column("known", sa.LargeBinary(), nullable=True))
    op.add_column("assignment", sa.Column("ranking", sa.Integer(), nullable=True))
    op.add_column("staff", sa.Column("licenses", sa.Text(), nullable=False, server_default=""))
    op.create_index("assignment_by_ranking", "assignment", ["ranking"], unique=False)
    op.create_table(
        "rest_ended",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.Integer(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["unit"],
            ["unit.unit"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("rest_ended_by_unit", "rest_ended", ["unit", "at_ms"], unique=False)
