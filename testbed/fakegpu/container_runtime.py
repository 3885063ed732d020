"""
A stand-in for NVIDIA's container runtime: runc, with the fake driver put into containers.

On a cluster with GPUs the RuntimeClass `nvidia` names a runtime that looks at a
container's `NVIDIA_VISIBLE_DEVICES` and adds the driver's library before it hands over
to runc. This does the same with the fake one; so a pod that is written for a real
cluster, like the agent's, sees GPUs without a word about tests in it.

It is copied into the folder where `gpus/` may lie, and run by containerd, by a bare
interpreter: it imports the standard library only.
"""

import json
import os
import sys
from typing import Any

Config = dict[str, Any]
"""A container's config.json, as the OCI's runtime specification has it."""

GPUS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "gpus")
MOUNTED_AT = "/run/fakegpu"
"""Where a container finds library and board: outside of what images, and pods that mount the host, carry."""
NOTHING = ("", "void", "none")


def bundle_of(arguments: list[str]) -> str | None:
    """The folder of the container that runc is about to create, if that is what it is told."""
    if "create" not in arguments:
        return None
    for place, argument in enumerate(arguments):
        if argument in ("--bundle", "-b"):
            return arguments[place + 1]
    return os.getcwd()


def exposed(config: Config, environment: dict[str, str], *, folder: str) -> Config:
    """The container's configuration with the fake driver in it, where it asks for GPUs and hasn't it yet."""
    told = dict(entry.partition("=")[::2] for entry in config["process"]["env"])
    mounted = any(mount["destination"] == MOUNTED_AT for mount in config["mounts"])
    if mounted or told.get("NVIDIA_VISIBLE_DEVICES", "") in NOTHING:
        return config
    mount = {"destination": MOUNTED_AT, "type": "bind", "source": folder, "options": ["rbind", "rw"]}
    added = [f"{name}={value}" for name, value in environment.items() if name not in told]
    process = {**config["process"], "env": [*config["process"]["env"], *added]}
    return {**config, "process": process, "mounts": [*config["mounts"], mount]}


def expose(bundle: str) -> None:
    """Rewrite the configuration in a bundle."""
    path = os.path.join(bundle, "config.json")
    with open(os.path.join(GPUS, "environment.json")) as file:
        environment = json.load(file)
    with open(path) as file:
        config = json.load(file)
    with open(path, "w") as file:
        json.dump(exposed(config, environment, folder=GPUS), file)


if __name__ == "__main__":
    bundle = bundle_of(sys.argv[1:])
    if bundle is not None and os.path.isdir(GPUS):
        expose(bundle)
    os.execvp("runc", ["runc", *sys.argv[1:]])
