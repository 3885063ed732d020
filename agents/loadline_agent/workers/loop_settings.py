"""
What the policies of a service's loops mean for its engines: the sections of the answer to a worker.

So far every policy of these loops is a no-op policy, so a section has the policy's name and hash alone.
"""

from collections.abc import Iterable

from loadline_agent.workers.worker_records import Sections
from loadline_api.worker_messages import SettingsSection
from loadline_policies.documents import ServiceDocument


def sections_of(documents: Iterable[ServiceDocument]) -> Sections:
    """One section for each loop, by the document that is in force for it."""
    return {
        document.loop.value: SettingsSection(policy=document.policy.name, policy_hash=document.hash)
        for document in documents
    }
