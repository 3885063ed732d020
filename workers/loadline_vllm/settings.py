"""
What an engine's plug-in is told, by `LOADLINE_*` in the environment of its container.

Nothing acts on these settings yet; they are read and checked at the start, so that a
wrong one shows on the first day and not on the day on which it begins to count.
"""

from collections.abc import Mapping
from os import environ

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from loadline_policies.errors import InvalidInput
from loadline_policies.mends import mend_of

PREFIX = "LOADLINE_"


class Settings(BaseModel):
    """One engine's place in the cluster; a field's variable is its name in capitals, behind `LOADLINE_`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    namespace: str | None = Field(default=None, max_length=63)
    """Namespace of the InferenceService that the engine belongs to."""

    service: str | None = Field(default=None, max_length=253)
    """Its name; None: the engine belongs to none that the plug-in knows of."""

    pool: str | None = Field(default=None, max_length=63)
    """Which of the service's pools the engine is in."""

    plugin: bool = True
    """Whether the plug-in may do anything at all; `LOADLINE_PLUGIN=0` turns it off."""


def read(environment: Mapping[str, str] = environ) -> Settings:
    """The settings in an environment; raises InvalidInput.

    Other variables of that prefix are let be: some are for other parts of Loadline.
    """
    told = {
        name: value
        for name in Settings.model_fields
        if (value := environment.get(PREFIX + name.upper())) is not None
    }
    try:
        return Settings.model_validate(told)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        name = PREFIX + str(fault["loc"][0]).upper()
        raise InvalidInput(name, fault["input"], mend=mend_of(fault)) from error
