"""What a Node says of its own host, and that all else is refused by its label."""

import pytest

from loadline_api.host_labels import HostDraw, declared_draw, host_draw
from loadline_api.names import HOST_IDLE_WATTS_LABEL as IDLE
from loadline_api.names import HOST_MAX_WATTS_LABEL as MOST
from loadline_api.power_domains import HostWatts
from loadline_policies.errors import InvalidInput

DECLARED = HostWatts(max=2600, idle=900)


@pytest.mark.parametrize(
    ("labels", "draw"),
    [
        ({}, HostDraw(max_watts=2600.0, idle_watts=900.0)),
        ({MOST: "3100"}, HostDraw(max_watts=3100.0, idle_watts=3100.0)),
        ({MOST: "3100", IDLE: "1200"}, HostDraw(max_watts=3100.0, idle_watts=1200.0)),
        ({MOST: "400"}, HostDraw(max_watts=400.0, idle_watts=400.0)),
        ({MOST: "100000"}, HostDraw(max_watts=100_000.0, idle_watts=100_000.0)),
    ],
)
def test_a_node_has_its_own_draw_or_that_of_its_domain(labels: dict[str, str], draw: HostDraw) -> None:
    assert host_draw(labels, DECLARED) == draw


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ({MOST: ""}, "host-max-watts is '': give whole watts, 1 to 100000"),
        ({MOST: "3kW"}, "host-max-watts is '3kW': give whole watts"),
        ({MOST: "-1"}, "host-max-watts is '-1'"),
        ({MOST: "0"}, "host-max-watts is '0'"),
        ({MOST: "100001"}, "host-max-watts is '100001'"),
        ({MOST: "9" * 63}, "host-max-watts is '9+'"),
        ({MOST: "\u0663"}, "host-max-watts is"),
        ({MOST: "1000", IDLE: "1001"}, "host-idle-watts is 1001: lower it"),
        ({MOST: "1000", IDLE: "x"}, "host-idle-watts is 'x'"),
        ({IDLE: "500"}, "host-idle-watts is '500': label the node with .*host-max-watts too"),
    ],
)
def test_a_label_that_says_no_watts_is_refused(labels: dict[str, str], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        host_draw(labels, DECLARED)


def test_a_domain_without_an_idle_draw_draws_its_maximum_always() -> None:
    assert declared_draw(HostWatts(max=2600)) == HostDraw(max_watts=2600.0, idle_watts=2600.0)
    assert declared_draw(None) == HostDraw()
