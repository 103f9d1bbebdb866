"""TSGF, temporal saliency-guided distillation: recover clips from a teacher's BN statistics, under a temporal mask."""

import time
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from vddlib.core import seeding
from vddlib.core.errors import VddError
from vddlib.core.measure import stage
from vddlib.datasets.clips import Clips
from vddlib.distillers.base import check_ipc, part_of
from vddlib.distillers.distilled import DistilledSet
from vddlib.distillers.labels import relabel
from vddlib.distillers.matching.objective import BatchNorm, Draw, Objective, Options
from vddlib.distillers.matching.optimised import Optimised
from vddlib.distillers.matching.optimising import History
from vddlib.distillers.stored.pixels import FreePixels, Pixels
from vddlib.training import saliency
from vddlib.training.augmentations import flip, random_resized_crop
from vddlib.training.fit import Recipe, pick_device
from vddlib.training.networks import Network, TrainedNetwork, train_teacher
from vddlib.training.saliency import Window


def statistics_loss(inputs: Tensor, layer: nn.Module) -> Tensor:
    """One layer's term of eq. 5: L2 distance of the inputs' channel means and variances from the running ones.

    inputs: ``[N, channels, ...]``, what the BatchNorm `layer` received.
    """
    over = [0, *range(2, inputs.ndim)]
    mean, variance = inputs.mean(over), inputs.var(over, unbiased=False)
    return (mean - layer.running_mean).norm() + (variance - layer.running_var).norm()


class RecoveryOptions(Options):
    """Hyper-parameters of recovery under a mask."""

    r_bn: float = Field(0.001, ge=0, description="weight of the BN statistics (TSGF, table 11)")
    first_bn: float = Field(10.0, ge=0, description="weight of the first BN layer among them (SRe2L; 1 is eq. 5)")
    crop: float = Field(
        0.08, gt=0, le=1, description="least share of the area that a random resized crop keeps; 1: none"
    )
    mask: Literal["magnitude", "signed", "none"] = Field(
        "magnitude", description="magnitude: eq. 8; signed: 'both' in table 9; none: without TSGF_O"
    )
    mask_on: Literal["gradient", "update"] = Field(
        "gradient",
        description="what the mask multiplies: the gradient (the paper's words, which Adam mostly undoes, since it divides "
        "by the gradient's size), or the update that Adam makes of it; the same for SGD without momentum",
    )
    epsilon: float = Field(0.5, description="upper bound of saliency, as a share of the clip's own range")
    window: Window = Field("linear", description="smoothing window of eq. 7")
    length: int = Field(3, ge=1, description="its length in frames")
    part: int = Field(0, ge=0, description="which batch is recovered")


