"""Latte's network (arXiv:2401.03048, section 3.2, variant 1): spatial and temporal transformer blocks in turn."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vddlib.core.errors import VddError

# Depth, width, heads (table 2 there); patches are 2 x 2 latents.
SIZES = {"S/2": (12, 384, 6), "B/2": (12, 768, 12), "L/2": (24, 1024, 16), "XL/2": (28, 1152, 16)}
FREQUENCIES = 256  # of the sinusoids that tell the time step
MLP_RATIO = 4


class LatteTransformer(nn.Module):
    """Predicts the noise in latents of videos, given the time step and the class.

    Every frame is cut into patches (uniform frame patch embedding), a token each. Blocks come in pairs: the first attends
    among the tokens of one frame, the second among those of one place at all times. Time step and class enter every
    block as shift, scale and gate (adaLN-Zero), so that an untrained network predicts zero.

    Raises VddError where patches do not tile the latents, heads do not divide the width, or blocks are not pairs.
    """

    def __init__(
        self,
        classes: int,
        channels: int,
        frames: int,
        side: int,
        *,
        depth: int = 28,
        width: int = 1152,
        heads: int = 16,
        patch: int = 2,
    ):
        super().__init__()
        if side % patch or width % (2 * heads) or depth % 2:
            raise VddError(
                f"latte: patches of {patch} have to tile latents of side {side}, {heads} heads to divide a width of {width} "
                f"into even parts, and blocks come in pairs, not {depth}"
            )
        self.classes, self.channels, self.patch, self.side = classes, channels, patch, side
        self.embed = nn.Conv2d(channels, width, patch, patch)
        self.time = nn.Sequential(nn.Linear(FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))
        self.label = nn.Embedding(classes + 1, width)  # the last one is no class, for classifier-free guidance
        places = sinusoids_2d(width, side // patch)
        self.register_buffer("places", places[None])  # [1, tokens, width]
        self.register_buffer("moments", sinusoids(width, torch.arange(frames))[None])  # [1, frames, width]
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.head = Head(width, patch * patch * channels)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.xavier_uniform_(self.embed.weight.flatten(1))  # as a linear layer on patches
        nn.init.zeros_(self.embed.bias)
        for layer in (self.label, self.time[0], self.time[2]):
            nn.init.normal_(layer.weight, std=0.02)
        for modulation in [block.modulation for block in self.blocks] + [self.head.modulation, self.head.linear]:
            nn.init.zeros_(modulation.weight)  # adaLN-Zero: every block begins as the identity
            nn.init.zeros_(modulation.bias)

    def forward(self, latents: Tensor, times: Tensor, labels: Tensor) -> Tensor:
        """Noise ``float32 [N, T, C, h, w]`` in ``latents [N, T, C, h, w]`` at ``times int64 [N]``, given ``labels int64 [N]``,
        where `classes` stands for none."""
        n, t = latents.shape[:2]
        x = self.embed(latents.flatten(0, 1)).flatten(2).transpose(1, 2) + self.places  # [N T, tokens, width]
        x = x.unflatten(0, (n, t))
        condition = self.time(sinusoids(FREQUENCIES, times)) + self.label(labels)  # [N, width]
        for number, block in enumerate(self.blocks):
            if number == 1:
                x = x + self.moments[:, :t, None]
            x = block.within_frames(x, condition) if number % 2 == 0 else block.along_time(x, condition)
        return self._unpatched(self.head(x, condition))

    def _unpatched(self, x: Tensor) -> Tensor:
        """``[N, T, C, h, w]`` of tokens ``[N, T, tokens, patch * patch * C]``."""
        grid, p = self.side // self.patch, self.patch
        x = x.unflatten(2, (grid, grid)).unflatten(4, (p, p, self.channels))  # [N, T, i, j, p, q, C]
        return x.permute(0, 1, 6, 2, 4, 3, 5).flatten(5, 6).flatten(3, 4)


class Block(nn.Module):
    """A transformer block under shift, scale and gate (Peebles & Xie, ICCV 2023)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.norm_mlp = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.qkv, self.projection = nn.Linear(width, 3 * width), nn.Linear(width, width)
        hidden = MLP_RATIO * width
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU("tanh"), nn.Linear(hidden, width))
        self.modulation = nn.Linear(width, 6 * width)

    def within_frames(self, x: Tensor, condition: Tensor) -> Tensor:
        """Tokens ``[N, T, tokens, width]`` see those of their own frame."""
        return self(x, condition)

    def along_time(self, x: Tensor, condition: Tensor) -> Tensor:
        """Tokens ``[N, T, tokens, width]`` see those of their own place."""
        return self(x.transpose(1, 2), condition).transpose(1, 2)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """``[N, B, L, width]``: attention among the L; ``condition [N, width]``."""
        changes = self.modulation(F.silu(condition))[:, None, None].chunk(6, dim=-1)
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = changes
        x = x + gate_a * self._attention(self.norm_attention(x) * (1 + scale_a) + shift_a)
        return x + gate_m * self.mlp(self.norm_mlp(x) * (1 + scale_m) + shift_m)

    def _attention(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).movedim(-3, 0).transpose(-3, -2)  # [N, B, heads, L, d]
        seen = F.scaled_dot_product_attention(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1))
        return self.projection(seen.unflatten(0, x.shape[:2]).transpose(-3, -2).flatten(-2))


class Head(nn.Module):
    """The last layer: from tokens to patches of noise."""

    def __init__(self, width: int, values: int):
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.linear = nn.Linear(width, values)
        self.modulation = nn.Linear(width, 2 * width)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """``[N, T, tokens, values]`` of ``x [N, T, tokens, width]`` and ``condition [N, width]``."""
        shift, scale = self.modulation(F.silu(condition))[:, None, None].chunk(2, dim=-1)
        return self.linear(self.norm(x) * (1 + scale) + shift)


def sinusoids(width: int, positions: Tensor) -> Tensor:
    """``float32 [n, width]``: cosines and sines of ``positions [n]`` at frequencies from 1 down to 1 / 10000."""
    half = width // 2
    frequencies = torch.exp(-math.log(10000) * torch.arange(half, device=positions.device) / half)
    angles = positions[:, None].float() * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def sinusoids_2d(width: int, grid: int) -> Tensor:
    """``float32 [grid * grid, width]``: half of the width tells the column of a token, half its row."""
    row, column = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
    return torch.cat([sinusoids(width // 2, column.flatten()), sinusoids(width // 2, row.flatten())], dim=1)
