"""After a watch has begun anew: what is gone is forgotten, and everything is looked at once."""

from typing import cast

from loadline_operator.kube.apply import Applier
from loadline_operator.kube.cache_syncs import CacheSync
from loadline_operator.kube.controllers import Watched
from loadline_operator.kube.fact_tables import FactTable
from loadline_operator.kube.kinds import NODES, Key, Kind
from loadline_operator.metrics import Metrics


class Listing:
    """An API server that lists these uids."""

    def __init__(self, **uids: str) -> None:
        self._uids = {Key("", name): uid for name, uid in uids.items()}

    async def uids(self, kind: Kind, namespace: str = "") -> dict[Key, str]:
        return self._uids


async def test_a_comparison_forgets_what_is_gone_and_wakes_everybody_once() -> None:
    table: FactTable[str] = FactTable()
    for name in ("a", "b"):
        table.put(Key("", name), uid=name, version="1", fact="x")
    metrics, woken = Metrics(), list[str]()
    watched = Watched(NODES, table, lambda raw, gone: None)
    sync = CacheSync(
        cast(Applier, Listing(a="a")),
        (watched,),
        system_namespace="system",
        metrics=metrics,
        wake=lambda: woken.append("woken"),
    )
    await sync.compare()
    assert list(table.uids()) == [Key("", "a")]
    assert woken == ["woken"]
    assert metrics.registry.get_sample_value("loadline_operator_resyncs_total") == 1.0


async def test_the_first_sync_is_reached_once_every_listed_object_was_told() -> None:
    table: FactTable[str] = FactTable()
    table.put(Key("", "a"), uid="a", version="1", fact="x")
    watched = Watched(NODES, table, lambda raw, gone: None)
    sync = CacheSync(
        cast(Applier, Listing(a="a")),
        (watched,),
        system_namespace="system",
        metrics=Metrics(),
        wake=lambda: None,
    )
    assert not sync.synced
    await sync.reached()
    assert sync.synced
