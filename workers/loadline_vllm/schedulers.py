"""
The scheduler that engines are started with (`--scheduler-cls`): vLLM's, with what the plugin adds to it.

Admission and retention are classes of their own, each of which changes nothing unless its variable asks for
it. Admission is asked first, so that it counts a request with the budget that retention has given it.
"""

from loadline_vllm.admission.schedulers import AdmissionScheduler
from loadline_vllm.retention.schedulers import RetentionScheduler


class LoadlineScheduler(AdmissionScheduler, RetentionScheduler):
    """vLLM's asynchronous scheduler with admission and retention."""
