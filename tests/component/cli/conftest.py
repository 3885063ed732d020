"""Commands are run here as in the unit tests."""

from tests.unit.cli.conftest import loadline

__all__ = ["loadline"]
