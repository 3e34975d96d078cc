"""Why a world is not simulated into this database."""

from app.kernel.errors import Refusal


class WorldDiffers(Refusal):
    """The database holds a world made with other parameters."""

    code = "WORLD_DIFFERS"
    zh = (
        "该数据库已有模拟数据（members={members}，months={months}，seed={seed}），"
        "不能改用其他参数。请沿用这些参数，或使用空数据库。"
    )
    en = (
        "This database already holds a simulated world of --members {members} --months {months} "
        "--seed {seed}. Continue it with the same parameters (or none), or use an empty database."
    )


class WorldAhead(Refusal):
    """The world has been lived further than was asked for."""

    code = "WORLD_AHEAD"
    zh = "模拟数据已生成至{reached}，不能回到{asked}。"
    en = "The world has been simulated up to {reached} already; it cannot go back to {asked}."


class WorldBusy(Refusal):
    """Another process is simulating into this database."""

    code = "WORLD_BUSY"
    zh = "另一个进程正在向该数据库写入模拟数据，请等待其完成。"
    en = "Another process is simulating into this database. Wait until it has finished."
