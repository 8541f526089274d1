"""Several processes look after the feeders of one database: who does, and what is due."""

import sqlalchemy as sa
from alembic import op

from learnopt.service.database import Instant

revision = "v0002"
down_revision = "v0001"


def upgrade() -> None:
    """To this version."""
    op.add_column("feeders", sa.Column("due", Instant(), nullable=True))
    op.create_table(
        "duties",
        sa.Column("feeder", sa.String(length=80), nullable=False),
        sa.ForeignKeyConstraint(["feeder"], ["feeders.name"]),
        sa.PrimaryKeyConstraint("feeder"),
    )
    op.execute("INSERT INTO duties (feeder) SELECT name FROM feeders")
