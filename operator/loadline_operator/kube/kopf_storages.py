"""
Where kopf would keep what it has handled: nowhere.

kopf copies each object several times to see what has changed since it was last handled,
and is ready to note that in annotations. Nothing here is handled by changes: events
become facts, and facts are compared. So kopf gets storages that build, find and write
nothing. That leaves no way to write an annotation, and it is cheaper: of all calls that
a cold start with 200 services cost, two thirds were for those copies.
"""

import kopf


class NoDiffBase(kopf.DiffBaseStorage):
    """No last handled state, and none of the present one."""

    def build(self, **_: object) -> kopf.BodyEssence:
        """Nothing of an object counts."""
        return kopf.BodyEssence()

    def fetch(self, **_: object) -> None:
        """Nothing was handled before."""

    def store(self, **_: object) -> None:
        """Nothing is noted."""


class NoProgress(kopf.ProgressStorage):
    """No handler's progress."""

    def fetch(self, **_: object) -> None:
        """No handler has begun."""

    def store(self, **_: object) -> None:
        """Nothing is noted."""

    def purge(self, **_: object) -> None:
        """There is nothing to remove."""

    def touch(self, **_: object) -> None:
        """Nothing is touched."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """What counts has no progress in it."""
        return essence
