"""MTT, matching training trajectories (Cazenavette et al., CVPR 2022)."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call

from vddlib.core import seeding
from vddlib.core.errors import VddError
from vddlib.core.measure import SavedBytes, stage
from vddlib.datasets.clips import Clips
from vddlib.distillers.matching.experts import Experts, Trajectories, trajectories
from vddlib.distillers.matching.objective import Draw, Objective, Options
from vddlib.distillers.matching.optimised import Optimised
from vddlib.training.fit import pick_device


class MTTOptions(Options):
    """Hyper-parameters of trajectory matching."""

    max_start_epoch: int = Field(10, ge=1, description="students start where an expert was before this epoch")
    expert_epochs: int = Field(1, ge=1, description="epochs of the expert that the student must reproduce")
    syn_steps: int = Field(10, ge=1, description="steps of the student")
    batch_syn: int = Field(256, ge=1, description="distilled clips per step")
    lr_student: float = Field(0.01, gt=0, description="the student's learning rate at the beginning; it is learned")
    lr_lr: float = Field(1e-5, ge=0, description="learning rate of that learning rate")
    graph_gb: float = Field(
        4.0, ge=0, exclude=True, description="memory for graphs of student steps; others are made twice"
    )


@dataclass
class StudentStep:
    """One step of the student with its graph: the ``gradient [P]`` as a function of ``weights [P]`` and ``clips``, which
    are leaves of their own; `drawn` are the same clips as the content gave them."""

    drawn: Tensor
    clips: Tensor
    weights: Tensor
    gradient: Tensor


class ClipGradients:
    """Gradients in the clips of several student steps, given back to the content.

    Content without chance draws the same clips at every step: their gradients are summed and go back once. Random content
    gets the gradient of every step's own draw.
    """

    def __init__(self, draw: Draw):
        self.draw, self.total = draw, None

    def add(self, batch: Tensor, drawn: Tensor, gradient: Tensor, factor: float) -> None:
        """Take `factor` times the ``gradient [n, 3, T, H, W]`` in what was ``drawn`` for ``batch int64 [n]``."""
        if self.draw.random:
            drawn.backward(factor * gradient)
            return
        if self.total is None:
            self.total = gradient.new_zeros(len(self.draw.content), *gradient.shape[1:])
        self.total.index_add_(0, batch, gradient, alpha=factor)

    def backward(self, everything: Tensor) -> None:
        """Send what was summed back to the content, whose clips are ``everything int64 [N]``."""
        if self.total is not None:
            self.draw(everything).backward(self.total)


class TrajectoryMatching(Objective):
    r"""A student that starts where an expert was after `t` epochs and takes `syn_steps` steps on the distilled clips is to
    arrive where the expert was `expert_epochs` epochs later (eq. 2 of the paper):

    .. math:: \frac{\| \hat\theta_{t+N} - \theta^*_{t+M} \|^2}{\| \theta^*_t - \theta^*_{t+M} \|^2}

    The gradient goes back through the unrolled steps one at a time. The last steps keep their graphs, as many as fit in
    `graph_gb`; the earlier ones are computed again from their kept weights, which takes longer and gives the same bits. With
    0, memory holds the graph of one step and `syn_steps` copies of the weights, however many steps there are. The
    student's learning rate is learned too.
    """

    seed_name: ClassVar[str] = "TrajectoryMatching"
    Options = MTTOptions
    options: MTTOptions

    def setup(self, *, experts: Trajectories) -> None:
        """The student's learning rate, the network whose weights are unrolled, and the experts' trajectories."""
        self.experts = experts
        self.student_lr = nn.Parameter(torch.tensor(self.options.lr_student, device=self.device))
        self.model = self.fresh("shape").train()
        self.used: dict[int, int] = {}
        self.kept: dict[int, StudentStep] = {}
        self.graph_bytes: int | None = None  # of one step, once it is known

    def step(self, draw: Draw, iteration: int) -> dict[str, Tensor]:
        """The loss, and its gradients in what was drawn and in the student's learning rate.

        With it go the lengths of both ways, the student's and the expert's: a loss near 1 may be a student that hardly
        moves or one that moves elsewhere.
        """
        with stage("data"):
            expert, epoch = self.choice(iteration)
            start = self.experts.weights(expert, epoch).to(self.device)
            target = self.experts.weights(expert, epoch + self.options.expert_epochs).to(self.device)
        self.used[expert] = self.used.get(expert, 0) + 1
        with stage("synthetic"):
            path = self.walk(start, draw, iteration)
            loss, self.student_lr.grad = self.back(path, target, draw, iteration)
        ways = {"student_path": (path[-1] - start).norm().detach(), "expert_path": (target - start).norm()}
        return {"loss": loss, "student_lr": self.student_lr.detach().clone(), **ways}

    def choice(self, iteration: int) -> tuple[int, int]:
        """(expert, start epoch) of an iteration. Experts take turns in an order shuffled anew each round."""
        count = len(self.experts)
        turn, place = divmod(iteration, count)
        order = torch.randperm(count, generator=seeding.generator("experts", self.seed, turn))
        start = torch.randint(
            self.options.max_start_epoch, (), generator=seeding.generator("start", self.seed, iteration)
        )
        return int(order[place]), int(start)

    def batches(self, iteration: int) -> list[Tensor]:
        """Distilled clips of every student step: passes over all of them, `batch_syn` at a time, shuffled."""
        count = len(self.labels)
        passes = math.ceil(self.options.syn_steps * min(self.options.batch_syn, count) / count) + 1
        streams = (seeding.generator("student", self.seed, iteration, turn) for turn in range(passes))
        parts = [part for s in streams for part in torch.randperm(count, generator=s).split(self.options.batch_syn)]
        return [part.to(self.device) for part in parts[: self.options.syn_steps]]

    def unroll(self, start: Tensor, target: Tensor, draw: Draw, iteration: int) -> tuple[Tensor, Tensor]:
        """(loss, its gradient in the learning rate), from weights ``start [P]``; gradients in the clips are left there."""
        return self.back(self.walk(start, draw, iteration), target, draw, iteration)

    def walk(self, start: Tensor, draw: Draw, iteration: int) -> list[Tensor]:
        """Weights ``[P]`` before the first student step and after each: theta_{i+1} = theta_i - rate * g_i.

        Every step has a draw of its own, the same here and in `back`.
        """
        rate, path, batches = self.student_lr.detach(), [start.detach()], self.batches(iteration)
        self.kept.clear()
        for step, batch in enumerate(batches):
            if self.keeps(left := len(batches) - step):
                taken = self.take(path[-1], batch, draw, iteration, step)
                gradient = taken.gradient.detach()
                if self.keeps(left):  # the very first one's size is known only now
                    self.kept[step] = taken
            else:
                with torch.no_grad():
                    clips = draw(batch, step)
                gradient = self.gradient(path[-1].detach().requires_grad_(), clips, batch, iteration, step)
            path.append(path[-1] - rate * gradient)
        return path

    def keeps(self, left: int) -> bool:
        """Whether a step keeps its graph, when ``left`` steps with it are to come: these have to fit."""
        return self.options.graph_gb > 0 and left * (self.graph_bytes or 0) <= self.options.graph_gb * 1e9

    def take(self, weights: Tensor, batch: Tensor, draw: Draw, iteration: int, step: int) -> StudentStep:
        """A student's step from ``weights [P]`` on the clips ``batch int64 [n]``, with its graph."""
        # Leaves of their own: the path is still read when the steps back are done.
        with SavedBytes() as saved:
            drawn = draw(batch, step)
            weights, clips = weights.detach().requires_grad_(), drawn.detach().requires_grad_()
            gradient = self.gradient(weights, clips, batch, iteration, step, create_graph=True)
        self.graph_bytes = max(self.graph_bytes or 0, saved.bytes)
        return StudentStep(drawn, clips, weights, gradient)

    def back(self, path: list[Tensor], target: Tensor, draw: Draw, iteration: int) -> tuple[Tensor, Tensor]:
        """(loss, its gradient in the learning rate) of a walked path; gradients in the clips are left there.

        With a_i the loss's gradient in theta_i: a_i = a_{i+1} - rate * (dg_i/dtheta_i)' a_{i+1}, and likewise for the
        clips; the rate gets -g_i' a_{i+1}.
        """
        rate = self.student_lr.detach()
        scale = (path[0] - target).square().sum()
        loss = (path[-1] - target).square().sum() / scale
        adjoint = 2 * (path[-1] - target) / scale
        in_clips, in_rate = ClipGradients(draw), torch.zeros_like(rate)
        for step, batch in reversed(list(enumerate(self.batches(iteration)))):
            taken = self.kept.pop(step, None) or self.take(path[step], batch, draw, iteration, step)
            in_rate -= (taken.gradient.detach() * adjoint).sum()
            back, in_batch = torch.autograd.grad(taken.gradient, (taken.weights, taken.clips), adjoint)
            in_clips.add(batch, taken.drawn, in_batch, -float(rate))
            adjoint = adjoint - rate * back
        in_clips.backward(self.everything)
        return loss, in_rate

    def gradient(
        self, weights: Tensor, clips: Tensor, batch: Tensor, iteration: int, step: int, create_graph: bool = False
    ) -> Tensor:
        """``float32 [P]``: the cross-entropy's gradient in the flat weights; dropout is the step's own, both times."""
        with seeding.forked("unroll", self.seed, iteration, step, device=self.device):
            logits = functional_call(self.model, self.named(weights), (clips,))
        loss = F.cross_entropy(logits, self.labels[batch])
        return torch.autograd.grad(loss, weights, create_graph=create_graph)[0]

    def named(self, weights: Tensor) -> dict[str, Tensor]:
        """The flat weights by parameter name, in the memory format of the network's own."""
        parameters = dict(self.model.named_parameters())
        parts = weights.split([p.numel() for p in parameters.values()])
        shaped = {name: part.view(p.shape) for (name, p), part in zip(parameters.items(), parts, strict=True)}
        last = torch.channels_last_3d
        return {name: w.contiguous(memory_format=last) if w.ndim == 5 else w for name, w in shaped.items()}

    def after(self, draw: Draw, iteration: int) -> None:
        """The learning rate stays at or above 0.001, as in the public code."""
        with torch.no_grad():
            self.student_lr.clamp_(min=0.001)

    def groups(self) -> list[dict[str, Any]]:
        """The student's learning rate is learned."""
        return [{"params": [self.student_lr], "lr": self.options.lr_lr}]

    def state_dict(self) -> dict[str, Any]:
        """The learning rate, and how often each expert was used."""
        return {"student_lr": self.student_lr.detach(), "used": self.used}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with them."""
        self.student_lr.data.copy_(state["student_lr"])
        self.used = dict(state["used"])

    def facts(self) -> dict[str, Any]:
        """The learned learning rate, the experts' size in bytes, how often each was used."""
        used = [self.used.get(expert, 0) for expert in range(len(self.experts))]
        size, seconds = self.experts.bytes, self.experts.seconds
        return {
            "student_lr": self.student_lr.item(), "bytes_experts": size, "experts_seconds": seconds, "experts_used": used,
        }  # fmt: skip


