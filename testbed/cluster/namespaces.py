"""
A machine within the machine: the namespaces in which a node of the bed lives.

Kubelet, containerd and kube-proxy change what they are started on: they mount, bridge,
write packet filters and system settings, and leave containers running when they are
killed. So a node gets mounts, processes, a network and a host name of its own. Its
/run, /var/lib/kubelet, /var/lib/containerd and the like are folders of the bed, seen
at their usual places by the node alone. Whatever happens inside ends with the node's
process 1, by the kernel's doing, and no mount is ever seen from outside: a bed's folder
can be removed without a thought of what is mounted there.

Run by path, in a bare interpreter (it imports the standard library only):

    namespaces.py hold FOLDER NAME      make them, write the id of process 1 to FOLDER/pid, and stay
    namespaces.py enter PID COMMAND…    run a command inside; signals and exit status pass through
"""

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from typing import NoReturn

NEW_MOUNTS, NEW_HOST_NAME, NEW_IPC, NEW_PIDS, NEW_NETWORK = (
    0x20000,
    0x4000000,
    0x8000000,
    0x20000000,
    0x40000000,
)
BIND, RECURSIVE, PRIVATE, SHARED = 0x1000, 0x4000, 0x40000, 0x100000
DIE_WITH_PARENT = 1
ENTERED = ("mnt", "uts", "ipc", "net", "pid")
"""The mounts first: the others are opened before any is entered."""

OWN_FOLDERS = ("run", "var/log", "var/lib/kubelet", "var/lib/containerd", "var/lib/cni")
"""What a node keeps at these places lies in the bed's folder, under the same names."""

SETTINGS = {
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1_000_000,
    "kernel/keys/root_maxbytes": 25_000_000,
}
"""What a kubelet insists on and would set for the whole machine: it finds them so, in files of the bed."""

FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)

_libc = ctypes.CDLL(None, use_errno=True)


def hold(folder: str, name: str) -> int:
    """Make the namespaces, wait for their process 1, and give its exit status."""
    _check(_libc.unshare(NEW_MOUNTS | NEW_HOST_NAME | NEW_IPC | NEW_PIDS | NEW_NETWORK), "unshare")
    made, making = os.pipe()
    child = os.fork()
    if not child:
        _be_first(folder, name, made=making)
    os.close(making)
    if os.read(made, 1):
        _write(f"{folder}/pid.new", str(child))
        os.rename(f"{folder}/pid.new", f"{folder}/pid")
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def enter(pid: int, command: list[str]) -> int:
    """Run the command in the namespaces of a process, as a child that lives no longer than this process."""
    here = os.getcwd()
    for opened in [os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in ENTERED]:
        _check(_libc.setns(opened, 0), "setns")
    os.chdir(here)
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
    child = os.fork()
    if not child:
        _libc.prctl(DIE_WITH_PARENT, signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
        os.execvp(command[0], command)
    for number in FORWARDED:
        signal.signal(number, lambda caught, _: os.kill(child, caught))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _be_first(folder: str, name: str, *, made: int) -> NoReturn:
    """Be process 1: furnish the namespaces, say so, and stay until killed."""
    _libc.prctl(DIE_WITH_PARENT, signal.SIGKILL)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel then buries the orphans that come here
    host_name = name.encode()
    _check(_libc.sethostname(host_name, len(host_name)), "sethostname")
    _mount("none", "/", flags=RECURSIVE | PRIVATE)
    _mount("proc", "/proc", kind="proc")
    upper, work = f"{folder}/places", f"{folder}/work"
    for path in (upper, work):
        os.makedirs(path)
    _mount("overlay", "/var/lib", kind="overlay", data=f"lowerdir=/var/lib,upperdir={upper},workdir={work}")
    for source, target in _bindings(folder):
        _mount(source, target, flags=BIND)
    _mount("none", "/", flags=RECURSIVE | SHARED)  # as on any machine that systemd has set up
    os.write(made, b"1")
    os.close(made)
    while True:
        signal.pause()


def _bindings(folder: str) -> Iterator[tuple[str, str]]:
    """Each of the bed's folders and files with the place at which the node sees it."""
    for place in OWN_FOLDERS:
        os.makedirs(f"{folder}/{place}")
        os.makedirs(f"/{place}", exist_ok=True)
        yield f"{folder}/{place}", f"/{place}"
    for setting, value in SETTINGS.items():
        _write(f"{folder}/settings/{setting}", f"{value}\n")
        yield f"{folder}/settings/{setting}", f"/proc/sys/{setting}"


def _mount(source: str, target: str, *, kind: str = "none", flags: int = 0, data: str = "") -> None:
    done = _libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode())
    _check(done, f"mount {source} on {target}")


def _write(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)


def _check(done: int, what: str) -> None:
    if done:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


if __name__ == "__main__":
    if sys.argv[1] == "hold":
        status = hold(sys.argv[2], sys.argv[3])
    else:
        status = enter(int(sys.argv[2]), sys.argv[3:])
    sys.exit(status if status >= 0 else 128 - status)
