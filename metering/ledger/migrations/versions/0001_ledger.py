"""The first ledger: jobs, runs, usage and who pays for it, ratings and their charges, people."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("job_id", sa.String, nullable=False),
        sa.Column("dispatch_id", sa.String, nullable=False),
        sa.Column("room_name", sa.Text, nullable=False),
        sa.Column("room_sid", sa.String, nullable=False),
        sa.Column("agent_name", sa.Text, nullable=False),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("tags", sa.JSON, nullable=False),
        sa.Column("hosting", sa.String, nullable=False),
        sa.Column("plan", sa.String, nullable=False),
        sa.Column("started_at", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("job_id", name="pk_jobs"),
    )
    op.create_index("ix_jobs_started_at", "jobs", ["started_at"])
    op.create_index("ix_jobs_tenant", "jobs", ["tenant"])
    op.create_table(
        "runs",
        sa.Column("run_id", sa.String, nullable=False),
        sa.Column("job_id", sa.String, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("started_at", sa.String, nullable=False),
        sa.Column("ended_at", sa.String, nullable=False),
        sa.Column("damaged_lines", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("run_id", name="pk_runs"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name="fk_runs_job_id"),
    )
    op.create_index("ix_runs_job_id", "runs", ["job_id"])
    op.create_table(
        "usage",
        sa.Column("run_id", sa.String, nullable=False),
        sa.Column("instance_id", sa.String, nullable=False),
        sa.Column("meter", sa.String, nullable=False),
        sa.Column("job_id", sa.String, nullable=False),
        sa.Column("provider", sa.String, nullable=False),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("attributes", sa.JSON, nullable=False),
        sa.Column("participant", sa.String),
        sa.Column("purpose", sa.String, nullable=False),
        sa.Column("quantity", sa.String, nullable=False),
        sa.Column("unit", sa.String, nullable=False),
        sa.Column("certainty", sa.String, nullable=False),
        sa.Column("quantity_lower", sa.String),
        sa.Column("quantity_upper", sa.String),
        sa.Column("provider_stated", sa.String),
        sa.Column("provider_ref", sa.String),
        sa.Column("started_at", sa.String, nullable=False),
        sa.Column("ended_at", sa.String, nullable=False),
        sa.Column("source", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "instance_id", "meter", name="pk_usage"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_usage_run_id"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name="fk_usage_job_id"),
    )
    op.create_index("ix_usage_job_id", "usage", ["job_id"])
    op.create_index("ix_usage_ended_at", "usage", ["ended_at"])
    op.create_table(
        "claims",
        sa.Column("instance_id", sa.String, nullable=False),
        sa.Column("meter", sa.String, nullable=False),
        sa.Column("job_id", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("instance_id", "meter", name="pk_claims"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name="fk_claims_job_id"),
    )
    op.create_index("ix_claims_job_id", "claims", ["job_id"])
    op.create_table(
        "ratings",
        sa.Column("job_id", sa.String, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("rate_card", sa.String, nullable=False),
        sa.Column("hosting", sa.String, nullable=False),
        sa.Column("plan", sa.String, nullable=False),
        sa.Column("rated_at", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("job_id", "revision", name="pk_ratings"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name="fk_ratings_job_id"),
    )
    op.create_table(
        "charges",
        sa.Column("job_id", sa.String, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("book", sa.String, nullable=False),
        sa.Column("meter", sa.String, nullable=False),
        sa.Column("provider", sa.String, nullable=False),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("attributes", sa.JSON, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("instances", sa.Integer, nullable=False),
        sa.Column("consumed_quantity", sa.String, nullable=False),
        sa.Column("consumed_unit", sa.String, nullable=False),
        sa.Column("pricing_quantity", sa.String),
        sa.Column("pricing_unit", sa.String),
        sa.Column("unit_price", sa.String),
        sa.Column("list_cost", sa.String),
        sa.Column("currency", sa.String),
        sa.Column("rate_id", sa.String),
        sa.Column("certainty", sa.String, nullable=False),
        sa.Column("disputed", sa.JSON),
        sa.PrimaryKeyConstraint("job_id", "revision", "position", name="pk_charges"),
    )
    op.create_table(
        "journal_parts",
        sa.Column("run_id", sa.String, nullable=False),
        sa.Column("start", sa.Integer, nullable=False),
        sa.Column("length", sa.Integer, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("shipped_at", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "start", name="pk_journal_parts"),
    )
    op.create_index("ix_journal_parts_shipped_at", "journal_parts", ["shipped_at"])
    op.create_table(
        "people",
        sa.Column("pseudonym", sa.String, nullable=False),
        sa.Column("identity", sa.Text, nullable=False, unique=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("pseudonym", name="pk_people"),
    )
