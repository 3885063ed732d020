"""
What may befall a row on paper, one thing at a time, by name.

Nothing here judges. An event that can't befall the node as it is (a restart of one that runs)
does nothing, so that any sequence of events is a schedule and any part of one is too.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from loadline_policies.power.documents import PowerDocument
from loadline_policies.power.protocol.drill_states import DrillOrder
from loadline_policies.power.protocol.messages import ServiceReport
from loadline_policies.power.safety.breakers import Curve
from loadline_policies.power.safety.safe_states import Timings
from loadline_sim.virtual.node_gpus import AgentRecord
from testbed.shaken_rows.hostile_reports import HOSTILE_WAYS, twisted
from testbed.shaken_rows.papers import GPUS, MAX_WATTS, MIN_WATTS
from testbed.shaken_rows.rows import CANDIDATES, CARELESS, CURVE, POLCA, RELIEVING, STATIC, Bench

WORST_WATTS, IDLE_WATTS = 420.0, 80.0
CRON_S, CRON_TIMES = 5.0, 12
BOOT_S = 35.0
"""How long a machine is off that was switched off: a server's self-test alone takes longer."""

DOCUMENTS: tuple[PowerDocument, ...] = (POLCA, STATIC, RELIEVING, CARELESS)
CURVES = (CURVE, Curve(points=((1.05, float("inf")), (1.08, 50.0), (1.30, 38.0))))
"""What may be declared of a breaker: it as it is, and as a more careful person sees it."""

LEASES_S = (2.0, 3.0, 4.0, 6.0, 8.0, 30.0)
"""Those above 6 s are refused: twice the reaction is more than the breaker bears when warm."""


def happen(bench: Bench, kind: str, *, index: int) -> None:
    """Let one thing befall the row; `index` says to whom, or which of several."""
    EVENTS[kind](bench, index)


def _kill(bench: Bench, index: int) -> None:
    bench.agents[index].process.kill()


def _restart(bench: Bench, index: int) -> None:
    """Agent and guard are there again; nothing starts on a machine that is off."""
    agent = bench.agents[index]
    if bench.world.now < bench.papers[index].off_until_s:
        return
    agent.guarded = True
    if not agent.process.up:
        agent.start()


def _stop(bench: Bench, index: int) -> None:
    process = bench.agents[index].process
    if process.up:
        process.stop()


def _resume(bench: Bench, index: int) -> None:
    process = bench.agents[index].process
    if process.up and process.stopped:
        process.resume()


def _pause(bench: Bench, index: int) -> None:
    """Stopped for as long as a lease lives."""
    _stop(bench, index)
    bench.world.after(bench.site.domain.timings.lease_s, partial(_resume, bench, index))


def _leader(bench: Bench, index: int, *, act: Callable[[Bench, int], None]) -> None:
    """The same to whoever leads, if anybody does."""
    leaders = bench.leaders()
    if leaders:
        act(bench, bench.agents.index(leaders[index % len(leaders)]))


def _kill_guarded(bench: Bench, index: int) -> None:
    """Agent and guard at once: the node stays as it is."""
    bench.agents[index].guarded = False
    bench.agents[index].process.kill()


def _boot(bench: Bench, index: int) -> None:
    """A power cycle after which no agent comes back.

    The record is of another boot, the driver forgets all limits, the clock begins anew.
    """
    agent = bench.agents[index]
    _kill_guarded(bench, index)
    agent.gpus.record = AgentRecord()
    agent.process.ahead_s = -agent.process.pace * bench.world.now
    paper = bench.papers[index]
    paper.forget()
    paper.off_until_s = bench.world.now + BOOT_S


def _reboot(bench: Bench, index: int) -> None:
    """A power cycle; the agent is there again some time after it."""
    _boot(bench, index)
    bench.world.after(BOOT_S + 30.0 * bench.random.random(), partial(_restart, bench, index))


def _api(bench: Bench, index: int) -> None:
    """The API server goes away, or is back: then everybody who reaches it sees what is declared."""
    bench.site.lease.available = not bench.site.lease.available
    bench.declare(bench.site.domain)


def _cut_off(bench: Bench, index: int) -> None:
    """A node doesn't reach the API server any more; all others do."""
    bench.site.cut_off.add(bench.agents[index].name)


def _usurp(bench: Bench, index: int) -> None:
    """Somebody takes the Kubernetes Lease although its holder is alive: two believe to lead."""
    agent, lease = bench.agents[index % CANDIDATES], bench.site.lease
    process = agent.process
    reaches = process.up and not process.stopped and bench.site.reaches(agent.name)
    if reaches and lease.record.holder != agent.name:
        agent.leader.lead()


