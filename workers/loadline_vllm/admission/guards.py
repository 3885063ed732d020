"""
What stands between vLLM's scheduler and admission: no failure of the plugin's reaches vLLM.

vLLM stops the engine if its scheduler raises. So each call into the plugin's code goes through here. The
first one that raises is logged with its traceback, and none is made after it: the scheduler is vLLM's own
again until the engine restarts, since what was half done can't be known.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from loadline_policies.kv.predicted_memory import Config
from loadline_vllm import settings
from loadline_vllm.admission import memory_layouts
from loadline_vllm.admission.labels import Off
from loadline_vllm.admission.scheduler_admissions import SchedulerAdmission

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger("vllm.loadline")

ATTRIBUTE: Final = "loadline"
"""Of a scheduler: its guard."""


class AdmissionGuard:
    """Admission in one scheduler, if there is any; `off` is why there is none."""

    def __init__(self, admission: SchedulerAdmission | None = None, *, off: Off | None = None) -> None:
        self.admission, self.off = admission, off

    @property
    def acts(self) -> bool:
        """Whether the plugin's code is called."""
        return self.admission is not None and self.off is None

    def call(
        self,
        method: Callable[Concatenate[SchedulerAdmission, P], T],
        otherwise: T,
        *args: P.args,
        **named: P.kwargs,
    ) -> T:
        """What a method of admission returns; `otherwise` without admission, or if the method raises."""
        if self.admission is None or self.off is not None:
            return otherwise
        try:
            return method(self.admission, *args, **named)
        except Exception:
            self.off = Off.FAILURE
            logger.exception(
                "Loadline's admission has failed, and is off until the engine restarts: vLLM's is in force"
            )
            return otherwise

    def end_step(self) -> None:
        """vLLM has scheduled. What failed meanwhile, running requests are put back into vLLM's order now.

        Not before: within a step vLLM goes through them by their places.
        """
        if self.acts:
            self.call(SchedulerAdmission.end_step, None)
        elif self.admission is not None:
            with suppress(Exception):
                self.admission.end_step()

    def hold(self, settings: Config) -> None:
        """Go by these settings from the next step on, if there is admission."""
        self.call(SchedulerAdmission.hold, None, settings)

    def answer(self) -> dict[str, Any]:
        """What the front-end reads: why admission is off, and what was counted."""
        admission = self.admission
        if admission is None:
            return {"off": self.off}
        return {
            "off": self.off,
            "admission": admission.counts(failed=self.off is not None).model_dump(mode="json"),
            "preemptions": admission.preemptions,
            "ignored_deadlines": admission.ignored_deadlines,
        }


def guard_of(scheduler: Any) -> AdmissionGuard:
    """The guard of a scheduler that has just been built, as its environment asks for; never raises."""
    try:
        found = settings.read()
        if not found.plugin or found.admission == "off":
            return AdmissionGuard()
        off = memory_layouts.off_reason(scheduler)
        if off is not None:
            logger.warning("this engine admits as vLLM does, whatever LOADLINE_ADMISSION asks for: %s", off)
            return AdmissionGuard(off=off)
        return AdmissionGuard(SchedulerAdmission(scheduler, may_enforce=found.admission == "enforce"))
    except Exception:
        logger.exception("Loadline's admission is off: it could not start")
        return AdmissionGuard(off=Off.FAILURE)
