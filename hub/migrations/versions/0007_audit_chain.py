"""Each line of the audit carries a hash over itself and the one before. Only adds; lines of before are chained as they are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # May be empty: a program of the release before writes lines without it, and the next start of this one chains them.
    op.add_column("audit", sa.Column("chained", sa.LargeBinary(), nullable=True))
