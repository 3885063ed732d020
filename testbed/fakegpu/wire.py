"""
The messages between a kubelet and a device plugin, without generated code.

Field names, numbers and types are those of Kubernetes' deviceplugin/v1beta1 api.proto
(k8s.io/kubelet, Apache-2.0), as far as a plugin without topology and preferences needs
them; protobuf makes classes of the table. A field that is not here is skipped when read.
"""

from types import SimpleNamespace
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

VERSION: Final = "v1beta1"

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS: Final = {"string": _Field.TYPE_STRING, "bool": _Field.TYPE_BOOL}

MESSAGES: Final[dict[str, tuple[tuple[str, int, str], ...]]] = {
    "Empty": (),
    "DevicePluginOptions": (
        ("pre_start_required", 1, "bool"),
        ("get_preferred_allocation_available", 2, "bool"),
    ),
    "RegisterRequest": (
        ("version", 1, "string"),
        ("endpoint", 2, "string"),
        ("resource_name", 3, "string"),
        ("options", 4, "DevicePluginOptions"),
    ),
    "Device": (("ID", 1, "string"), ("health", 2, "string")),
    "ListAndWatchResponse": (("devices", 1, "Device*"),),
    "ContainerAllocateRequest": (("devices_ids", 1, "string*"),),
    "AllocateRequest": (("container_requests", 1, "ContainerAllocateRequest*"),),
    "Mount": (("container_path", 1, "string"), ("host_path", 2, "string"), ("read_only", 3, "bool")),
    "Entry": (("key", 1, "string"), ("value", 2, "string")),
    "ContainerAllocateResponse": (("envs", 1, "Entry*"), ("mounts", 2, "Mount*")),
    "AllocateResponse": (("container_responses", 1, "ContainerAllocateResponse*"),),
}
"""Name, number and type of each field; `*` is «repeated». On the wire a map is repeated entries."""


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="deviceplugin.proto", package=VERSION, syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            base = kind.rstrip("*")
            message.field.add(
                name=field,
                number=number,
                label=_Field.LABEL_REPEATED if kind.endswith("*") else _Field.LABEL_OPTIONAL,
                type=_SCALARS.get(base, _Field.TYPE_MESSAGE),
                type_name=None if base in _SCALARS else f".{VERSION}.{base}",
            )
    return file


def _classes() -> Any:
    """A class for each message, as attributes, in a pool of their own."""
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_file())
    found = {name: pool.FindMessageTypeByName(f"{VERSION}.{name}") for name in MESSAGES}
    return SimpleNamespace(**{name: message_factory.GetMessageClass(kind) for name, kind in found.items()})


messages: Final[Any] = _classes()
"""The classes, by name: `messages.RegisterRequest(version=VERSION, …)`."""
