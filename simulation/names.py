"""Nicknames in the manner of group chats. No full names, so that nobody real is named."""

import numpy as np

from simulation.streams import Bools, Ints, Stream, generator
from simulation.tables import Column


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_SURNAMES = _words(
    """
    王 李 张 刘 陈 杨 黄 赵 周 吴 徐 孙 马 朱 胡 林 郭 何 高 罗 郑 梁 谢 宋 唐 许 邓 韩 冯 曹
    彭 曾 萧 田 董 潘 袁 蔡 蒋 余 于 杜 叶 程 魏 苏 吕 丁 沈 任 姚 卢 傅 钟 姜 崔 谭 廖 范 汪
    陆 金 石 戴 贾 韦 夏 邱 方 侯 邹 熊 孟 秦 白 江 阎 薛 尹 段 雷 黎 史 陶 贺 毛 郝 顾 龚 邵
    万 覃 武 钱
    """
)
_AFTER = _words("姐 哥 阿姨 叔 妈 奶奶 师傅 老师")
_GIVEN = _words(
    """
    婉清 思远 子涵 雨桐 欣怡 梓萱 佳宁 静怡 晓琳 美玲 志强 建国 海燕 丽华 雪梅 秀兰
    文静 俊杰 浩然 宇航 嘉怡 诗涵 一诺 若曦 可欣 明轩 晨阳 慧敏 春燕 玉珍 桂芳 国栋
    立新 小红 晓明 艳红 亚楠 佩琪 云飞 梦洁
    """
)
_CHILD = _words(
    """
    豆豆 乐乐 果果 糖糖 小宝 安安 朵朵 可可 米粒 童童 小满 多多 团子 嘟嘟 芊芊 阳阳
    萌萌 壮壮
    """
)
_MOODS = _words(
    """
    向日葵 静待花开 一米阳光 平安喜乐 岁月静好 晴天 半夏 小确幸 云淡风轻
    风轻扬 橘子汽水 柠檬不酸 栀子花开 知足常乐 清风徐来 花开富贵 快乐每一天 海阔天空
    随遇而安 早起的鸟 今天吃什么 不吃香菜 爱做饭的猫 月亮邮差 慢慢来 阿狸 小鹿
    大橘为重 奶茶三分糖 深夜食堂 人间烟火 夏天的风 上善若水 宁静致远 吉祥如意
    """
)
_LATIN = _words("Lily Coco Amy Kevin Vivian Jason Echo Yoyo Mia Leo Sunny Cici Nancy Tony")
_MARKS = ("", "", "", "", "", "", "🌻", "🌸", "🍀", "~", "🐱", "☀️", "🌙")


def nicknames(seed: int, part: int, english: Bools) -> Column:
    """One nickname a member of a part; those who read English have a Latin one."""
    rng = generator(seed, Stream.NAMES, 0, part)
    members = len(english)
    style = np.where(english, 6, np.searchsorted(_STYLE_EDGES, rng.random(members), side="right"))
    a, b, mark = (rng.integers(0, 1 << 30, members) for _ in range(3))
    words = [_name(*row) for row in zip(*_lists(style, a, b, mark), strict=True)]
    return np.array(words, dtype=object)


def _lists(*columns: Ints) -> list[list[int]]:
    return [column.tolist() for column in columns]


_STYLE_EDGES = np.cumsum([0.2, 0.16, 0.16, 0.12, 0.22, 0.08])


def _name(style: int, a: int, b: int, mark: int) -> str:
    surname = _SURNAMES[a % len(_SURNAMES)]
    plain = (
        ("小" if b % 3 else "老") + surname,
        surname + _AFTER[b % len(_AFTER)],
        _GIVEN[b % len(_GIVEN)],
        _CHILD[b % len(_CHILD)] + ("妈妈" if a % 4 else "爸爸"),
        _MOODS[b % len(_MOODS)],
        f"{b % 26 + 1}栋{surname}{_AFTER[a % 2]}",
        _LATIN[b % len(_LATIN)],
    )[min(style, 6)]
    return plain if style == 5 else plain + _MARKS[mark % len(_MARKS)]
