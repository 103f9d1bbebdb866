"""Random clips as files of H.264 at a chosen quality and size: what a codec makes of so many bytes."""

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from vddlib.core.errors import VddError
from vddlib.datasets.clips import Clips
from vddlib.distillers.selection.rounds import RandomRounds
from vddlib.distillers.stored.contract import encoded
from vddlib.distillers.stored.encoded import EncodedClips, scaled


class RandomEncoded(RandomRounds):
    """The control of equal bytes: real clips, many of them coarse or few of them fine, in the bytes of a distilled set.

    x264 codes blocks of 16 pixels: frames of 24x24 take the bytes of 32x32 and show less. One CRF is another fineness at
    other sides, so that qualities compare at one side only.
    """

    name: ClassVar[str] = "random_encoded"

    quality: int = Field(23, ge=0, le=51, description="CRF of H.264; higher is coarser")
    side: int = Field(0, ge=0, multiple_of=2, description="side of stored frames, in pixels; 0: as clips are drawn")

    def stored(self, clips: np.ndarray, seed: int, number: int) -> tuple[list[bytes], np.ndarray]:
        """Scaled down and encoded."""
        side = self.side or clips.shape[2]
        return encoded(np.stack([scaled(clip, side) for clip in clips]), self.quality), np.empty((len(clips), 0))

    def content(self, files: list[bytes], frames: np.ndarray, train: Clips) -> EncodedClips:
        """The files."""
        g = train.geometry
        return EncodedClips(files, g.frames, self.side or g.size, g.size, train.mean, train.std)

    def facts(self, train: Clips) -> dict[str, Any]:
        """Quality and side. Raises VddError where the side is odd, which H.264 does not store, or larger than a clip's."""
        size = train.geometry.size
        side = self.side or size
        if side % 2 or side > size:
            raise VddError(
                f"random_encoded: clips of side {size} cannot be stored at side {side}: an even one, at most theirs"
            )
        return {"quality": self.quality, "side": side}
