"""DC, dataset condensation by gradient matching (Zhao et al., ICLR 2021), on clips and, as Static-DC, on single frames."""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, SerializeAsAny
from torch import Tensor, nn

from vddlib.core import seeding
from vddlib.core.errors import VddError
from vddlib.core.measure import stage
from vddlib.distillers.distilled import DistilledSet
from vddlib.distillers.matching.objective import Draw, Objective, Options
from vddlib.distillers.matching.optimised import Optimised
from vddlib.distillers.matching.real_clips import RealClips
from vddlib.distillers.stored.contract import Storage
from vddlib.distillers.stored.pixels import StillImages, Stills
from vddlib.training.networks import Network


def gradient_distance(real: list[Tensor], synthetic: list[Tensor]) -> Tensor:
    r"""Layer-wise cosine distance of gradients, the sum of :math:`1 - A_{li} \cdot B_{li} / (\|A_{li}\| \|B_{li}\|)`.

    `i` runs over the output channels of layer `l`, whose weights are flattened; biases (one-dimensional) are left out, as
    in the paper (section 3.2). As in its public code, 1e-6 is added to the product of norms.
    """
    total = synthetic[0].new_zeros(())
    for a, b in zip(real, synthetic, strict=True):
        if a.ndim > 1:
            a, b = a.flatten(1), b.flatten(1)
            total = total + (1 - (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1) + 1e-6)).sum()
    return total


class DCOptions(Options):
    """Hyper-parameters of gradient matching."""

    batch_real: int = Field(64, ge=1, description="real clips per class and iteration")
    outer: int = Field(1, ge=1, description="iterations that share one network")
    inner: int = Field(1, ge=1, description="passes of that network over the distilled clips between iterations")
    lr_network: float = Field(0.01, gt=0, description="learning rate of the network in those")
    still: bool = Field(False, description="match single random frames of real clips, with an image network")


class GradientMatching(Objective):
    """The gradient that the distilled clips of a class give a network should align with that of real clips.

    A new random network every `outer` iterations; between them it takes `inner` steps on the distilled clips. Each class
    is matched by itself (second-order gradients of one class at a time in memory), then all are updated.
    """

    seed_name: ClassVar[str] = "GradientMatching"
    Options = DCOptions
    options: DCOptions

    def setup(self) -> None:
        """Real clips (or single frames), class by class; the first network is drawn by the first iteration."""
        o = self.options
        self.real = RealClips(self.train, o.batch_real, self.seed, self.device, classes_at_once=1, still=o.still)
        self.model: nn.Module | None = None

    def step(self, draw: Draw, iteration: int) -> dict[str, Tensor]:
        """The loss, summed over classes, and its gradients in what was drawn; the network keeps none."""
        if iteration % self.options.outer == 0 or self.model is None:
            self.model = self.begin(iteration)
        total = torch.zeros((), device=self.device)
        for label in range(len(self.train.classes)):
            clips, labels = self.real(iteration, label)
            with stage("real"):
                wanted = [g.detach() for g in self.gradients(clips, labels)]
            with stage("synthetic"):
                mine = torch.nonzero(self.labels == label).flatten()
                drawn = draw(mine)
                leaf = drawn.detach().requires_grad_()
                got = self.gradients(leaf, self.labels[mine], create_graph=True)
                loss = gradient_distance(wanted, got)
                drawn.backward(torch.autograd.grad(loss, leaf)[0])
                total += loss.detach()
        return {"loss": total}

    def gradients(self, clips: Tensor, labels: Tensor, create_graph: bool = False) -> list[Tensor]:
        """Gradient of the cross-entropy with respect to every weight."""
        loss = F.cross_entropy(self.model(clips), labels)
        return list(torch.autograd.grad(loss, list(self.model.parameters()), create_graph=create_graph))

    def begin(self, iteration: int) -> nn.Module:
        """A random network, without dropout: its noise is not what is to be matched."""
        model = self.fresh(iteration - iteration % self.options.outer)
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.eval()
        self.updates = torch.optim.SGD(model.parameters(), self.options.lr_network, momentum=0.5)
        return model

    def after(self, draw: Draw, iteration: int) -> None:
        """`inner` steps of the network on the distilled clips, unless a new network comes next."""
        if (iteration + 1) % self.options.outer == 0:
            return
        with torch.no_grad():
            clips = draw(self.everything)
        for turn in range(self.options.inner):
            order = torch.randperm(len(clips), generator=seeding.generator("inner", self.seed, iteration, turn))
            for batch in order.to(self.device).split(256):
                self.updates.zero_grad(set_to_none=True)
                F.cross_entropy(self.model(clips[batch]), self.labels[batch]).backward()
                self.updates.step()
        self.updates.zero_grad(set_to_none=True)
        self.normalised(self.model, "after", iteration)  # its weights are others now

    def state_dict(self) -> dict[str, Any]:
        """The network on its way, where more than one iteration shares it."""
        if self.options.outer == 1 or self.model is None:
            return {}
        return {"model": self.model.state_dict(), "updates": self.updates.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with that network."""
        if state:
            self.model = self.begin(0)
            self.model.load_state_dict(state["model"])
            self.updates.load_state_dict(state["updates"])


class DC(Optimised, DCOptions):
    """Gradient matching on whole clips. IPC 1 and 5: `outer` 1; IPC 10: `outer` 10, `inner` 50 (public code)."""

    name: ClassVar[str] = "dc"
    fitted_to = GradientMatching

    iterations: int = Field(1000, ge=1, description="updates of the distilled clips")
    lr_pixels: float = Field(0.1, gt=0, description="learning rate of the clips")


class StaticDC(DC):
    """DC on single frames with an image network, each then repeated along time: videos in which nothing moves.

    The images are also VDSD's static memory (see `static_memory`).
    """

    name: ClassVar[str] = "static_dc"
    only_stores = StillImages

    still: bool = Field(True, description="match single random frames of real clips, with an image network")
    stored: SerializeAsAny[Storage] = Field(StillImages(), description="one image per clip")
    network: Network = Field(Network(name="convnet"), description="architecture that the frames are fitted with")


def static_memory(distilled: DistilledSet) -> Tensor:
    """VDSD's static memory, ``float32 [C, ipc, 3, H, W]``: the images of a Static-DC set (saved and loaded as any set).

    Raises VddError for a set that does not hold still images.
    """
    if not isinstance(distilled.content, Stills):
        raise VddError(f"a static memory holds still images (static_dc), not what {distilled.card['method']} stores")
    images = distilled.content.clips.detach()[:, :, 0]
    return images.unflatten(0, (len(distilled.classes), -1))