class StatisticsMatching(Objective):
    r"""Eq. 4 and 5: :math:`L = L_{ce} + r_{bn} \sum_l \|\mu_l - RM_l\|_2 + \|\sigma_l^2 - RV_l\|_2`, under the mask of eq. 8.

    The first layer's term may weigh more (`first_bn`: 10 in SRe2L's code, 1 in eq. 5). The teacher sees a random resized
    crop and flip of each clip, the same for all its frames (SRe2L's recipe), through which the gradient flows back; per
    frame it is then multiplied by the mask of the clip as it is now. A frame that becomes a key frame on the way still
    moves for a few updates, by Adam's momentum; with the mask on the update it does not.
    """

    seed_name: ClassVar[str] = "StatisticsMatching"
    Options = RecoveryOptions
    options: RecoveryOptions

    def setup(self, *, teacher: nn.Module) -> None:
        """The teacher, to whose BatchNorm layers hooks listen."""
        self.teacher = teacher.to(self.device).eval().requires_grad_(False)
        self.layers = [m for m in teacher.modules() if isinstance(m, BatchNorm)]
        if not self.layers:
            raise VddError("tsgf aligns BatchNorm statistics, and its teacher has no BatchNorm; take minic3d_bn")
        self.terms: list[Tensor] = []
        for layer in self.layers:
            layer.register_forward_pre_hook(lambda layer, inputs: self.terms.append(statistics_loss(inputs[0], layer)))

    def step(self, draw: Draw, iteration: int) -> dict[str, Tensor]:
        """The loss and its parts, and its masked gradient in what was drawn."""
        o = self.options
        stream = seeding.generator("recovery", self.seed, o.part, iteration)
        with stage("synthetic"):
            drawn = draw(self.everything)
            leaf = drawn.detach().requires_grad_()
            view, _ = (
                random_resized_crop(leaf, self.labels, stream, scale=(o.crop, 1.0)) if o.crop < 1 else (leaf, None)
            )
            if self.train.mirrors:
                view, _ = flip(view, self.labels, stream)
            self.terms.clear()
            ce = F.cross_entropy(self.teacher(view), self.labels)
            weights = [o.first_bn, *[1.0] * (len(self.terms) - 1)]
            bn = sum(weight * term for weight, term in zip(weights, self.terms, strict=True))
            loss = ce + o.r_bn * bn
            gradient = torch.autograd.grad(loss, leaf)[0]
            self.factor = self.mask(drawn.detach())[:, None, :, None, None]
            drawn.backward(gradient * self.factor if o.mask_on == "gradient" else gradient)
        parts = {"loss": loss, "cross_entropy": ce, "bn_statistics": bn}
        return {name: value.detach() for name, value in parts.items()}

    def mask(self, clips: Tensor) -> Tensor:
        """Eq. 8 for every frame, ``float32 [N, T]``; ones where the mask is off."""
        o = self.options
        if o.mask == "none":
            return clips.new_ones(len(clips), clips.shape[2])
        scores = saliency.saliency(clips, o.window, o.length)
        return saliency.mask(scores, saliency.threshold(scores, o.epsilon), signed=o.mask == "signed")


