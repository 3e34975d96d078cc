"""Members in ranges of their ids, so that several machines can read some of them each."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select

from app.churn import sources
from app.kernel.db import Read
from app.members import Member


class MembersMoved(Exception):
    """Members of a range came or went while it was worked on."""


@dataclass(frozen=True, slots=True)
class MemberRange:
    """So many members, with ids from `first` on and before `end`; without one to the last."""

    first: UUID
    end: UUID | None
    members: int

    @property
    def whose(self) -> sources.Whose:
        """The condition of being one of them."""
        return sources.between(self.first, self.end)

    def check(self, members: int) -> None:
        """Raise MembersMoved unless there are as many as when the range was made."""
        if members != self.members:
            raise MembersMoved


async def member_ranges(read: Read, *, least: int, most: int) -> list[MemberRange]:
    """All members in at least so many ranges, of at most so many members each; none of nobody."""
    everybody = await read.session.scalar(select(func.count()).select_from(Member)) or 0
    size = max(min(-(-everybody // least), most), 1)
    number = (func.row_number().over(order_by=Member.id) - 1).label("number")
    numbered = select(Member.id, number).subquery()
    firsts = await read.session.scalars(
        select(numbered.c.id).where(numbered.c.number % size == 0).order_by(numbered.c.id)
    )
    starts: list[UUID] = list(firsts)
    sizes = [size] * (len(starts) - 1) + [everybody - size * (len(starts) - 1)]
    return [
        MemberRange(first, end, members)
        for first, end, members in zip(starts, [*starts[1:], None], sizes, strict=False)
    ]
