"""Autoencoders: real weights on real frames, the trained one, what is refused, and the latents that are kept."""

import numpy as np
import pytest
import torch

from tests.conftest import real_folder
from vddlib.core.errors import VddError
from vddlib.datasets import video
from vddlib.datasets.geometry import geometry
from vddlib.distillers.latte import autoencoder, pick_codec
from vddlib.distillers.latte.latents import training_latents


def psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2))


def test_averages_and_their_way_back(tiny):
    train, _ = tiny
    codec, frames = pick_codec("pixels", train), train.frames([0, 7])
    latents = codec.encode(frames)
    assert latents.shape == (2, 8, 3, 16, 16)
    red = frames[1, 2, 2:4, 4:6, 0].mean() / 255  # row 1, column 2
    assert latents[1, 2, 0, 1, 2].item() == pytest.approx((red - train.mean[0].item()) / train.std[0].item(), abs=1e-4)
    again = codec.encode(codec.decode(latents))
    assert ((again - latents).abs().amax((0, 1, 3, 4)) < 1 / 255 / train.std).all()  # a grey level


def test_the_tiny_autoencoder_shows_what_was_there(real_weights, tiny):
    train = tiny[0].subset([0, 7, 14])
    codec = pick_codec("auto", train)
    assert codec.about["autoencoder"] == "tiny" and len(codec.about["sha256"]) == 64
    paths = sorted((real_folder("ucf10") / "ucf10" / "UCF-101").glob("*/*g01_c01*"))[:3]
    square = geometry(4, 64, 8).square
    frames = np.stack([square(video.decode(path, np.array([0, 8, 16, 24]))) for path in paths])
    latents = codec.encode(frames)
    assert latents.shape == (3, 4, 32, 8, 8)
    assert psnr(codec.decode(latents), frames) > 23  # at 320 x 240 it has 30 to 40
    own = codec.encode(train.frames(range(3), epoch=None)).movedim(2, 0).flatten(1)
    assert own.mean(1).abs().max() < 1e-3 and (own.std(1) - 1).abs().max() < 1e-3


def test_another_file_is_not_taken_for_an_autoencoder(tiny, tmp_path, monkeypatch):
    train, _ = tiny
    with pytest.raises(VddError, match="taef2_encoder"):
        monkeypatch.setenv("VDD_WEIGHTS", str(tmp_path))
        pick_codec("tiny", train)
    for name in autoencoder.TINY:
        torch.save({"0.weight": torch.zeros(3, 3)}, tmp_path / name)
    with pytest.raises(VddError, match="not of TAESD's kind"):
        pick_codec("tiny", train)


def test_without_weights_one_is_trained_once(tiny, monkeypatch, tmp_path):
    train, _ = tiny
    monkeypatch.setenv("VDD_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(autoencoder, "TRAINED_STEPS", 3)
    monkeypatch.setattr(autoencoder, "TRAINED_BATCH", 4)
    codec = pick_codec("auto", train, device="cpu")
    assert codec.about["autoencoder"] == "trained"
    frames = train.frames([0, 1])
    assert codec.decode(codec.encode(frames)).shape == frames.shape
    monkeypatch.setattr(autoencoder, "_fit", None)  # a second time it is there
    assert torch.equal(pick_codec("trained", train, device="cpu").encode(frames), codec.encode(frames))


def test_training_it_brings_frames_back(tiny, monkeypatch):
    train, _ = tiny
    monkeypatch.setattr(autoencoder, "TRAINED_BATCH", 4)
    found = []
    for steps in (1, 30):
        monkeypatch.setattr(autoencoder, "TRAINED_STEPS", steps)
        codec, frames = pick_codec("trained", train, device="cpu"), train.frames(range(4))
        found.append(psnr(codec.decode(codec.encode(frames)), frames))
    assert found[1] > found[0] + 2


def test_stable_diffusion_s_from_a_folder(tiny, tmp_path, monkeypatch):
    """The real loading path, over a small network of the same kind."""
    from diffusers import AutoencoderKL

    train, _ = tiny
    kinds = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    model = AutoencoderKL(**kinds, block_out_channels=(8,) * 4, norm_num_groups=4, latent_channels=4)
    model.save_pretrained(tmp_path / "sd-vae-ft-ema")
    monkeypatch.setenv("VDD_WEIGHTS", str(tmp_path))
    codec = pick_codec("auto", train, device="cpu")
    assert codec.about["autoencoder"] == "sd"
    frames = train.frames([0])
    latents = codec.encode(frames)
    with torch.no_grad():
        x = torch.from_numpy(frames[0]).movedim(-1, 1) / 127.5 - 1
        expected = 0.18215 * model.eval().encode(x).latent_dist.mode()
    torch.testing.assert_close(latents[0], expected, rtol=1e-3, atol=1e-4)


def test_a_hub_that_cannot_be_reached_is_named(tiny, tmp_path, monkeypatch):
    from diffusers import AutoencoderKL

    def unreachable(*_args, **_options):
        raise OSError("no route to host")

    monkeypatch.setenv("VDD_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(AutoencoderKL, "from_pretrained", unreachable)
    with pytest.raises(VddError, match="sd-vae-ft-ema"):
        pick_codec("sd", tiny[0], device="cpu")


def test_latents_of_several_clips_of_each_video_and_an_interruption(tiny, monkeypatch):
    train, _ = tiny
    codec = pick_codec("pixels", train)
    monkeypatch.setattr("vddlib.distillers.latte.latents.AT_ONCE", 4)
    encode, calls = codec.encode, []

    def fails_once(frames):
        calls.append(len(frames))
        if len(calls) == 6:
            raise KeyboardInterrupt
        return encode(frames)

    monkeypatch.setattr(codec, "encode", fails_once)
    with pytest.raises(KeyboardInterrupt):
        training_latents(train, codec, 2)
    found = training_latents(train, codec, 2)
    assert found.values.shape == (18, 2, 8, 3, 16, 16)
    assert len(calls) == 6 + 2 * 3  # three of five parts were left, of two draws each
    for draw in (0, 1):
        expected = encode(train.frames([3, 17], epoch=draw, flip=True))
        got = found.batch(torch.tensor([3, 17]), torch.tensor([draw, draw]))
        torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-3)
    assert found.labels.tolist() == train.labels.tolist()
