"""
A process that can be stopped and killed: what was due then happens late, or never.

Its clock may go at another pace than the world's, and begin elsewhere: no two nodes share one.
"""

from loadline_sim.virtual.worlds import Happening, World

LATE_S = 1e-9
"""No timer fires early: what is due by a node's clock would be planned for the same moment again."""


class Process:
    """`up` until killed; stopped in between. Whatever it plans dies with it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.up = self.stopped = False
        self.pace, self.ahead_s = 1.0, 0.0
        self._late: list[Happening] = []
        self._life = 0

    @property
    def now(self) -> float:
        """The node's clock."""
        return self.ahead_s + self.pace * self.world.now

    def begin(self) -> None:
        """Start, or start again; nothing of an earlier life is left."""
        self.up, self.stopped, self._late = True, False, []
        self._life += 1

    def kill(self) -> None:
        """SIGKILL."""
        self.up = False
        self._life += 1

    def stop(self) -> None:
        """SIGSTOP: nothing happens until `resume`, then everything at once."""
        self.stopped = True

    def resume(self) -> None:
        """SIGCONT."""
        self.stopped, late = False, self._late
        self._late = []
        for happening in late:
            self.happens(happening)

    def happens(self, happening: Happening) -> None:
        """Let something happen to the process: now, late, or never."""
        if self.up:
            if self.stopped:
                self._late.append(happening)
            else:
                happening()

    def bound(self, happening: Happening) -> Happening:
        """The same, but only in this life."""
        life = self._life
        return lambda: self.happens(happening) if life == self._life else None

    def later(self, delay_s: float, happening: Happening) -> None:
        """Plan something for this life, after a time by its own clock."""
        self.world.after(delay_s / self.pace + LATE_S, self.bound(happening))

    def again(self, period_s: float, happening: Happening, *, first_s: float) -> None:
        """Plan something for this life again and again; being stopped doesn't end it."""
        life = self._life

        def turn() -> None:
            if life == self._life:
                self.happens(happening)
                self.world.after(period_s / self.pace, turn)

        self.world.after(first_s, turn)
