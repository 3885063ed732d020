"""
What every server does during a tick: the compiled inner loop of the plant.

A server is one replica with continuous batching: at most `max_batch` sequences, a
waiting prompt's prefill pre-empts decode, first come first served. Inside a tick it
goes from event to event, so latencies aren't rounded to ticks; and a token count,
`decoded`, runs once for the whole batch, so a sequence ends when the count reaches
its own mark and nobody walks over sequences token by token.

No formula of watts or times stands here: `Tables` are filled from the models by
`tables`, and requests come with their prefill already priced at full clock. Clocks
are whole MHz and index the tables from `min_mhz` up. All compiled functions are in
this module, for the reason that `compiled` gives.
"""

from typing import NamedTuple

from loadline_sim.arrays import Floats, Ints
from loadline_sim.compiled import compiled

NEVER = 1e300
INSTANT_S = 1e-9
"""Shorter than any phase; what is left of a tick below it is rounding."""


class Tables(NamedTuple):
    """The models, priced in advance; watts are one GPU's.

    By batch size: `decode_s`, `decode_watts` (dynamic, at full clock). By clock, from
    `min_mhz` up: slowdowns, and shares of the dynamic watts that are left.
    """

    decode_s: Floats
    decode_watts: Floats
    prefill_slowdown: Floats
    decode_slowdown: Floats
    prefill_power: Floats
    decode_power: Floats
    idle_watts: float
    min_mhz: int
    max_batch: int


class Queue(NamedTuple):
    """All requests, grouped by server (`starts[s]` to `starts[s + 1]`), by arrival within each.

    `prefill_s` and `prefill_watts` (dynamic, one GPU's) hold at full clock. `ttft_s` and
    `latency_s` are NaN until the server writes them.
    """

    starts: Ints
    arrival_s: Floats
    prefill_s: Floats
    prefill_watts: Floats
    output_tokens: Floats
    ttft_s: Floats
    latency_s: Floats


class Servers(NamedTuple):
    """What each server is at; one entry per server, `ends` and `members` per slot of its batch.

    `prefilling` is a request or -1, `prefill_left_s` its rest at full clock. `watts` is
    the mean over the last tick of one GPU, `joules` its sum since the start.
    """

    head: Ints
    prefilling: Ints
    prefill_left_s: Floats
    batch: Ints
    decoded: Floats
    ends: Floats
    members: Ints
    limit_watts: Floats
    locked_mhz: Ints
    mhz: Ints
    watts: Floats
    joules: Floats


class Sensors(NamedTuple):
    """What the GPUs report, shape (servers, GPUs). A GPU is sampled when (tick + `offset`) % period is 0."""

    gain: Floats
    offset: Ints
    instant_watts: Floats
    average_watts: Floats


@compiled
def highest_mhz(power: Floats, dynamic_watts: float, room_watts: float, locked: int) -> int:  # noqa: PLR0917
    """The highest clock (as an index) up to `locked` whose watts fit the room; 0 if none does."""
    if dynamic_watts * power[locked] <= room_watts:
        return locked
    low, high = 0, locked
    while high - low > 1:
        middle = (low + high) // 2
        if dynamic_watts * power[middle] <= room_watts:
            low = middle
        else:
            high = middle
    return low


@compiled
def clock(s: int, servers: Servers, queue: Queue, tables: Tables) -> int:  # noqa: PLR0917
    """The clock that the limiter grants for the phase at the tick's start, as an index.

    A limiter reacts to what it sees: a phase that begins within a tick runs at the
    clock of the phase before until the tick ends, so the shortest spikes escape it.
    """
    locked = max(int(servers.locked_mhz[s]) - tables.min_mhz, 0)
    room = servers.limit_watts[s] - tables.idle_watts
    request = servers.prefilling[s]
    if request >= 0:
        return highest_mhz(tables.prefill_power, queue.prefill_watts[request], room, locked)
    if servers.batch[s] > 0:
        return highest_mhz(tables.decode_power, tables.decode_watts[servers.batch[s]], room, locked)
    return locked


@compiled
def begin_prefill(s: int, servers: Servers, queue: Queue) -> None:
    """The oldest waiting request leaves the queue."""
    request = servers.head[s]
    servers.head[s] = request + 1
    servers.prefilling[s] = request
    servers.prefill_left_s[s] = queue.prefill_s[request]


@compiled
def end_prefill(s: int, now: float, servers: Servers, queue: Queue) -> None:  # noqa: PLR0917
    """The first token is out; the sequence joins the batch, or is done if it was to be the only one."""
    request = servers.prefilling[s]
    servers.prefilling[s] = -1
    queue.ttft_s[request] = now - queue.arrival_s[request]
    if queue.output_tokens[request] <= 1.0:
        queue.latency_s[request] = queue.ttft_s[request]
        return
    slot = servers.batch[s]
    servers.ends[s, slot] = servers.decoded[s] + queue.output_tokens[request] - 1.0
    servers.members[s, slot] = request
    servers.batch[s] = slot + 1


@compiled
def first_end(s: int, servers: Servers) -> float:
    """The mark at which the batch's next sequence ends."""
    first = NEVER
    for slot in range(servers.batch[s]):
        first = min(first, servers.ends[s, slot])
    return first


