"""What worker processes do with one hostile file; apart from the tests, so that a worker starts quickly."""

import shutil
from pathlib import Path

from tests.hostile.mutants import outcome
from vddlib.core.errors import BrokenVideo, VddError
from vddlib.datasets import video

MOST_FRAMES = 300  # of one video


def read_video(path: Path) -> str:
    """Probe a video and stream its frames. A file that went well is removed, any other is kept."""

    def read() -> None:
        video.probe(path)
        for number, frame in enumerate(video.stream(path)):
            assert frame.ndim == 3 and frame.shape[2] == 3
            if number == MOST_FRAMES:
                break

    return _removed(path, outcome(read, BrokenVideo, str(path)))


def read_set(folder: Path) -> str:
    """Load a saved set and draw from it."""
    from vddlib.distillers import DistilledSet

    def load() -> None:
        found = DistilledSet.load(folder)
        try:
            assert found.bytes_uint8 > 0 and found.draw()[0].isfinite().all()
        except BrokenVideo as error:  # a damaged frame shows when it is drawn; that line names the stored video
            raise VddError(f"{folder}: {error}") from None

    return _removed(folder, outcome(load, VddError, str(folder)))


def _removed(path: Path, result: str) -> str:
    if result in ("loaded", "refused in one line"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return result
