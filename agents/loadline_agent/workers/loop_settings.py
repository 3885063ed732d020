"""
What the policies of a service's loops mean for its engines: the sections of the answer to a worker.

The section of a loop that no one carries out has the policy's name and hash alone, which is its no-op.
"""

from collections.abc import Callable, Iterable, Mapping

from loadline_agent.workers.worker_records import Sections
from loadline_api.worker_messages import SettingsSection, WorkerReport
from loadline_policies.documents import ServiceDocument
from loadline_policies.loops import Loop

Decides = Callable[[WorkerReport, ServiceDocument], SettingsSection]
"""What a loop answers to a worker's report, by the document in force."""


def answered(
    report: WorkerReport, documents: Iterable[ServiceDocument], loops: Mapping[Loop, Decides]
) -> Sections:
    """One section for each loop that the service asks for."""
    return {
        document.loop.value: loops[document.loop](report, document)
        if document.loop in loops
        else no_op(document)
        for document in documents
    }


def no_op(document: ServiceDocument) -> SettingsSection:
    """What a loop answers that doesn't act."""
    return SettingsSection(policy=document.policy.name, policy_hash=document.hash)
