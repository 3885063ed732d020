"""
What pods of a service may do on their node: nothing beyond their own processes.

With this they pass PodSecurity's «baseline». «restricted» asks for `runAsNonRoot` as
well, which is left to a template: the stock images run as root, and a user of one's own
needs a home and a model that he can read. A node's model cache is a hostPath, which only
«privileged» admits.
"""

from loadline_operator.kube.kinds import Manifest


def confined_pod() -> Manifest:
    """The security context of a pod."""
    return {"seccompProfile": {"type": "RuntimeDefault"}}


def confined_container() -> Manifest:
    """The security context of each container."""
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
