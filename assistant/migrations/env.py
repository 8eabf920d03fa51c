"""Alembic's entry: it works within the connection and the transaction of upgrading.py. Offline use is not foreseen."""

from alembic import context

from assistant.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
