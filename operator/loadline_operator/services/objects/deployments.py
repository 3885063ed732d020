"""
A pool whose replicas are one pod each: a Deployment.

New pods come before old ones go unless the service says otherwise, so a change costs a
free GPU for a while and no request. What happens in a pod is in `engine_pods`; a pool
whose replicas span nodes is in `leader_worker_sets`.
"""

from loadline_operator.kube.kinds import Manifest
from loadline_operator.services.objects.descriptions import Description
from loadline_operator.services.objects.engine_pods import pod_template
from loadline_operator.services.objects.pools import Pool, rollout
from loadline_operator.services.objects.probes import START_S

PROGRESS_S = 2 * START_S
"""As long as a start may take, and as long again for fetching what is started."""


def deployment(one: Description, pool: Pool) -> Manifest:
    spec = {
        "replicas": pool.replicas,
        "selector": {"matchLabels": pool.labels},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": rollout(one.service.spec)},
        "progressDeadlineSeconds": PROGRESS_S,
        "template": pod_template(one, pool),
    }
    return {**pool.kind.manifest(pool.key, labels=pool.labels), "spec": spec}
