"""
Follows the row's level, coordinator and policy while the demo runs.

Twice a second it reads the PowerDomain's status; while the API server is stopped, it reads the last
coordinator's metrics instead. It records changes with their time, for the report and the screen. The
report's figures don't come from here, but from the plant.

It also writes the control file of the plant's meter: which thresholds are in force, and whether a
reaction is expected at all. None is expected in Observe, until every node is armed, in the acts that
stop a component, and while the row is held at its safe limits.
"""

import threading
from dataclasses import dataclass, replace

import httpx
from prometheus_client.parser import text_string_to_metric_families

from demos.power.plants import Control
from demos.power.rows import LiveRow
from loadline_agent.hardware.armed_records import Unreadable
from loadline_api import names
from loadline_api.power_domains import Mode
from loadline_policies.documents import parse_power
from loadline_policies.power.documents import PowerDocument
from loadline_policies.power.polca import Config
from loadline_policies.power.protocol.gpu_limits import HoldReason
from loadline_policies.power.safety.safe_states import SENSOR_GAIN
from loadline_sim.demo import acts
from loadline_sim.plant.recordings import Level
from loadline_sim.reports.snapshots import JournalLine
from testbed.cluster.clients import Object
from testbed.cluster.errors import ApiError
from testbed.fakegpu.board import boottime
from testbed.live_rows.members import Member

LOOK_EVERY_S = 0.5
LEADERLESS = "Leaderless"
"""The level of a row without a coordinator."""

JOURNAL_LINES = 60
DOCUMENTS = {one.hash: one for one in map(parse_power, (acts.POLICY, acts.EDITED_POLICY))}
"""The demo's valid policies, by hash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """The row's state when it was last read.

    `written` is when the coordinator last wrote the status; `policy_error` says why an edited policy
    isn't in force.
    """

    level: str = LEADERLESS
    mode: str = Mode.OBSERVE.value
    coordinator: str = ""
    policy_hash: str = ""
    silent: int = 0
    safe_watts: float = 0.0
    written: str = ""
    policy_error: str = ""

    @property
    def document(self) -> PowerDocument | None:
        """The policy in force."""
        return DOCUMENTS.get(self.policy_hash)


class Watch:
    """Reads the row's state in a thread of its own; `sight` is the newest state."""

    def __init__(self, row: LiveRow) -> None:
        self.sight = Sight()
        self.levels: list[Level] = []
        self.thresholds: list[tuple[float, float, float]] = []
        self.journal: list[JournalLine] = []
        self._row = row
        self._control = Control()
        self._armed = False
        self._written, self._writer = ("", ""), 0
        self._stop = threading.Event()
        self._http = httpx.Client(timeout=1.0, trust_env=False)
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop the thread."""
        self._stop.set()
        self._thread.join()
        self._http.close()

    @property
    def now_s(self) -> float:
        """Seconds since the start of the first act."""
        return boottime() - self._row.start_at

    def note(self, text: str) -> None:
        """Add a line to the journal that the screen shows."""
        self.journal.append(JournalLine(max(self.now_s, 0.0), text))
        del self.journal[:-JOURNAL_LINES]

    def hash_in_force(self) -> str:
        """The hash of the policy that the coordinator uses, from the coordinator's own metrics."""
        return self._led()[1]

    def look(self) -> None:
        """Read the row's state once, and record what has changed."""
        before = self.sight
        self.sight = self._seen(before)
        for text in _news(before, self.sight):
            self.note(text)
        self._record_levels()
        self._write_control()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            self.look()

    def _seen(self, before: Sight) -> Sight:
        """The domain's status, or the coordinator's metrics if the API server doesn't answer."""
        try:
            found = self._row.bed.client.get(names.POWER_DOMAINS.path(self._row.scenario.name))
        except (httpx.HTTPError, ApiError):
            level, policy_hash = self._led()
            return replace(before, level=level, policy_hash=policy_hash or before.policy_hash)
        sight = _sight_of(found, len(self._row.nodes))
        return sight if self._still_leads(sight) else replace(sight, level=LEADERLESS)

    def _still_leads(self, sight: Sight) -> bool:
        """Whether the process that wrote the status still runs; a restarted one must write first."""
        if not sight.coordinator:
            return False
        agent = self._row.members[sight.coordinator].agent
        if (sight.coordinator, sight.written) != self._written:
            self._written, self._writer = (sight.coordinator, sight.written), agent.pid
        return agent.running and agent.pid == self._writer

    def _led(self) -> tuple[str, str]:
        """Level and policy hash from the metrics of the last known coordinator."""
        member = self._row.members.get(self.sight.coordinator)
        if member is None:
            return LEADERLESS, ""
        try:
            text = self._http.get(f"http://127.0.0.1:{member.metrics_port}/metrics").text
        except httpx.HTTPError:
            return LEADERLESS, ""
        for family in text_string_to_metric_families(text):
            if family.name == "loadline_power_domain_level":
                labels = family.samples[0].labels
                return labels["level"], labels["policy_hash"]
        return LEADERLESS, ""

    def _record_levels(self) -> None:
        now_s, sight = max(self.now_s, 0.0), self.sight
        if not self.levels or self.levels[-1].level != sight.level:
            self.levels.append(Level(t_s=now_s, level=sight.level))
        if sight.document is not None:
            shares = _shares(sight.document)
            if not self.thresholds or self.thresholds[-1][1:] != shares:
                self.thresholds.append((now_s, *shares))

    def _write_control(self) -> None:
        control = self._owed()
        if control != self._control:
            control.write(self._row.control)
            self._control = control

    def _owed(self) -> Control:
        sight = self.sight
        faulty = acts.act_at(self.now_s).name in acts.FAULTY
        held = sight.level in {*map(str, HoldReason), LEADERLESS} or sight.document is None
        if not self._all_armed() or held or faulty:
            return Control()
        assert sight.document is not None
        config = _config(sight.document)
        first, second = _shares(sight.document)
        clocks = ((first, float(config.low_shallow_mhz)), (second, float(config.low_deep_mhz)))
        return Control(watching=True, thresholds=clocks, safe_watts=self._safe_watts())

    def _safe_watts(self) -> float:
        """A GPU's safe limit in watts, from the domain's sum, plus one watt for rounding."""
        model, nodes = self._row.model, len(self._row.nodes)
        each = (self.sight.safe_watts / nodes - model.host_watts) / model.gpus / SENSOR_GAIN
        return each + 1.0

    def _all_armed(self) -> bool:
        """Whether every node has been armed since the mode was set to Enforce."""
        if self.sight.mode != Mode.ENFORCE.value:
            self._armed = False
        elif not self._armed:
            self._armed = all(map(_is_armed, self._row.members.values()))
        return self._armed


