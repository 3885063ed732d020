"""A row's reports that are all there at once leave every turn of the event loop some time for all else."""

import asyncio
from collections import Counter
from contextlib import suppress

from loadline_agent.domain.turns import Turns


async def turns_of(comers: int, turns: Turns) -> list[int]:
    """In which turn of the loop each of so many had its own, in the order in which they came."""
    turn, found = 0, []

    async def count() -> None:
        nonlocal turn
        while True:
            await asyncio.sleep(0)
            turn += 1

    async def come(number: int) -> None:
        await turns.take()
        found.append((number, turn))

    counting = asyncio.create_task(count())
    await asyncio.gather(*(come(number) for number in range(comers)))
    counting.cancel()
    assert [number for number, _ in found] == list(range(comers)), "first come, first served"
    return [one for _, one in found]


async def test_so_many_go_on_in_each_turn_of_the_loop_and_nobody_waits_longer_than_that_takes() -> None:
    found = await turns_of(100, Turns(8))
    assert max(Counter(found).values()) <= 8
    assert max(found) - min(found) <= 100 // 8 + 2


async def test_few_go_on_at_once() -> None:
    turns = Turns(8)
    for _ in range(3):
        assert len(set(await turns_of(8, turns))) == 1
        await asyncio.sleep(0.001)


async def test_one_that_went_away_while_it_waited_takes_nobodys_turn() -> None:
    turns = Turns(1)
    first, gone, last = (asyncio.create_task(turns.take()) for _ in range(3))
    await first
    gone.cancel()
    with suppress(asyncio.CancelledError):
        await gone
    async with asyncio.timeout(1.0):
        await last