@compiled
def end_sequences(s: int, now: float, servers: Servers, queue: Queue) -> None:  # noqa: PLR0917
    """Sequences that reached their mark leave the batch."""
    slot = 0
    while slot < servers.batch[s]:
        if servers.ends[s, slot] > servers.decoded[s] + INSTANT_S:
            slot += 1
            continue
        request = servers.members[s, slot]
        queue.latency_s[request] = now - queue.arrival_s[request]
        last = servers.batch[s] - 1
        servers.ends[s, slot] = servers.ends[s, last]
        servers.members[s, slot] = servers.members[s, last]
        servers.batch[s] = last
    if servers.batch[s] == 0:
        servers.decoded[s] = 0.0


@compiled
def prefill(  # noqa: PLR0917
    s: int, now: float, left_s: float, mhz: int, servers: Servers, queue: Queue, tables: Tables
) -> tuple[float, float]:
    """Prefill until done or the tick's end; seconds used and dynamic joules."""
    slowdown = tables.prefill_slowdown[mhz]
    used_s = min(servers.prefill_left_s[s] * slowdown, left_s)
    watts = queue.prefill_watts[servers.prefilling[s]] * tables.prefill_power[mhz]
    servers.prefill_left_s[s] -= used_s / slowdown
    if servers.prefill_left_s[s] <= INSTANT_S:
        end_prefill(s, now + used_s, servers, queue)
    return used_s, used_s * watts


@compiled
def decode(  # noqa: PLR0917
    s: int, now: float, left_s: float, mhz: int, servers: Servers, queue: Queue, tables: Tables
) -> tuple[float, float]:
    """Decode until a sequence ends or `left_s` is over; seconds used and dynamic joules."""
    batch = servers.batch[s]
    token_s = tables.decode_s[batch] * tables.decode_slowdown[mhz]
    first = first_end(s, servers)
    needed_s = (first - servers.decoded[s]) * token_s
    watts = tables.decode_watts[batch] * tables.decode_power[mhz]
    if needed_s > left_s:
        servers.decoded[s] += left_s / token_s
        return left_s, left_s * watts
    servers.decoded[s] = first
    end_sequences(s, now + needed_s, servers, queue)
    return needed_s, needed_s * watts


@compiled
def serve(s: int, start_s: float, tick_s: float, servers: Servers, queue: Queue, tables: Tables) -> float:  # noqa: PLR0917
    """One server through one tick; its mean dynamic watts, of one GPU."""
    mhz = servers.mhz[s]
    left_s, joules = tick_s, 0.0
    while left_s > INSTANT_S:
        now = start_s + tick_s - left_s
        used_s, spent = 0.0, 0.0
        head = servers.head[s]
        until_next_s = queue.arrival_s[head] - now if head < queue.starts[s + 1] else NEVER
        free = servers.batch[s] < tables.max_batch
        if servers.prefilling[s] >= 0:
            used_s, spent = prefill(s, now, left_s, mhz, servers, queue, tables)
        elif free and until_next_s <= INSTANT_S:
            begin_prefill(s, servers, queue)
        elif servers.batch[s] > 0:
            limit_s = min(left_s, until_next_s) if free else left_s
            used_s, spent = decode(s, now, limit_s, mhz, servers, queue, tables)
        else:
            used_s = min(left_s, until_next_s)
        left_s -= used_s
        joules += spent
    return joules / tick_s


@compiled
def sample(s: int, tick: int, watts: float, period: int, smoothing: float, sensors: Sensors) -> None:  # noqa: PLR0917
    """GPUs whose turn it is look at this tick's mean; the others go on showing their last look."""
    for gpu in range(sensors.gain.shape[1]):
        if (tick + sensors.offset[s, gpu]) % period == 0:
            seen = watts * sensors.gain[s, gpu]
            sensors.instant_watts[s, gpu] = seen
            sensors.average_watts[s, gpu] += (seen - sensors.average_watts[s, gpu]) * smoothing


@compiled
def advance(  # noqa: PLR0917
    first_tick: int,
    ticks: int,
    origin_s: float,
    tick_s: float,
    period: int,
    smoothing: float,
    servers: Servers,
    queue: Queue,
    sensors: Sensors,
    tables: Tables,
    gpu_watts: Floats,
    sensor_watts: Floats,
) -> None:
    """All servers through `ticks` ticks under the limits in `servers`.

    Writes, per tick, the row's true and reported GPU watts as sums over one GPU
    (`gpu_watts`, to be multiplied by the GPUs of a server) and over all (`sensor_watts`).
    """
    for k in range(ticks):
        tick = first_tick + k
        start_s = origin_s + tick * tick_s
        gpu_watts[k] = 0.0
        for s in range(servers.head.size):
            servers.mhz[s] = clock(s, servers, queue, tables)
            watts = tables.idle_watts + serve(s, start_s, tick_s, servers, queue, tables)
            servers.watts[s] = watts
            servers.joules[s] += watts * tick_s
            gpu_watts[k] += watts
            sample(s, tick, watts, period, smoothing, sensors)
        sensor_watts[k] = sensors.instant_watts.sum()
