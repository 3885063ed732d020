"""
The report of a study of expert caches, as a page and as a summary.

Both are filled from one `Study`, so that they can't differ, and `expert_plots` draws the page's plots.
What the study leaves out, and what papers have published beside it, stands here in sentences, because a
reader needs it to judge the figures.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from loadline_sim.experts.precisions import Precision
from loadline_sim.experts.studies import SHARES, Outcome, PrecisionOutcome, Study
from loadline_sim.reports import expert_plots, formats, page_files
from loadline_sim.reports.checks import Check, broken, check, kept
from loadline_sim.reports.runs import Fact, provenance


@dataclass(frozen=True, slots=True)
class Published:
    """A figure from a paper. Another model, another unit of memory: only its shape can be compared."""

    paper: str
    figure: str
    here: str


READ_ME_SHARES = (1 / 4, 3 / 8, 1 / 2, 5 / 8)
"""The memories at which hit ratios stand beside Read-ME's."""

LEFT_OUT = (
    "**Pre-gated routing** (Read-ME, SmallThinker): the router of such a model knows the experts before the "
    "layers run. It is another model, trained for it; recorded routing of this one can't say how it would "
    "route. The row «Belady, queued tokens known» shows what that knowledge would be worth here.",
    "**Loading from flash** (EdgeMoE): only one link is modelled, from the host's memory. A drive has its "
    "own latency and queue. Precisions that differ between the experts of a layer, as EdgeMoE has them, are "
    "left out too.",
    "**Regrouping tokens inside the engine** (ExpertFlow's token scheduler): it moves tokens with their KV "
    "cache between batches, which is impossible from outside of an engine. Algorithm 1, above, shows what "
    "grouping by experts is worth if tokens could be chosen freely.",
    "**The quality of answers** at each precision: no model runs here.",
    "**Prefetching more than one layer ahead**, and computing the experts that are there while others load: "
    "both would hide more of the transfers than this model of time does.",
    "**ExpertFlow's own predictor**, a transformer of 7 MB over the tokens: recorded routing has no tokens. "
    "The linear one learns from routing alone.",
)


def write(study: Study, folder: Path) -> tuple[Path, Path]:
    """Write both files into `folder`, which is created if needed, and return their paths."""
    return page_files.write(folder, page=html(study), summary=summary_of(study))


def html(study: Study) -> str:
    """The HTML page."""
    return page_files.rendered(
        "experts.html",
        study=study,
        settings=study.settings,
        routing=study.routing,
        accuracy={one.predictor: one for one in study.prepared.accuracies},
        transfer_s=study.settings.transfer_s(study.expert_bytes),
        computing_s=study.settings.layer_s * study.routing.layers,
        tokens=study.prepared.asked.tokens,
        per_layer=study.prepared.workload.accesses.per_layer,
        checks=checks_of(study),
        broken=broken(checks_of(study)),
        published=published(study),
        left_out=LEFT_OUT,
        made=made(study),
        plots=page_files.drawings(lambda wide: _drawn(study, wide=wide)),
    )


def _drawn(study: Study, *, wide: bool) -> dict[str, str]:
    return {
        "hits": expert_plots.hit_ratios(study, wide=wide),
        "stalls": expert_plots.stalls(study, wide=wide),
        "recalls": expert_plots.recalls(study, wide=wide),
        "distinct": expert_plots.distinct_experts(
            study.batches, experts=study.routing.experts, wide=wide
        ),
    }  # fmt: skip


def checks_of(study: Study) -> tuple[Check, ...]:
    """The study's checks of itself; one that fails means a fault in the study, not in the routing."""
    return tuple(check(name, float(ok), operator="=", goal=1.0) for name, ok in study.checks.items())


def published(study: Study) -> tuple[Published, ...]:
    """Figures of the papers, beside those of this study that come nearest."""
    points = [
        (share, point) for share, point in zip(SHARES, study.curves, strict=True) if share in READ_ME_SHARES
    ]

    arrival, longest = study.grouped["arrival order"], study.grouped["longest queues first"]
    largest = study.batches[-1]

    def row(name: str) -> str:
        ratios = [one.replay.hit_ratio for _, point in points for one in point if one.policy.name == name]
        return " / ".join(f"{ratio * 100:.0f}" for ratio in ratios) + " %"

    return (
        Published(
            "Read-ME (arXiv 2410.19123), hit ratio with 2 / 3 / 4 / 5 slots",
            "Belady 44 / 62 / 77 / 88 %, LRU 34 / 52 / 67 / 83 %",
            f"Belady {row('belady')}, LRU {row('lru')} with 1/4 / 3/8 / 1/2 / 5/8 of all experts",
        ),
        Published(
            "Read-ME, distinct experts per batch, in order of arrival and by Algorithm 1",
            "5.08 or 5.21, 3.51",
            f"{arrival.in_layer:.1f}, {longest.in_layer:.1f} of {study.routing.experts}",
        ),
        Published(
            "ExpertFlow (arXiv 2410.17954), hit ratio of PLEC with their predictor",
            "91.96 %",
            f"{formats.percent(study.of('plec').replay.hit_ratio)} with the linear predictor, "
            f"{formats.percent(study.of('plec-perfect').replay.hit_ratio)} with a perfect one, "
            f"{formats.percent(study.slots / study.routing.model_experts, 0)} of the experts in memory",
        ),
        Published(
            "Mixtral-8x7B (in Read-ME), distinct experts of 8 in a batch of 56.8 tokens",
            "7.63",
            f"{largest.distinct:.1f} of {study.routing.experts} in a batch of {largest.tokens}",
        ),
    )


