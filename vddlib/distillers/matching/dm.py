"""DM, distribution matching (Zhao & Bilen, WACV 2023): mean embeddings of random networks, class by class."""

from collections.abc import Iterator
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from vddlib.core.measure import stage
from vddlib.distillers.matching.objective import Draw, Objective, Options, class_means
from vddlib.distillers.matching.optimised import Optimised
from vddlib.distillers.matching.real_clips import RealClips


class DMOptions(Options):
    """Hyper-parameters of distribution matching."""

    batch_real: int = Field(64, ge=1, description="real clips per class and iteration")
    clips_at_once: int = Field(512, ge=1, description="clips in one forward pass, a bound on memory")
    looked_at_once: int = Field(
        0, ge=0, exclude=True, description="real clips embedded together; 0: 4 on a CPU, clips_at_once on a GPU"
    )


class DistributionMatching(Objective):
    r"""Eq. 4 of the paper (without its augmentation), over a fresh random network :math:`\psi` each iteration:

    .. math:: \sum_c \Big\| \frac1{|T_c|} \sum_{x \in T_c} \psi(x) - \frac1{|S_c|} \sum_{s \in S_c} \psi(s) \Big\|^2

    All classes pass in one forward; beyond `clips_at_once` clips, in as few as memory allows, with the same gradients.
    """

    seed_name: ClassVar[str] = "DistributionMatching"
    Options = DMOptions
    options: DMOptions

    def setup(self) -> None:
        """Real clips, in chunks of classes that fit into one forward pass."""
        o, self.classes = self.options, len(self.train.classes)
        at_once = max(1, o.clips_at_once // o.batch_real)
        self.real = RealClips(self.train, o.batch_real, self.seed, self.device, classes_at_once=at_once)

    def step(self, draw: Draw, iteration: int) -> dict[str, Tensor]:
        """The loss and, in what was drawn, its gradients; the network gets none."""
        network = self.fresh(iteration).requires_grad_(False)
        wanted = self.real_means(network, iteration)
        total = torch.zeros((), device=self.device)
        at_once = max(1, self.options.clips_at_once * self.classes // len(self.labels))
        for first in range(0, self.classes, at_once):
            chunk = torch.nonzero((self.labels >= first) & (self.labels < first + at_once)).flatten()
            with stage("synthetic"):
                embeddings = network.embed(draw(chunk))
                got = class_means(embeddings, self.labels[chunk], self.classes)[first : first + at_once]
                loss = (wanted[first : first + at_once] - got).square().sum()
                loss.backward()
                total += loss.detach()
        return {"loss": total}

    @property
    def looked_at_once(self) -> int:
        """On a CPU few clips at a time take MiniC3D and ConvNet no longer and a fraction of the memory; embeddings have the
        same bits. Those of other networks may depend on what passes with them."""
        same = self.device.type == "cpu" and self.network.name in ("minic3d", "minic3d_bn", "convnet")
        few = 4 if same else self.options.clips_at_once
        return self.options.looked_at_once or few

    @torch.no_grad()
    def real_means(self, network: torch.nn.Module, iteration: int) -> Tensor:
        """Mean embedding of this iteration's real clips of every class, ``float32 [C, D]``."""
        parts = self.real_embeddings(network, iteration)
        return torch.cat([class_means(found, labels - classes.start, len(classes)) for found, labels, classes in parts])

    def real_embeddings(self, network: torch.nn.Module, iteration: int) -> Iterator[tuple[Tensor, Tensor, range]]:
        """Of this iteration's real clips, chunk by chunk: embeddings ``[n, D]``, labels ``int64 [n]``, and their classes."""
        for number, classes in enumerate(self.real.chunks):
            clips, labels = self.real(iteration, number)
            with stage("real"):
                embeddings = torch.cat([network.embed(part) for part in clips.split(self.looked_at_once)])
            yield embeddings, labels, classes


class DM(Optimised, DMOptions):
    """Clips whose mean embedding is that of the class, whatever the network.

    Defaults are VDSD's: 5000 iterations, 64 real clips per class, SGD with momentum 0.5, rate 30 (MiniUCF, IPC 1).
    """

    name: ClassVar[str] = "dm"
    fitted_to = DistributionMatching

    lr_pixels: float = Field(30.0, gt=0, description="learning rate of the clips")