def _is_armed(member: Member) -> bool:
    try:
        return member.record().armed
    except Unreadable:
        return False


def _sight_of(domain: Object, nodes: int) -> Sight:
    status = domain.get("status", {})
    conditions = {one["type"]: one for one in status.get("conditions", ())}
    policy = conditions.get("PolicyValid", {})
    return Sight(
        level=status.get("level", LEADERLESS),
        mode=domain["spec"].get("mode", Mode.OBSERVE.value),
        coordinator=status.get("coordinator", ""),
        policy_hash=status.get("appliedPolicyHash", ""),
        silent=nodes - int(status.get("nodesReporting", nodes)),
        safe_watts=float(status.get("safeWatts", 0.0)),
        written=status.get("observedTime", ""),
        policy_error=policy.get("message", "") if policy.get("status") == "False" else "",
    )


def _news(before: Sight, now: Sight) -> list[str]:
    """What has changed, as lines for the journal."""
    lines = []
    if now.coordinator != before.coordinator:
        lines.append(f"the agent on {now.coordinator} coordinates the row")
    if now.mode != before.mode:
        lines.append(f"the PowerDomain's mode is {now.mode}")
    if now.policy_hash != before.policy_hash and now.policy_hash:
        lines.append(f"policy {now.policy_hash} is in force")
    if now.policy_error and now.policy_error != before.policy_error:
        lines.append(f"invalid policy: {now.policy_error}")
    if now.level != before.level:
        lines.append(f"level {before.level} → {now.level}")
    if now.silent != before.silent:
        lines.append(f"{now.silent} nodes don't report" if now.silent else "every node reports")
    return lines


def _config(document: PowerDocument) -> Config:
    assert isinstance(document.config, Config), "the demo's policies are POLCA's"
    return document.config


def _shares(document: PowerDocument) -> tuple[float, float]:
    config = _config(document)
    return config.threshold1_percent / 100, config.threshold2_percent / 100
