"""`vdd check`: is a dataset complete and readable? Counts, every video opened, exactness of seeking, duplicates."""

import hashlib
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from vddlib.core.errors import BrokenVideo
from vddlib.core.parallel import run_each
from vddlib.datasets import video
from vddlib.datasets.catalog import Dataset
from vddlib.datasets.video import crash_reason

MOST_NAMES = 20  # of a kind that are printed unless all are asked for


@dataclass
class Findings:
    """What a check found; videos are named ``CLASS/stem``.

    `duplicates` are entries with the same bytes, including one file that is listed twice; `across` are those found in both
    train and test; `frames` are the fewest, the median and the most frames of a video. What does not make the dataset
    unsound (short videos, duplicates, inexact seeking) is only reported.
    """

    counts: tuple[int, int] = (0, 0)
    expected: tuple[int, int] | None = None
    absent: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    short: list[str] = field(default_factory=list)
    inexact: list[str] = field(default_factory=list)
    duplicates: list[list[str]] = field(default_factory=list)
    across: list[list[str]] = field(default_factory=list)
    shared_sources: float = 0.0
    frames: tuple[int, int, int] = (0, 0, 0)

    @property
    def sound(self) -> bool:
        """Whether the counts are the published ones and every video can be read."""
        return not self.unreadable and not self.absent and self.expected in (None, self.counts)

    def lines(self, most: int | None = MOST_NAMES) -> list[str]:
        """The findings as text, one per line; of each kind at most `most` videos, or all of them."""
        told = "" if self.expected is None else f", published {self.expected[0]} / {self.expected[1]}"
        same = (
            ""
            if self.expected is None
            else (": as published" if self.expected == self.counts else ": NOT as published")
        )
        out = [f"videos: {self.counts[0]} train / {self.counts[1]} test{told}{same}"]
        out += [f"frames per video: {self.frames[0]} to {self.frames[2]}, median {self.frames[1]}"]
        for label, names in (
            ("absent", self.absent),
            ("unreadable", self.unreadable),
            ("shorter than a clip", self.short),
            ("seeking inexact (harmless here: frames are decoded in order)", self.inexact),
        ):
            out += [f"{label}: {len(names)}", *_listed(names, most)]
        for label, groups in (
            (f"byte-identical videos: {len(self.duplicates)} groups", self.duplicates),
            (f"of these across train and test: {len(self.across)}", self.across),
        ):
            out += [label, *_listed([" = ".join(group) for group in groups], most)]
        out += [f"test clips whose source video, as named, also gave a train clip: {100 * self.shared_sources:.1f} %"]
        return out


def _listed(names: list[str], most: int | None) -> list[str]:
    """Indented lines of the first `most` names, and how many more there are."""
    shown = names[:most]
    return [f"    {name}" for name in shown] + (
        [f"    and {len(names) - len(shown)} more (--all names them)"] if len(names) > len(shown) else []
    )


def _examine(path: Path) -> tuple[int, bool, str, str]:
    """(frames, whether seeking is exact, why it cannot be read or '', sha256 of the file)."""
    try:
        with Path(path).open("rb") as file:
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
        frames = video.probe(path).frames
        exact = video.seek_is_exact(path)
        return frames, exact, "", checksum
    except BrokenVideo as error:
        return 0, False, str(error), ""
    except OSError as error:
        return 0, False, f"{path}: {error.strerror}", ""


def check(dataset: Dataset, workers: int | None = None) -> Findings:
    """Open every video of `dataset` in parallel processes, with progress, and report what is wrong with them."""
    listed = [("train", e) for e in dataset.train] + [("test", e) for e in dataset.test]
    videos = {(part, entry.video or entry.name): entry.path for part, entry in listed}  # one at two paces is one video
    found = Findings((len(dataset.train), len(dataset.test)), dataset.spec.counts if dataset.spec else None)
    found.absent = list(dataset.absent)
    paths = sorted(set(videos.values()))  # a file that is listed twice is opened once
    what = f"{dataset.name}: checking"
    examined = dict(
        run_each(paths, _examine, what, workers, crashed=lambda path, why: (0, False, crash_reason(path, why), ""))
    )
    needed = dataset.spec.clip.shortest(dataset.longest_pace) if dataset.spec else 1
    groups: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for (part, name), path in videos.items():
        frames, exact, why, checksum = examined[path]
        if why:
            found.unreadable.append(why)
            continue
        if frames < needed:
            found.short.append(f"{part}/{name}: {frames} frames")
        if not exact:
            found.inexact.append(f"{part}/{name}")
        groups[checksum].add((part, name))
    for group in sorted(sorted(group) for group in groups.values() if len(group) > 1):
        names = [f"{part}/{name}" for part, name in group]
        found.duplicates.append(names)
        if len({part for part, _ in group}) > 1:
            found.across.append(names)
    lengths = sorted(frames for frames, _, why, _ in examined.values() if not why)
    if lengths:
        found.frames = (lengths[0], lengths[len(lengths) // 2], lengths[-1])
    found.shared_sources = shared_sources(dataset)
    return found


def shared_sources(dataset: Dataset) -> float:
    """Share of the test clips whose source video (as far as names tell) also gave a train clip of the same class."""
    train = {entry.source for entry in dataset.train}
    return sum(entry.source in train for entry in dataset.test) / max(1, len(dataset.test))