class Recovery(Optimised, RecoveryOptions):
    """One batch of TSGF's clips. Batches do not depend on each other, so they can be recovered anywhere, in any order."""

    name: ClassVar[str] = "tsgf"
    fitted_to = StatisticsMatching
    only_stores = FreePixels  # the range of values and the mask on updates are of pixels
    code: ClassVar[tuple[str, ...]] = ("vddlib.training.saliency",)

    iterations: int = Field(1000, ge=1, description="updates of the clips")
    lr_pixels: float = Field(0.25, gt=0, description="learning rate of the clips (TSGF, table 11)")
    optimizer: Literal["sgd", "adam"] = Field("adam", description="what updates the clips (SRe2L)")
    betas: tuple[float, float] = Field((0.5, 0.9), description="of Adam (SRe2L)")
    schedule: Literal["constant", "cosine"] = Field("cosine", description="of the rate (SRe2L)")
    final_lr_share: float = Field(0.0, ge=0, le=1, description="share of the rate that 'cosine' ends at")
    network: Network = Field(Network(name="minic3d_bn"), description="architecture of the teacher")
    teacher_recipe: Recipe = Field(Recipe(), description="how the teacher is trained on the train split")
    teacher_seed: int = Field(0, ge=0, description="the teacher's seed; one teacher serves all sets")
    classes_at_once: int = Field(
        100, ge=1, description="most classes recovered together: the batch whose statistics are matched"
    )

    def parts(self, train: Clips, ipc: int) -> int:
        """Number of batches: a group of classes, one clip of each, `ipc` times."""
        return -(-len(train.classes) // self.classes_at_once) * ipc

    def indices(self, train: Clips, ipc: int) -> Tensor:
        """The clips of this batch; all batches hold as many classes, give or take one."""
        group, nth = divmod(self.part, ipc)
        return torch.arange(len(train.classes)).tensor_split(self.parts(train, 1))[group] * ipc + nth

    def constrain(self, content: Pixels, train: Clips) -> None:
        """Values stay those of pixels between black and white."""
        shape = (1, 3, 1, 1, 1)
        low, high = (-content.mean / content.std).view(shape), ((1 - content.mean) / content.std).view(shape)
        with torch.no_grad():
            content.clips.copy_(torch.maximum(torch.minimum(content.clips, high), low))

    def updates(self, content: Pixels, objective: Objective) -> torch.optim.Optimizer:
        """As every method's; where the mask is on the update, that is scaled, frame by frame."""
        optimizer = super().updates(content, objective)
        if self.mask_on == "update":
            before = torch.empty_like(content.clips)

            def keep(*_) -> None:
                before.copy_(content.clips.detach())

            def scale(*_) -> None:
                with torch.no_grad():
                    content.clips.copy_(torch.lerp(before, content.clips, objective.factor.expand_as(before)))

            optimizer.register_step_pre_hook(keep)
            optimizer.register_step_post_hook(scale)
        return optimizer

    def teacher(self, train: Clips, another: int = 0) -> TrainedNetwork:
        """The teacher, trained on `train` by the one fit loop, or out of the cache; `another` counts those of later seeds."""
        device = pick_device(self.device)
        return train_teacher(train, self.network, self.teacher_recipe, seed=self.teacher_seed + another, device=device)

    def objective(self, train: Clips, labels: Tensor, seed: int, device: torch.device) -> Objective:
        """Cross-entropy and BN statistics."""
        teacher = self.teacher(train).model
        return StatisticsMatching(train, labels, self.network, seed, device, self.options(), teacher=teacher)


class TSGF(Recovery):
    """Recovered clips with the teacher's soft labels, for protocol D.

    Table 11 gives the rate and `r_bn`; what the paper leaves out is SRe2L's, or chosen on training data (notebook 11).
    """

    name: ClassVar[str] = "tsgf"

    temperature: float = Field(20.0, gt=0, description="of the soft labels")

    def distill(self, train: Clips, ipc: int, seed: int = 0) -> DistilledSet:
        """Recover every batch that is not in the cache, join them, label them. Raises VddError as `Optimised` does."""
        return self.join(train, ipc, seed, self.recover(train, ipc, seed))

    def recover(self, train: Clips, ipc: int, seed: int = 0, shard: tuple[int, int] = (0, 1)) -> list[Path]:
        """Folders of the batches of a shard, (which, of how many): shards may run on different machines of one cache."""
        check_ipc(train, ipc)
        parts = part_of(range(self.parts(train, ipc)), shard, self.method)
        return [self.batch(part).folder(train, ipc, seed) for part in parts]

    def batch(self, part: int) -> Recovery:
        """The distiller of one batch."""
        fields = {name: getattr(self, name) for name in Recovery.model_fields}
        return Recovery(**{**fields, "part": part})

    def join(self, train: Clips, ipc: int, seed: int, folders: list[Path]) -> DistilledSet:
        """One set of all batches, in the order of classes, labelled by the teacher."""
        begun = time.monotonic()
        parts = [DistilledSet.load(folder) for folder in folders]
        order = torch.cat([self.batch(part).indices(train, ipc) for part in range(len(parts))])
        clips = torch.cat([part.content.clips.detach() for part in parts])[order.argsort()]
        teacher, labels = self.teacher(train), torch.arange(len(train.classes)).repeat_interleave(ipc)
        recovery = sum(part.card["distill_seconds"] for part in parts)
        costs: dict[str, Any] = {
            "distill_seconds": recovery + time.monotonic() - begun,
            "peak_memory_mb": max(part.card["peak_memory_mb"] for part in parts),
            "moved": sum(part.card["moved"] * len(part) for part in parts) / sum(map(len, parts)),
        }
        made = DistilledSet(
            Pixels(clips, train.mean, train.std), labels, train.classes, self.card(train, ipc, seed, **costs)
        )
        return relabel(made, teacher, self.temperature)

    def folder(self, train: Clips, ipc: int, seed: int = 0) -> Path:
        """Refused: a set is joined from the artifacts of its batches, `recover`'s."""
        raise VddError("tsgf has an artifact per batch: ask `recover` for their folders")

    def history(self, train: Clips, ipc: int, seed: int = 0, part: int = 0) -> History:
        """Losses and snapshots of one batch."""
        return self.batch(part).history(train, ipc, seed)
