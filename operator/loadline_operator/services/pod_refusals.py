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
    """Why the pods of a workload aren't made, if anybody says it: of several makers, the first by name.

    All makers are of one namespace; Events that may be of several are listed once.
    """
    ordered = sorted(makers, key=lambda one: one.key)
    if not ordered:
        return None
    first = ordered[0].key
    try:
        fields = dict.fromkeys(field for maker in ordered for field in maker.fields)
        events = await applier.events(first.namespace, fields)
    except Refused as error:
        log.warning("events of a workload cannot be listed", object=str(first), error=str(error))
        return None
    return next((fault for maker in ordered if (fault := refused(maker, events)) is not None), None)
