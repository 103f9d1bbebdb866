"""Random videos of which a clip is drawn anew in every epoch: what seeing more of few videos brings."""

from typing import ClassVar

import torch
from pydantic import Field

from vddlib.datasets.clips import Clips
from vddlib.distillers.base import Distiller, check_ipc
from vddlib.distillers.full import FullSet
from vddlib.distillers.selection.rounds import random_order


class RandomVideos(Distiller):
    """Whole training videos, those whose clips `random` keeps first, drawn from as the full set is; its bytes are theirs."""

    name: ClassVar[str] = "random_videos"

    videos: int = Field(0, ge=0, description="videos per class, as many as another method used; 0: ipc")

    def distill(self, train: Clips, ipc: int, seed: int = 0) -> FullSet:
        """A view of these videos. Raises VddError where a class has fewer."""
        check_ipc(train, ipc if not self.videos else min(ipc, 1))
        count = self.videos or ipc
        check_ipc(train, count, "videos" if self.videos else "ipc")
        indices = torch.cat([order[:count] for order in random_order(train, seed)])
        facts = {"distill_seconds": 0.0, "videos": [train.name(int(i)) for i in indices]}
        return FullSet(train.subset(indices), self.card(train, ipc, seed, **facts))
