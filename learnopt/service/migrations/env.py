"""Runs the migrations on the connection that :meth:`learnopt.service.database.Database.migrate` hands over."""

from __future__ import annotations

from alembic import context

from learnopt.service.database import Table

context.configure(connection=context.config.attributes["connection"], target_metadata=Table.metadata)
with context.begin_transaction():
    context.run_migrations()
