"""What pydantic refuses, as the one error that names the field, the value and the fix."""

from pydantic import ValidationError

from loadline_policies.errors import InvalidInput
from loadline_policies.fixes import fix_of


def refused(error: ValidationError, *where: str) -> InvalidInput:
    """The first fault of some input; `where` is where that stands in a larger one."""
    fault = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in (*where, *fault["loc"]))
    return InvalidInput(field, fault["input"], fix=fix_of(fault))
