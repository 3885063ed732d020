"""Ports for a row of agents on one machine."""

from testbed.live_rows import ports


def test_ports_are_free_and_below_those_of_outgoing_connections() -> None:
    first = int(ports.RANGE_FILE.read_text().split()[0])
    chosen = ports.free_ports(104)
    assert len(set(chosen)) == 104
    assert all(ports.LOWEST <= port < first for port in chosen)
