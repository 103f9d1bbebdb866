"""Noise, and the way back: the schedule of training, and sampling with classifier-free guidance."""

from typing import Literal

import torch
from torch import Tensor

from vddlib.distillers.latte.transformer import LatteTransformer

TIMES = 1000  # steps from a clip to noise
Prediction = Literal["epsilon", "sample", "v_prediction"]


def schedule(sampler: Literal["ddpm", "ddim"] = "ddpm", prediction: Prediction = "epsilon"):
    """Latte's, a diffusers scheduler: the variance of added noise rises linearly from 1e-4 to 0.02 in 1000 steps."""
    from diffusers import DDIMScheduler, DDPMScheduler

    options = {"num_train_timesteps": TIMES, "beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"}
    # Latents are not bounded, so nothing is clipped; 'trailing' begins at the last step, where all is noise.
    options |= {"clip_sample": False, "timestep_spacing": "trailing", "prediction_type": prediction}
    return DDIMScheduler(**options) if sampler == "ddim" else DDPMScheduler(**options)


def wanted(noise_schedule, prediction: Prediction, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
    """What the network is to tell: the noise (Latte), the clip without it, or the velocity (Salimans & Ho, 2022)."""
    if prediction == "epsilon":
        return noise
    return clean if prediction == "sample" else noise_schedule.get_velocity(clean, noise, times)


def guided(model: LatteTransformer, x: Tensor, time: int, labels: Tensor, guidance: float) -> Tensor:
    """Classifier-free guidance (Ho & Salimans, 2021): ``e(x) + g (e(x | y) - e(x))``, like x; 1 is the conditional network.

    Noise, clip and velocity are linear in each other given x, so that guiding one guides the others.
    """
    times = torch.full((len(x),), time, device=x.device)
    given = model(x, times, labels)
    if guidance == 1:
        return given
    free = model(x, times, torch.full_like(labels, model.classes))
    return free + guidance * (given - free)


@torch.no_grad()
def sample(
    model: LatteTransformer,
    labels: Tensor,
    shape: tuple[int, ...],
    generators: list[torch.Generator],
    *,
    steps: int,
    guidance: float = 1.0,
    sampler: Literal["ddpm", "ddim"] = "ddim",
    prediction: Prediction = "epsilon",
) -> Tensor:
    """Latents ``float32 [n, *shape]`` of the classes ``labels int64 [n]``.

    Every video has a generator of its own (on the CPU), so that what is drawn for it does not depend on its neighbours. The
    variance of ancestral steps is the posterior's (Ho et al., 2020), not the one that published networks also predict.
    """
    device, noise = labels.device, schedule(sampler, prediction)
    noise.set_timesteps(steps)
    x = torch.stack([torch.randn(shape, generator=g) for g in generators]).to(device)
    for time in noise.timesteps.tolist():
        guess = guided(model, x, time, labels, guidance)
        x = noise.step(guess, time, x, generator=generators).prev_sample  # a generator per video
    return x.cpu()
