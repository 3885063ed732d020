"""
A pool whose replicas span several nodes: a LeaderWorkerSet, one group a replica.

The leader serves, the others compute and answer nobody, so only leaders have probes and
only they are selected. When one pod of a group ends, the engines of the others are lost
with it, so the group starts anew as a whole. Workers outlive their leader's last
requests, because they are collected only after it is gone.

A follower finds its leader by a headless Service of its group, before the leader is ready.
LeaderWorkerSet's default is one Service for all groups, of the set's own name, which is that of
the service that clients ask: whichever is made first, the other is missing.
"""

from loadline_operator.kube.kinds import Manifest
from loadline_operator.services.objects.descriptions import Description
from loadline_operator.services.objects.engine_args import Member
from loadline_operator.services.objects.engine_pods import pod_template
from loadline_operator.services.objects.pools import Pool, rollout


def leader_worker_set(one: Description, pool: Pool) -> Manifest:
    spec = {
        "replicas": pool.replicas,
        "startupPolicy": "LeaderCreated",
        "rolloutStrategy": {
            "type": "RollingUpdate",
            "rollingUpdateConfiguration": rollout(one.service.spec),
        },
        "leaderWorkerTemplate": {
            "size": pool.parallelism.nodes,
            "restartPolicy": "RecreateGroupOnPodRestart",
            "leaderTemplate": pod_template(one, pool, member=Member.LEADER),
            "workerTemplate": pod_template(one, pool, member=Member.FOLLOWER),
        },
        "networkConfig": {"subdomainPolicy": "UniquePerReplica"},
    }
    return {**pool.kind.manifest(pool.key, labels=pool.labels), "spec": spec}
