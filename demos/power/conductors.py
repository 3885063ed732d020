"""
Performs the script's cues on the live row: kubectl commands, signals, a stopped API server.

Cues run in a thread of their own, one after another, so that a slow kubectl doesn't stop the
screen; `go_on` raises the error of a cue that failed. `acts` has the times; the virtual demo
performs the same cues on models.
"""

import json
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from demos.power import manifests
from demos.power.costs import Costs
from demos.power.rows import LiveRow
from demos.power.watches import Watch
from loadline_api.power_domains import Mode
from loadline_policies.documents import parse_power
from loadline_sim.demo import acts
from loadline_sim.demo.acts import Cue
from testbed.fakegpu.board import boottime

IN_FORCE_S = 10.0
"""How long to wait until an edited policy is in force."""

POLL_S = 0.05


class Conductor:
    """Performs cues on time; `policy_edits_s` are seconds from kubectl's start to the policy in force."""

    def __init__(self, row: LiveRow, watch: Watch, *, costs: Costs) -> None:
        self.policy_edits_s: list[float] = []
        self.notes: dict[str, str] = {}
        self._row, self._watch, self._costs = row, watch, costs
        self._cues = [(at_s, cue) for act in acts.ACTS for at_s, cue in act.cues]
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="cues")
        self._under_way: list[Future[None]] = []
        self._killed = self._stopped = ""

    def close(self) -> None:
        """Finish the cue under way, and perform no more."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def go_on(self) -> None:
        """Start the cues that are due; raises the error of a cue that has failed."""
        while self._cues and self._cues[0][0] <= self._watch.now_s:
            self._under_way.append(self._thread.submit(self._perform, self._cues.pop(0)[1]))
        for done in [one for one in self._under_way if one.done()]:
            self._under_way.remove(done)
            done.result()

    @property
    def finished(self) -> bool:
        """Whether every cue has been performed."""
        return not self._cues and not self._under_way

    def _perform(self, cue: Cue) -> None:
        performers: dict[Cue, Callable[[], str]] = {
            Cue.ENFORCE: lambda: self._switch(Mode.ENFORCE),
            Cue.EDIT_POLICY: lambda: self._edit(acts.EDITED_POLICY),
            Cue.BREAK_POLICY: self._break,
            Cue.FIX_POLICY: self._fix,
            Cue.KILL_COORDINATOR: self._kill,
            Cue.RESTART_AGENT: self._restart,
            Cue.API_AWAY: self._api_away,
            Cue.API_BACK: self._api_back,
            Cue.STOP_AGENT: self._stop_agent,
            Cue.RESUME_AGENT: self._resume_agent,
            Cue.STRESS: lambda: "long prompts arrive",
            Cue.RELEASE: lambda: self._switch(Mode.OBSERVE),
        }
        if cue in performers:
            self._note(performers[cue]())

    def _note(self, note: str) -> None:
        self.notes[acts.act_at(self._watch.now_s).name] = note
        self._watch.note(note)

    def _switch(self, mode: Mode) -> str:
        patch = json.dumps({"spec": {"mode": mode.value}})
        self._kubectl("patch", "powerdomain", self._row.scenario.name, "--type", "merge", "--patch", patch)
        return f"kubectl patch set mode {mode.value}"

    def _edit(self, text: str) -> str:
        """Apply a policy, and measure the time until the coordinator uses it."""
        wanted, began_s = parse_power(text).hash, boottime()
        self._apply(text)
        while self._watch.hash_in_force() != wanted:
            if boottime() - began_s > IN_FORCE_S:
                break
            time.sleep(POLL_S)
        took_s = boottime() - began_s
        self.policy_edits_s.append(took_s)
        return f"the edited policy is in force after {took_s:.1f} s"

    def _break(self) -> str:
        self._apply(acts.BROKEN_POLICY)
        return "an invalid policy is applied"

    def _fix(self) -> str:
        """Apply the edited policy again, which has stayed in force."""
        self._apply(acts.EDITED_POLICY)
        return "the policy is fixed"

    def _kill(self) -> str:
        self._killed = self._watch.sight.coordinator
        self._costs.look()
        self._row.members[self._killed].kill()
        return f"SIGKILL to the coordinator on {self._killed}"

    def _restart(self) -> str:
        self._row.restart(self._killed)
        return f"the agent on {self._killed} starts again"

    def _api_away(self) -> str:
        self._costs.look()
        self._row.bed.apiserver.stop()
        return "the API server is stopped"

    def _api_back(self) -> str:
        self._row.bed.apiserver.start()
        return "the API server runs again"

    def _stop_agent(self) -> str:
        self._stopped = next(
            node for node in reversed(self._row.nodes) if node != self._watch.sight.coordinator
        )
        self._row.members[self._stopped].suspend()
        return f"SIGSTOP to the agent on {self._stopped}; its guard keeps running"

    def _resume_agent(self) -> str:
        held = self._row.board.enforced_watts()[self._row.nodes.index(self._stopped)].max()
        self._row.members[self._stopped].resume()
        return f"the guard kept the GPUs of {self._stopped} at {held:.0f} W; the agent runs again"

    def _apply(self, policy: str) -> None:
        manifest = json.dumps(manifests.policy_map(policy))
        self._kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=manifest)

    def _kubectl(self, *arguments: str, input: str | None = None) -> None:
        self._costs.of_kubectl(lambda: self._row.bed.kubectl(*arguments, input=input))
