"""Statements that were issued, frozen as they were printed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "statements",
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("statement_id", sa.String, nullable=False),
        sa.Column("book", sa.String, nullable=False),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("period", sa.String, nullable=False),
        sa.Column("timezone", sa.String, nullable=False),
        sa.Column("started_at", sa.String, nullable=False),
        sa.Column("ended_at", sa.String, nullable=False),
        sa.Column("plan", sa.String, nullable=False),
        sa.Column("currency", sa.String, nullable=False),
        sa.Column("total", sa.String, nullable=False),
        sa.Column("issued_at", sa.String, nullable=False),
        sa.Column("figures", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("groupings", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_statements"),
    )
    op.create_index("ix_statements_statement_id", "statements", ["statement_id"], unique=True)
    op.create_index(
        "ix_statements_payer_period", "statements", ["book", "tenant", "period"], unique=True
    )
