"""Mutants of real MP4 and AVI: refused by name in one line, or read; in processes, so that an abort is seen as one."""

import os
from pathlib import Path

import pytest
from hypothesis import strategies as st

from tests.conftest import SHARED, moving_square
from tests.datasets.test_video import write
from tests.hostile.mutants import EDITS, REFUSED, batches, damaged, told
from tests.hostile.work import read_video
from vddlib.core.parallel import run_each
from vddlib.datasets import video

pytestmark = pytest.mark.hostile


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> list[tuple[str, bytes]]:
    """(suffix, bytes) of videos made here, and of the smallest real XVID AVIs where there are any."""
    folder, frames = tmp_path_factory.mktemp("good"), moving_square(0, 0, 30)
    paths = [video.encode(folder / "a.mp4", frames), write(folder / "a.avi", frames, "mpeg4")]
    paths += [write(folder / "b.avi", frames, "libx264"), write(folder / "a.mkv", frames, "libx264")]
    real = Path(os.environ.get("VDD_TEST_DATA", SHARED / "data")) / "ucf101-avi"
    paths += sorted(real.glob("*/*.avi"), key=lambda path: path.stat().st_size)[:2]
    return [(path.suffix, path.read_bytes()) for path in paths]


def test_mutants_of_videos(good, tmp_path):
    outcomes: dict[str, str] = {}
    examples = st.tuples(st.integers(0, len(good) - 1), st.lists(EDITS, min_size=1, max_size=3))
    for number, batch in batches(examples, 60, 0.6):
        paths = []
        for k, (which, edits) in enumerate(batch):
            suffix, data = good[which]
            paths.append(tmp_path / f"{number}_{k}{suffix}")
            paths[-1].write_bytes(damaged(data, edits))
        outcomes |= {
            path.name: found for path, found in run_each(paths, read_video, "mutants", 2, crashed=why, limit=60)
        }
    told(f"videos ({tmp_path})", outcomes)


def why(path: Path, reason: str) -> str:
    """A hang is ended by the limit, with a line that names the file, as in the frame store; nothing may crash."""
    return REFUSED if "did not end" in reason else f"CRASHED: {reason}"