class MTT(Optimised, MTTOptions):
    """Clips that train a student along the way of experts trained on all real clips.

    Defaults are VDSD's: 30 experts, 8000 iterations of 10 student steps, SGD with momentum 0.5, rate 1e5.
    """

    name: ClassVar[str] = "mtt"
    fitted_to = TrajectoryMatching
    code: ClassVar[tuple[str, ...]] = ("vddlib.distillers.matching.experts",)

    iterations: int = Field(8000, ge=1, description="updates of the distilled clips")
    lr_pixels: float = Field(1e5, gt=0, description="learning rate of the clips")
    experts: Experts = Field(default_factory=Experts, description="how the experts are made")
    expert_workers: int = Field(0, ge=0, exclude=True, description="experts trained at once; 0: as many as fit")

    def objective(self, train: Clips, labels: Tensor, seed: int, device: torch.device) -> Objective:
        """Trajectory matching, with experts out of the cache or trained now."""
        paths = self.trajectories(train, device)
        objective = TrajectoryMatching(train, labels, self.network, seed, device, self.options(), experts=paths)
        objective.prepared = paths.seconds
        return objective

    def trajectories(
        self, train: Clips, device: torch.device | None = None, share: tuple[int, int] = (0, 1)
    ) -> Trajectories:
        """The experts' trajectories, on the distiller's own device; those of a `share` (which, of how many) are trained first,
        so that several jobs of one cache begin with different ones. Raises VddError for a network with running statistics."""
        if list(self.network.build(train.classes, train.geometry, 0).buffers()):
            raise VddError(f"mtt: {self.network} keeps running statistics besides weights; take one without BatchNorm")
        epochs = self.max_start_epoch - 1 + self.expert_epochs
        place, workers = device or pick_device(self.device), self.expert_workers
        options = {"device": place, "workers": workers, "share": share}
        return trajectories(train, self.network, self.experts, epochs, **options)