def _demand(bench: Bench, index: int, *, watts: float) -> None:
    bench.demand(watts)


def _mixed(bench: Bench, index: int) -> None:
    for paper in bench.papers:
        paper.demand_watts = bench.random.uniform(IDLE_WATTS, WORST_WATTS)


def _missed(bench: Bench, index: int) -> None:
    for paper in bench.papers:
        missed = bench.random.choice([None, -1.0, 0.5, 0.95, bench.random.uniform(1.0, 10.0)])
        bench.site.services[paper.rating.node] = (ServiceReport("default/chat", missed),)


def _mode(bench: Bench, index: int) -> None:
    bench.declare(replace(bench.site.domain, enforce=True))


def _observe(bench: Bench, index: int) -> None:
    bench.declare(replace(bench.site.domain, enforce=False))


def _member(bench: Bench, index: int) -> None:
    """A node that isn't a candidate leaves the selector, or is selected again."""
    others = len(bench.agents) - CANDIDATES
    if others > 0:
        members = bench.site.domain.members ^ {f"node-{CANDIDATES + index % others}"}
        bench.declare(replace(bench.site.domain, members=members))


def _budget(bench: Bench, index: int) -> None:
    share = bench.random.choice([0.97, 1.0, 0.2])
    bench.declare(replace(bench.site.domain, budget_watts=share * bench.budget_watts))


def _timings(bench: Bench, index: int) -> None:
    timings = Timings(lease_s=LEASES_S[index % len(LEASES_S)])
    bench.declare(replace(bench.site.domain, timings=timings))


def _curve(bench: Bench, index: int) -> None:
    bench.declare(replace(bench.site.domain, curve=CURVES[index % len(CURVES)]))


def _policy(bench: Bench, index: int) -> None:
    bench.declare(replace(bench.site.domain, document=DOCUMENTS[index % len(DOCUMENTS)]))


def _setters(bench: Bench, index: int, *, failing: set[int]) -> None:
    bench.agents[index].gpus.failing = failing


def _deaf(bench: Bench, index: int, *, deaf: set[int]) -> None:
    """Setters that answer well and do nothing."""
    bench.papers[index].deaf = deaf


def _stranger(bench: Bench, index: int) -> None:
    bench.papers[index].overwrite(MAX_WATTS)


def _low_stranger(bench: Bench, index: int) -> None:
    bench.papers[index].overwrite(round(bench.random.uniform(MIN_WATTS, 300.0)))


def _cron(bench: Bench, index: int, left: int = CRON_TIMES) -> None:
    """Somebody sets the limits again and again, for a minute."""
    _stranger(bench, index)
    if left > 1:
        bench.world.after(CRON_S, partial(_cron, bench, index, left - 1))


def _reset(bench: Bench, index: int) -> None:
    bench.papers[index].forget()


def _lose(bench: Bench, index: int) -> None:
    bench.agents[index].gpus.lost = {index % GPUS}


def _find(bench: Bench, index: int) -> None:
    """The GPU is back after a reset, as its driver begins with it."""
    lost, bench.agents[index].gpus.lost = bench.agents[index].gpus.lost, set()
    bench.papers[index].forget(lost)


def _reload(bench: Bench, index: int) -> None:
    """The driver goes, and its limits with it; some seconds later another one is there."""
    agent = bench.agents[index]
    agent.gpus.lost = set(range(GPUS))
    bench.papers[index].forget()
    bench.world.after(bench.random.uniform(0.5, 8.0), partial(_loaded, bench, index))


def _loaded(bench: Bench, index: int) -> None:
    bench.agents[index].gpus.lost = set()
    bench.papers[index].raised_s = bench.world.now  # for whoever can read it again


def _bmc(bench: Bench, index: int) -> None:
    paper = bench.papers[index]
    paper.bmc_watts = MAX_WATTS if paper.bmc_watts < MAX_WATTS else 200.0


def _cut(bench: Bench, index: int) -> None:
    """One way from a node to another, or all of them fixed."""
    names = [agent.name for agent in bench.agents]
    source, target = names[index], bench.random.choice(names)
    both = {(source, target), (target, source)}
    bench.site.link.cut |= bench.random.choice([{(source, target)}, {(target, source)}, both])


def _isolate(bench: Bench, index: int) -> None:
    """A node is alone: nothing arrives at it, nothing of it arrives."""
    name = bench.agents[index].name
    others = [agent.name for agent in bench.agents if agent.name != name]
    bench.site.link.cut |= {(name, other) for other in others} | {(other, name) for other in others}