def made(study: Study) -> tuple[Fact, ...]:
    """How to reproduce the report."""
    settings, routing = study.settings, study.routing
    learned, asked = study.prepared.learned, study.prepared.asked
    return (
        *provenance(),
        Fact(
            "Routing",
            f"`{routing.name}`: {routing.tokens} tokens of {routing.sequences.size} requests, "
            f"{routing.layers} layers of {routing.experts} experts, {routing.experts_per_token} a token",
        ),
        Fact(
            "Halves",
            f"seed {settings.seed}: learned from {learned.tokens} tokens, replayed {asked.tokens}",
        ),
        Fact("An expert", f"{settings.expert_parameters} weights, {settings.precision}"),
        Fact("Link", f"{settings.link_gbs:g} GB/s, one transfer at a time (assumed)"),
        Fact("A layer computes for", f"{settings.layer_ms:g} ms (assumed)"),
        Fact("Batch", f"{settings.batch} requests decode together"),
        Fact("Known of the queue", f"{settings.queued} steps, for «queued tokens known»"),
        Fact("Algorithm 1", f"batches of {settings.grouped} out of {settings.waiting} waiting tokens"),
    )


def summary_of(study: Study) -> dict[str, object]:
    """The figures behind the page, in plain types; bytes, seconds and ratios from 0 to 1."""
    checks = checks_of(study)
    return {
        "ok": kept(checks),
        "checks": {one.name: {"ok": one.ok, "reason": one.reason} for one in checks},
        "settings": asdict(study.settings),
        "routing": {
            "name": study.routing.name,
            "requests": int(study.routing.sequences.size),
            "tokens": study.routing.tokens,
            "replayed_tokens": study.prepared.asked.tokens,
            "layers": study.routing.layers,
            "experts": study.routing.experts,
            "experts_per_token": study.routing.experts_per_token,
            "distinct_per_layer": study.prepared.workload.accesses.per_layer,
        },
        "memory": {
            "slots": study.slots,
            "bytes": study.memory_bytes,
            "expert_bytes": study.expert_bytes,
            "model_bytes": study.model_bytes,
        },
        "best": study.best.policy.name,
        "policies": {one.policy.name: _outcome(one) for one in study.outcomes},
        "by_memory": [
            {"slots": point[0].slots, "policies": {one.policy.name: _outcome(one) for one in point}}
            for point in study.curves
        ],
        "predictors": {
            one.predictor: {
                "recall": one.mean,
                "by_layer": [None if value != value else value for value in one.by_layer],
            }
            for one in study.prepared.accuracies
        },
        "precisions": {one.precision.name: _precision(one) for one in study.precisions},
        "batches": [asdict(one) for one in study.batches],
        "schedules": {name: asdict(one) for name, one in study.grouped.items()},
        "grouped_by_layer": study.grouped_by_layer,
        "published": [asdict(one) for one in published(study)],
        "left_out": [sentence.replace("**", "") for sentence in LEFT_OUT],
        "made": {fact.name: fact.text for fact in made(study)},
    }


def _outcome(one: Outcome) -> dict[str, object]:
    return {
        "hit_ratio": one.replay.hit_ratio,
        "late_ratio": one.replay.late / one.replay.accesses,
        "loads": one.replay.loads,
        "prefetched": one.replay.prefetched,
        "bytes_per_token": one.bytes_per_token,
        "stall_s_per_token": one.stall_s,
    }


def _precision(one: PrecisionOutcome) -> Mapping[str, object]:
    precision: Precision = one.precision
    return {
        "bits": precision.bits,
        "published": precision.paper,
        "note": precision.note,
        "expert_bytes": one.expert_bytes,
        "slots": one.slots,
        "best": one.best.policy.name,
        "policies": {each.policy.name: _outcome(each) for each in one.outcomes},
    }
