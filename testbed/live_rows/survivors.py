"""Whether everybody who ran when a play began still does, as the very process that it was."""

from testbed.live_rows.rows import Row
from testbed.live_rows.stages import Stage


class Survivors:
    """The operator, the agents and the guards of a row, by their process ids when this was made."""

    def __init__(self, row: Row) -> None:
        self._row = row
        self._began = _running(row)

    def show(self, stage: Stage) -> None:
        """Note whether they are the same, and all of them live."""
        now = _running(self._row)
        gone = sorted(name for name, pid in self._began.items() if now.get(name) != pid)
        told = f"not any more: {', '.join(gone)}" if gone else "each is the process that it was"
        stage.show("nobody_died", not gone, f"of {len(self._began)} processes, {told}")


def _running(row: Row) -> dict[str, int]:
    """The process ids of all that run."""
    everybody = (row.operator, *(one for member in row.members.values() for one in member.processes))
    return {one.name: one.pid for one in everybody if one.running}
