"""
Asks for the Events of a workload of which pods are lacking, for what they say against these.

Reading Events is a right of its own, which a chart of before doesn't give. Without it a status
says no reason, and everything else goes on.
"""

from collections.abc import Iterable

import structlog

from loadline_api.api_errors import Refused
from loadline_operator.kube.apply import Applier
from loadline_operator.services.facts.faults import PodFault
from loadline_operator.services.facts.refused_creations import PodMaker, refused

log = structlog.get_logger("loadline.operator")


async def pod_refusal(applier: Applier, makers: Iterable[PodMaker]) -> PodFault | None:
    """Why the pods of a workload aren't made, if anybody says it: of several makers, the first by name."""
    for maker in sorted(makers, key=lambda one: one.key):
        try:
            events = await applier.events(maker.key.namespace, maker.fields)
        except Refused as error:
            log.warning("events of a workload cannot be listed", object=str(maker.key), error=str(error))
            continue
        fault = refused(maker, events)
        if fault is not None:
            return fault
    return None
