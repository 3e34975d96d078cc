"""Plots: pictures with something on them, whose every letter is there on a bare machine."""

import warnings
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import font_manager
from PIL import Image

from ml import drawing, plots, uplift_plot
from ml.arrays import DAY
from ml.backtest import Report, backtest
from ml.drawing import Language
from tests.ml.small_shop import shop


@pytest.fixture(scope="module")
def report() -> Report:
    facts = shop(members=500, days=500)
    end = int(facts.order_at.max()) // DAY * DAY
    return backtest(facts, cutoffs=[end - 135 * DAY, end - 90 * DAY], draws=40)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose only fonts are those that come with matplotlib."""
    own = str(Path(mpl.get_data_path()))
    manager: Any = font_manager.fontManager
    fonts = [font for font in manager.ttflist if font.fname.startswith(own)]
    monkeypatch.setattr(manager, "ttflist", fonts)


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_plot_has_its_letters_and_lines(
    tmp_path: Path, report: Report, language: Language
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a missing glyph is a warning
        files = plots.draw(report, tmp_path / "new" / "plots", language)
    assert [file.name for file in files] == ["roc.png", "calibration.png", "lift.png", "lead.png"]
    for file in files:
        with Image.open(file) as image:
            pixels = np.asarray(image.convert("RGB"), dtype=np.int64)
        assert min(pixels.shape[:2]) > 600
        inked = (pixels.sum(axis=2) < 700).mean()
        assert 0.005 < inked < 0.3, file.name
        # The product's line, in its own colour.
        vermilion = np.array([int(drawing.VERMILION[place : place + 2], 16) for place in (1, 3, 5)])
        assert (np.abs(pixels - vermilion).max(axis=2) < 12).sum() > 400, file.name
    assert len({file.read_bytes() for file in files}) == 4


@pytest.mark.usefixtures("bare")
def test_chinese_changes_every_picture(tmp_path: Path, report: Report) -> None:
    english, chinese = (
        plots.draw(report, tmp_path / "en"),
        plots.draw(report, tmp_path / "zh", "zh"),
    )
    for one, other in zip(english, chinese, strict=True):
        assert one.read_bytes() != other.read_bytes()


@pytest.mark.usefixtures("bare")
def test_a_missing_letter_would_be_noticed(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="missing from font"):
        drawing.save(tmp_path / "a.png", lambda axes: None, title="\U00016a00 \u1680\u16a0\ua4d0")


def test_the_font_has_every_letter_of_every_text() -> None:
    covered = font_manager.get_font(str(drawing.FONT)).get_charmap()
    texts = [
        text
        for table in (plots.NAMES, plots.TEXTS, uplift_plot.TEXTS)
        for each in table.values()
        for text in each.values()
    ]
    assert len(texts) > 40
    for text in texts:
        assert not [letter for letter in text if ord(letter) not in covered], text
    # And the common characters, so that other plots may say what they like.
    assert all(
        ord(letter) in covered for letter in "流失预警漂移特征模型会员社区优惠券积分团长邻里"
    )


def test_texts_exist_in_both_languages() -> None:
    for table in (plots.NAMES, plots.TEXTS, uplift_plot.TEXTS):
        for name, each in table.items():
            assert set(each) == {"en", "zh"}, name
            assert each["en"].isascii() or "×" in each["en"]


def test_colours_differ_in_lightness_or_hue_for_all_eyes() -> None:
    """No two of the lines' colours come close when red and green are seen as one."""
    seen = [
        tuple(int(colour[place : place + 2], 16) for place in (1, 3, 5))
        for colour in plots._COLOURS.values()  # pyright: ignore[reportPrivateUsage]
    ]
    assert len(set(seen)) == len(seen)
    for number, (r, g, b) in enumerate(seen):
        for other in seen[number + 1 :]:
            # Viénot's deuteranopia in one line: red and green mix, blue stays.
            mixed = (0.63 * r + 0.37 * g, b)
            theirs = (0.63 * other[0] + 0.37 * other[1], other[2])
            assert abs(mixed[0] - theirs[0]) + abs(mixed[1] - theirs[1]) > 25
