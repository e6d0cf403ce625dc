"""Bring the hub's database to the newest schema, with Alembic.

Loaded only when there is something to bring: it would cost every other start of a program a quarter of a second.
"""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection


class NewerFile(Exception):
    """It was written by a program that knows more steps."""


def migrate(connection: Connection) -> None:
    """Take every step that is missing, in the transaction of `connection`: all of it or nothing. NewerFile."""
    config = Config()
    config.set_main_option("script_location", "hub:migrations")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError:
        raise NewerFile from None
