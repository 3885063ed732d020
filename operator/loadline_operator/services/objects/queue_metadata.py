"""
What of a service's own metadata its workloads carry: the words by which queues and schedulers take them.

A queue admits a workload by a label or annotation of the Deployment or LeaderWorkerSet itself, whose
pods it then counts as one; on pods alone, where `template.metadata` leads, it would come too late or
take the pods of a group apart. Users write it on the InferenceService, as on any workload, so what is
meant for queues is carried down from there. What else a service is labelled with (a team, a tool that
applied it) stays where it is, as its tools expect.

All workloads of a service carry it, the router too: a queue that holds what has no queue would else
hold the router for ever. No pod is made anew by it.
"""

from loadline_operator.kube.kinds import Manifest

CARRIED = (
    "kueue.x-k8s.io/",
    "kai.scheduler/",
    "runai/",
    "scheduling.volcano.sh/",
    "volcano.sh/",
    "yunikorn.apache.org/",
    "leaderworkerset.sigs.k8s.io/exclusive-topology",
    "leaderworkerset.sigs.k8s.io/subgroup-exclusive-topology",
)
"""Prefixes of labels and annotations: Kueue, KAI and Run:ai, Volcano, YuniKorn, placement of groups."""


def carried(labels_or_annotations: dict[str, str]) -> Manifest:
    """What of a service's labels, or of its annotations, its workloads carry."""
    return {key: value for key, value in labels_or_annotations.items() if key.startswith(CARRIED)}
