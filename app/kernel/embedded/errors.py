"""Why an embedded store would not start, in words that say how to mend it."""

from datetime import datetime
from pathlib import Path
from typing import ClassVar


class EmbeddedError(Exception):
    """An embedded store cannot be used; the text says why and what to do, in two languages."""

    en: ClassVar[str]
    zh: ClassVar[str]

    def __init__(self, **facts: object) -> None:
        """Fill the facts into both sentences."""
        self.facts = facts
        self.english = self.en.format(**facts)
        self.chinese = self.zh.format(**facts)
        super().__init__(f"{self.english}\n{self.chinese}")


class DataHeld(EmbeddedError):
    """Another process serves or uses this data directory."""

    en = (
        "The data in {data_dir} is held by {what} (pid {pid}, since {since}). "
        "Stop that one first, or choose another directory with LINLI_DATA_DIR."
    )
    zh = (
        "数据目录 {data_dir} 正被 {what} 使用（进程 {pid}，始于 {since}）。"
        "请先停止它，或用 LINLI_DATA_DIR 指定另一个目录。"
    )

    def __init__(self, *, pid: int, since: datetime | None, what: str, data_dir: Path) -> None:
        """Name the holder."""
        self.pid = pid
        self.since = since
        self.what = what
        shown = since.astimezone().strftime("%Y-%m-%d %H:%M:%S") if since else "?"
        super().__init__(pid=pid or "?", since=shown, what=what, data_dir=data_dir)


class DiskFull(EmbeddedError):
    """There is no room for the store."""

    en = (
        "The disk of {data_dir} is full: {free_mb} MB are free and {needed_mb} MB are needed. "
        "Free some space, or move the data with LINLI_DATA_DIR."
    )
    zh = (
        "数据目录 {data_dir} 所在磁盘空间不足：剩余 {free_mb} MB，至少需要 {needed_mb} MB。"
        "请清理磁盘，或用 LINLI_DATA_DIR 换一个位置。"
    )


class BinaryMissing(EmbeddedError):
    """The program of a store is not installed."""

    en = (
        "The program {program} is missing ({looked_in}). Run `make setup` again; on a system "
        "without ready-made programs set {variable} to a server of your own."
    )
    zh = (
        "找不到程序 {program}（{looked_in}）。请重新运行 `make setup`；"
        "若本系统没有预编译程序，请把 {variable} 设为自己的服务器地址。"
    )


class NotWritable(EmbeddedError):
    """The data directory cannot be written by the user who started us."""

    en = (
        "Cannot write to {path} ({reason}). Give this user the right to write there, "
        "or choose another directory with LINLI_DATA_DIR."
    )
    zh = "无法写入 {path}（{reason}）。请授予当前用户写权限，或用 LINLI_DATA_DIR 指定另一个目录。"


class WrongMajor(EmbeddedError):
    """The data was made by another major version of PostgreSQL."""

    en = (
        "{path} holds data of PostgreSQL {found}, but this Linli brings PostgreSQL {needed}. "
        "Dump it with the old version and load it here, or move it away to begin anew."
    )
    zh = (
        "{path} 中是 PostgreSQL {found} 的数据，而当前 Linli 自带 PostgreSQL {needed}。"
        "请用旧版本导出后再导入，或移走该目录重新开始。"
    )


class ForeignFiles(EmbeddedError):
    """The directory meant for PostgreSQL holds something else."""

    en = (
        "{path} is not empty and holds no PostgreSQL data. Move these files away, "
        "or choose another directory with LINLI_DATA_DIR."
    )
    zh = "{path} 不为空，且不是 PostgreSQL 数据。请移走其中的文件，或用 LINLI_DATA_DIR 换一个目录。"


class RootUnsupported(EmbeddedError):
    """PostgreSQL never runs as root, and here there is no way to run it as anybody else."""

    en = (
        "PostgreSQL refuses to run as root, and this system offers no user namespace and no "
        "unprivileged user who may read {path}. Run Linli as an ordinary user, or set "
        "LINLI_DATABASE_URL to a server of your own."
    )
    zh = (
        "PostgreSQL 不能以 root 运行，本系统既不支持用户命名空间，也没有可读取 {path} 的普通用户。"
        "请以普通用户运行 Linli，或把 LINLI_DATABASE_URL 设为自己的服务器。"
    )


class StoreFailed(EmbeddedError):
    """The store's own program gave up; its last words are part of the text."""

    en = "{program} did not start: {reason}\n{last_lines}\nIts log is {log}; `linli doctor` checks."
    zh = "{program} 启动失败：{reason}。日志见 {log}，可运行 `linli doctor` 检查。"
