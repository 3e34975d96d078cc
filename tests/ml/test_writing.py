"""What is written for people stands there wholly, or what stood there before does."""

import errno
import os
import threading
from pathlib import Path

import pytest

from ml.writing import refuse_unwritable, whole


def test_a_new_file_takes_the_place_of_the_old_one_and_keeps_its_rights(tmp_path: Path) -> None:
    place = tmp_path / "scores.csv"
    for text in ("first", "second"):
        with whole(place) as draft:
            draft.write_text(text)
            assert not place.exists() or place.read_text() == "first"
        place.chmod(0o640)
    assert place.read_text() == "second"
    with whole(place) as draft:
        draft.write_text("third")
    assert place.stat().st_mode & 0o777 == 0o640
    assert [file.name for file in tmp_path.iterdir()] == ["scores.csv"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_what_fails_half_way_leaves_the_old_file(tmp_path: Path, error: BaseException) -> None:
    place = tmp_path / "scores.csv"
    place.write_text("yesterday's")

    def fail() -> None:
        with whole(place) as draft:
            draft.write_text("half")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert place.read_text() == "yesterday's"
    assert [file.name for file in tmp_path.iterdir()] == ["scores.csv"]


def test_links_stay_links_and_pipes_are_written_to(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "scores.csv")
    with whole(tmp_path / "link") as draft:
        draft.write_text("here")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "scores.csv").read_text() == "here"
    pipe, heard = tmp_path / "pipe", list[str]()
    os.mkfifo(pipe)
    listener = threading.Thread(target=lambda: heard.append(pipe.read_text()))
    listener.start()
    with whole(pipe) as draft:
        draft.write_text("through")
    listener.join()
    assert heard == ["through"]


def test_folders_are_told_before_the_work(tmp_path: Path) -> None:
    refuse_unwritable(tmp_path / "scores.csv")
    with pytest.raises(OSError, match="is a folder"):
        refuse_unwritable(tmp_path)
    with pytest.raises(OSError, match="there is no folder"):
        refuse_unwritable(tmp_path / "absent" / "scores.csv")
