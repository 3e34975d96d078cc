"""A small stampede; `python -m bench.stampede` runs a large one."""

import asyncio

from tests.chaos.rig import House
from tests.chaos.stampede import stampede


async def test_every_coupon_goes_to_one_member_whatever_is_killed(house: House) -> None:
    await asyncio.gather(house.add_api(), house.add_api())
    result = await stampede(house, people=500, stock=50)
    print(result)
    assert result.wrong == []
    assert (result.granted, result.lost, result.doubled) == (50, 0, 0)
    assert result.requests >= 1_000, "everybody asked twice"
