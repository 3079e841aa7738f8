"""Run by Alembic: migrate over the connection that ``store.migrate`` opened, inside its transaction."""

from alembic import context

from controller.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    transactional_ddl=True,
    transaction_per_migration=False,
)
context.run_migrations()
