"""STT streams under a provider's limits: waited for, open, or opened a moment ago."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "stream_leases",
        sa.Column("provider", sa.String, nullable=False),
        sa.Column("lease_id", sa.String, nullable=False),
        sa.Column("run_id", sa.String, nullable=False),
        sa.Column("asked_at", sa.String, nullable=False),
        sa.Column("opened_at", sa.String),
        sa.Column("released_at", sa.String),
        sa.Column("expires_at", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("provider", "lease_id", name="pk_stream_leases"),
    )
