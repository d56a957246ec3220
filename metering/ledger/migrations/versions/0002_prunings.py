"""Which jobs' usage was pruned, and how many instances had been claimed for them by then."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "prunings",
        sa.Column("job_id", sa.String, nullable=False),
        sa.Column("pruned_at", sa.String, nullable=False),
        sa.Column("instances", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("job_id", name="pk_prunings"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name="fk_prunings_job_id"),
    )