def _reconnect(bench: Bench, index: int) -> None:
    bench.site.link.cut.clear()
    if bench.site.cut_off:
        bench.site.cut_off.clear()
        bench.declare(bench.site.domain)


def _fault(bench: Bench, index: int) -> None:
    bench.agents[index].gpus.faults = {"OtherWriter": "a cron job"}


def _sound(bench: Bench, index: int) -> None:
    bench.agents[index].gpus.faults = {}


def _rival(bench: Bench, index: int) -> None:
    """Another domain selects all nodes too, or doesn't any more."""
    names = [agent.name for agent in bench.agents]
    bench.site.rivals = {} if bench.site.rivals else dict.fromkeys(names, "rival selects it too")


def _hostile(bench: Bench, index: int) -> None:
    """From now on the row hears nonsense from one member, that is none of the candidates."""
    others = len(bench.agents) - CANDIDATES
    if others > 0:
        name, how = f"node-{CANDIDATES + index % others}", bench.random.randrange(HOSTILE_WAYS)
        bench.twists = {name: partial(twisted, how=how)}


def _honest(bench: Bench, index: int) -> None:
    bench.twists = {}


def _outsider(bench: Bench, index: int) -> None:
    """A node of another row, whose certificate is as good, says that this domain has armed it."""
    for agent in bench.leaders():
        leader = agent.coordinator
        heard = [] if leader is None else [one.report for one in leader.members.values() if one.report]
        if heard:
            agent.reported(replace(heard[0], node="outsider", armed=True), lambda answer: None)


def _drill(bench: Bench, index: int) -> None:
    """Somebody orders a drill: a good order, an old one, one that lies ahead, or what nobody can read."""
    now, age_s = bench.world.now, bench.random.choice((0.5, 0.5, 0.5, 40.0, -40.0))
    seconds = bench.random.choice((5.0, 10.0, 30.0))
    problem = bench.random.choice(("", "", "", "unreadable"))
    order = DrillOrder(
        text=f"{now}/{seconds}",
        requested_s=now - age_s,
        seconds=seconds,
        age_s=age_s,
        read_s=now,
        problem=problem,
    )
    bench.declare(replace(bench.site.domain, drill=order))


def _no_drill(bench: Bench, index: int) -> None:
    """Its order is taken back."""
    bench.declare(replace(bench.site.domain, drill=None))


_ALL = set(range(GPUS))

EVENTS: Mapping[str, Callable[[Bench, int], None]] = {
    "kill": _kill,
    "restart": _restart,
    "stop": _stop,
    "resume": _resume,
    "pause": _pause,
    "kill leader": partial(_leader, act=_kill),
    "stop leader": partial(_leader, act=_stop),
    "pause leader": partial(_leader, act=_pause),
    "isolate leader": partial(_leader, act=_isolate),
    "cut off leader": partial(_leader, act=_cut_off),
    "kill with guard": _kill_guarded,
    "reboot": _reboot,
    "boot without agent": _boot,
    "api": _api,
    "cut off": _cut_off,
    "usurp": _usurp,
    "worst": partial(_demand, watts=WORST_WATTS),
    "idle": partial(_demand, watts=IDLE_WATTS),
    "mixed": _mixed,
    "missed": _missed,
    "mode": _mode,
    "observe": _observe,
    "member": _member,
    "budget": _budget,
    "timings": _timings,
    "curve": _curve,
    "policy": _policy,
    "setters fail": partial(_setters, failing=_ALL),
    "one setter fails": partial(_setters, failing={0}),
    "setters work": partial(_setters, failing=set()),
    "setters are deaf": partial(_deaf, deaf=_ALL),
    "setters hear": partial(_deaf, deaf=set()),
    "stranger": _stranger,
    "low stranger": _low_stranger,
    "cron": _cron,
    "driver reset": _reset,
    "driver reload": _reload,
    "lose GPU": _lose,
    "find GPU": _find,
    "bmc": _bmc,
    "cut": _cut,
    "isolate": _isolate,
    "reconnect": _reconnect,
    "fault": _fault,
    "sound": _sound,
    "rival": _rival,
    "hostile": _hostile,
    "honest": _honest,
    "outsider": _outsider,
    "drill": _drill,
    "no drill": _no_drill,
}

HARMLESS = frozenset({"worst", "idle", "mixed", "missed", "policy", "drill", "no drill"})
"""What is no fault and no change of the plan, so that it excuses nothing."""
