"""What is kept of long videos: for every segment its action, its length, and a few features."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from vddlib.core.errors import VddError
from vddlib.datasets.segmentation import LongVideo, segments

Keep = Literal["segment_mean", "segment_coreset"]


@dataclass(frozen=True)
class CondensedVideo:
    """Of one video with S segments: ``labels`` and ``lengths int64 [S]``, and ``kept float32 [S, k, D]``.

    A segment's frames are dealt out evenly to its k features, in order (`pieces`): each stands for its stretch of the segment.
    """

    name: str
    labels: np.ndarray
    lengths: np.ndarray
    kept: np.ndarray = field(repr=False)

    def expanded(self) -> LongVideo:
        """The video that students learn from: every kept feature repeated for the frames that it stands for."""
        features, labels = [], []
        for label, length, kept in zip(self.labels, self.lengths, self.kept, strict=True):
            owner = pieces(int(length), len(kept))
            features.append(kept[owner].T)
            labels.append(np.full(int(length), label))
        return LongVideo(self.name, np.concatenate(features, 1).astype(np.float32), np.concatenate(labels))

    @property
    def bytes_float32(self) -> int:
        """Of the features, four bytes a value, and of each segment's label and length, four bytes each."""
        return 4 * self.kept.size + 8 * len(self.labels)


def pieces(length: int, count: int) -> np.ndarray:
    """Which of `count` features stands for each of `length` frames: ``int64 [length]``, ascending, as evenly as it goes.

    Where there are fewer frames than features, some features stand for none.
    """
    return np.arange(length) * count // length


def condense(video: LongVideo, count: int, keep: Keep) -> CondensedVideo:
    """`count` features for each segment, of as many even pieces of it: their means, or the frames nearest to these.

    `segment_mean` and `segment_coreset` (TSGF, table 10, where `count` seems to be 1). A piece without a frame takes the whole
    segment's. Raises VddError for other names.
    """
    if count < 1 or keep not in ("segment_mean", "segment_coreset"):
        raise VddError(f"{count} features per segment by {keep!r}: at least 1, by segment_mean or segment_coreset")
    found = segments(video.labels)
    kept = np.empty((len(found), count, len(video.features)), np.float32)
    for row, one in enumerate(found):
        frames, owner = video.features[:, one.start : one.end], pieces(one.end - one.start, count)
        for piece in range(count):
            mine = frames[:, owner == piece] if (owner == piece).any() else frames
            mean = mine.mean(1)
            if keep == "segment_coreset":
                mean = mine[:, np.linalg.norm(mine - mean[:, None], axis=0).argmin()]
            kept[row, piece] = mean
    labels, lengths = (
        np.array(values) for values in zip(*((one.label, one.end - one.start) for one in found), strict=True)
    )
    return CondensedVideo(video.name, labels, lengths, kept)


def share_kept(condensed: Sequence[CondensedVideo], videos: Sequence[LongVideo]) -> float:
    """Bytes of the condensed videos over those of all features and labels as float32 and int32, in percent."""
    whole = sum(4 * video.features.size + 4 * len(video.labels) for video in videos)
    return 100 * sum(one.bytes_float32 for one in condensed) / whole
