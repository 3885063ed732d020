"""
The command `loadline-agent`: run a node's agent, guard it, or release it when nobody else can.

The guard must stay small, so each command loads only what it needs, and this module
next to nothing.
"""

import sys
from collections.abc import Sequence

USAGE = """\
usage: loadline-agent run [OPTIONS]        sample, report and hold leased limits; see run --help
       loadline-agent guard --state DIR    lower the limits when the agent can't
       loadline-agent release --state DIR  give back what was found by a person's word; see release --help
"""

WRONG_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 is success, 1 a failure, 2 a command line that can't be used."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    command, rest = (given[0], given[1:]) if given else ("", [])
    if command == "run":
        from loadline_agent import agent_process

        return agent_process.main(rest)
    if command == "guard":
        from loadline_agent.hardware import guard

        return guard.main(rest)
    if command == "release":
        from loadline_agent.hardware import restores

        return restores.main(rest)
    wants_help = command in ("-h", "--help")
    print(USAGE, end="", file=sys.stdout if wants_help else sys.stderr)
    return 0 if wants_help else WRONG_USAGE


if __name__ == "__main__":
    sys.exit(main())
