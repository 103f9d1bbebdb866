"""Networks of others: the real MoViNet on real videos where both are here, and VideoMAE from folders that are made here."""

import json
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.conftest import in_process, real_folder
from vddlib import distillers
from vddlib.core.errors import VddError
from vddlib.core.files import file_sha256
from vddlib.datasets import video
from vddlib.distillers import Herding, OptDistill
from vddlib.distillers.optdistill import stages
from vddlib.distillers.optdistill.pipeline import Pipeline
from vddlib.distillers.selection import embedders, movinet, videomae
from vddlib.distillers.selection.movinet import MoViNet
from vddlib.distillers.selection.videomae import VideoMAE

FRAMES = np.random.default_rng(0).integers(0, 256, (2, 8, 32, 32, 3), dtype=np.uint8)


# --- MoViNet --------------------------------------------------------------------------------------------------------------


def test_movinet_knows_what_it_sees(movinet_weights):
    """Real videos of UCF101: most of their likeliest classes of Kinetics-600 name what happens in them."""
    root = real_folder("miniucf10") / "miniucf10"
    labels = (movinet_weights / "label_map_k600.txt").read_text().splitlines()
    network, right = MoViNet(), {}
    words = {"JumpingJack": "jumping jacks", "PlayingPiano": "piano", "PlayingViolin": "violin", "Surfing": "surf"}
    for name, word in words.items():
        path = sorted(path for path in root.rglob(f"*{name}*") if path.suffix in (".avi", ".mp4"))[0]
        logits = network([video.decode(path, np.arange(video.probe(path).frames))])
        assert logits.shape == (1, 600)
        right[name] = any(word in labels[k] for k in logits[0].topk(3).indices)
    assert sum(right.values()) >= 3, right


def test_movinet_streams(movinet_weights):
    """The state is handed on: frames count, their order counts, and each clip begins anew."""
    network = MoViNet()
    embeddings, logits = network.see(FRAMES)
    assert embeddings.shape == (2, 480) and logits.shape == (2, 600)
    assert torch.equal(network.see(FRAMES[1:])[0][0], embeddings[1])
    assert not torch.equal(network.see(FRAMES[:, :4])[0], embeddings)
    assert not torch.equal(network.see(FRAMES[:, ::-1])[0], embeddings)
    # An embedding is a mean over frames, and no frame sees a later one: eight less seven is the last one, of a ReLU.
    last = 8 * embeddings - 7 * network.see(FRAMES[:, :7])[0]
    assert last.min() > -1e-3 and last.max() > 0.1


def test_movinet_is_named_by_its_weights(movinet_weights):
    about = MoViNet().about
    assert about["sha256"] == file_sha256(movinet_weights / movinet.WEIGHTS) and about["embedder"] == "movinet_a0"


def test_a_pool_is_embedded_once(tiny, movinet_weights, monkeypatch):
    train, _ = tiny
    part, looks, see = train.only(["Red", "Blue"]), [], MoViNet.see
    monkeypatch.setattr(MoViNet, "see", lambda self, clips: looks.append(len(clips)) or see(self, clips))
    for method in ("herding", "csta", "mae_score"):
        made = distillers.build(method, embedder="kinetics").distill(part, 1, seed=0)
        assert made.card["embedder"]["sha256"][:12] in made.card["scorer"] and made.card["distill_seconds"] > 0
    assert sum(looks) == 12
    Herding(embedder="kinetics").distill(part, 1, seed=1)  # other clips of the same videos
    assert sum(looks) == 24
    expected = MoViNet().see(part.frames(torch.arange(12), epoch=0, seed=0))[0]
    torch.testing.assert_close(Herding(embedder="kinetics").embeddings(part, 0)[0], expected)


def test_optdistill_scores_by_movinet(tiny, movinet_weights, monkeypatch):
    monkeypatch.setattr(stages, "run_each", in_process)  # a worker takes seconds to start
    train, _ = tiny
    settings = {"detector": "motion", "fallback": "centre", "boxes": 1, "side": 1, "workers": 1, "lost": "hold"}
    method = OptDistill(scorer="kinetics", segments="frames", **settings)
    pipeline = Pipeline(method, train, 0)
    assert isinstance(pipeline.scorer(), MoViNet) and pipeline.scorer()(list(FRAMES)).shape == (2, 600)
    made = method.distill(train.only(["Red", "Blue"]), 1)
    assert made.card["scorer"] == "confidence by movinet_a0"
    with pytest.raises(VddError, match="'loss' needs the dataset's own classes"):
        Pipeline(method.model_copy(update={"score": "loss"}), train, 0).check_scorer()


def test_optdistill_asks_for_movinet_before_it_begins(tiny, monkeypatch, tmp_path):
    monkeypatch.setenv("VDD_WEIGHTS", str(tmp_path))
    with pytest.raises(VddError, match=r"there is no movinet_a0_stream_int8_k600\.tflite"):
        Pipeline(OptDistill(scorer="kinetics"), tiny[0], 0).check_scorer()


def test_what_is_no_movinet_is_named(tmp_path, monkeypatch):
    pytest.importorskip("ai_edge_litert")
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"not a network")
    with pytest.raises(VddError, match=r"broken\.tflite is no TensorFlow Lite network"):
        MoViNet(str(broken))
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    other = tmp_path / "other.tflite"
    other.write_bytes(b"another")
    with pytest.raises(VddError, match="MoViNet needs ai-edge-litert; install the extra 'embedders'"):
        MoViNet(str(other))


# --- VideoMAE -------------------------------------------------------------------------------------------------------------


def config(**changes):
    from transformers import VideoMAEConfig

    sizes = {
        "image_size": 32, "patch_size": 16, "num_frames": 4, "hidden_size": 24, "num_hidden_layers": 2,
        "num_attention_heads": 2, "intermediate_size": 40, "num_labels": 7, "use_mean_pooling": True,
    }  # fmt: skip
    return VideoMAEConfig(**sizes | changes)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A VideoMAE as transformers stores it, of random weights, in $VDD_WEIGHTS."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    model = transformers.VideoMAEForVideoClassification(config()).eval()
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.3)
    model.save_pretrained(tmp_path / "tiny-videomae")
    monkeypatch.setenv("VDD_WEIGHTS", str(tmp_path))
    return tmp_path / "tiny-videomae", model


def pixels(clips, frames, side, mean=(0, 0, 0), std=(1, 1, 1)):
    """``[N, frames, 3, side, side]`` for clips that have this side already, by the definitions."""
    chosen = clips[:, [int((k + 0.5) * clips.shape[1] / frames) for k in range(frames)]] / 255.0
    chosen = (chosen - np.array(mean)) / np.array(std)
    assert clips.shape[2] == side
    return torch.from_numpy(chosen).permute(0, 1, 4, 2, 3).float()


def test_videomae_is_the_network_of_transformers(folder):
    place, model = folder
    ours = VideoMAE("someone/tiny-videomae")  # the folder of this name in $VDD_WEIGHTS
    embeddings, logits = ours.see(FRAMES)
    x = pixels(FRAMES, 4, 32)
    with torch.no_grad():
        torch.testing.assert_close(logits, model(x).logits)
        expected = model.fc_norm(model.videomae(x).last_hidden_state.mean(1))
    torch.testing.assert_close(embeddings, expected)
    assert embeddings.shape == (2, 24) and ours.about["weights"] == "tiny-videomae"
    # As many clips as come, at most so many at a time.
    assert VideoMAE(str(place)).see(np.repeat(FRAMES, 9, 0))[0].shape == (18, 24)


def test_videomae_standardises_as_its_folder_says(folder):
    place, model = folder
    said = {"do_normalize": True, "image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.4]}
    (place / "preprocessor_config.json").write_text(json.dumps(said))
    videomae._opened.cache_clear()
    with torch.no_grad():
        expected = model(pixels(FRAMES, 4, 32, said["image_mean"], said["image_std"])).logits
    torch.testing.assert_close(VideoMAE(str(place)).see(FRAMES)[1], expected, rtol=1e-4, atol=1e-4)


def as_published(model, place, head=True):
    """The same network in the layout of VideoMAE V2's folders: other names, one matrix for query, key and value."""
    state, found = model.state_dict(), {}

    def copy(ours, theirs):
        for kind in ("weight", "bias"):
            found[f"model.{theirs}.{kind}"] = state[f"{ours}.{kind}"].contiguous().clone()

    copy("videomae.embeddings.patch_embeddings.projection", "patch_embed.proj")
    copy("fc_norm", "fc_norm")
    if head:
        copy("classifier", "head")
    for i in range(model.config.num_hidden_layers):
        ours, theirs = f"videomae.encoder.layer.{i}", f"blocks.{i}"
        copy(f"{ours}.layernorm_before", f"{theirs}.norm1")
        copy(f"{ours}.layernorm_after", f"{theirs}.norm2")
        copy(f"{ours}.attention.output.dense", f"{theirs}.attn.proj")
        copy(f"{ours}.intermediate.dense", f"{theirs}.mlp.fc1")
        copy(f"{ours}.output.dense", f"{theirs}.mlp.fc2")
        inside = f"{ours}.attention.attention"
        parts = [state[f"{inside}.{part}.weight"] for part in ("query", "key", "value")]
        found[f"model.{theirs}.attn.qkv.weight"] = torch.cat(parts)
        for part, short in (("query", "q_bias"), ("value", "v_bias")):
            name = f"{inside}.{part}.bias" if f"{inside}.{part}.bias" in state else f"{inside}.{short}"
            found[f"model.{theirs}.attn.{short}"] = state[name].clone()
    place.mkdir()
    save_file(found, place / "model.safetensors")
    sizes = {
        "img_size": 32, "patch_size": 16, "embed_dim": 24, "depth": 2, "num_heads": 2, "mlp_ratio": 40 / 24,
        "qkv_bias": True, "use_mean_pooling": True, "tubelet_size": 2, "num_frames": 4, "layer_norm_eps": 1e-12,
    }  # fmt: skip
    said = {"model_type": "VideoMAEv2_Base", "auto_map": {"AutoModel": "evil.Model"}, "model_config": sizes}
    (place / "config.json").write_text(json.dumps(said))
    (place / "evil.py").write_text("raise SystemExit('code of a folder of weights was run')")
    (place / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.5] * 3}))


def test_videomae_v2_is_read_as_it_is_published(folder, tmp_path):
    """Its own names of layers, pixels in [0, 1], and none of the code that lies beside the weights."""
    place, model = folder
    as_published(model, tmp_path / "v2")
    torch.testing.assert_close(VideoMAE(str(tmp_path / "v2")).see(FRAMES), VideoMAE(str(place)).see(FRAMES))
    as_published(model, tmp_path / "headless", head=False)
    embeddings, logits = VideoMAE(str(tmp_path / "headless")).see(FRAMES)
    assert logits is None
    torch.testing.assert_close(embeddings, VideoMAE(str(place)).see(FRAMES)[0])


def test_selectors_by_videomae(tiny, folder, tmp_path):
    train, _ = tiny
    place, model = folder
    made = distillers.build("tac_dt", embedder="videomae", embedder_weights=str(place)).distill(train, 2)
    assert made.card["embedder"]["embedder"] == "videomae" and len(set(made.card["videos"])) == 6
    as_published(model, tmp_path / "headless", head=False)
    with pytest.raises(VddError, match="mae_score: headless has no classifier"):
        distillers.build("mae_score", embedder="videomae", embedder_weights=str(tmp_path / "headless")).distill(
            train, 1
        )


def test_what_is_no_videomae_is_named(tmp_path, monkeypatch, folder):
    place, _ = folder
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(VddError, match=r"bert holds no VideoMAE that can be read .*model_type is 'bert'"):
        VideoMAE(str(tmp_path / "bert"))
    state = load_file(place / "model.safetensors")
    (tmp_path / "v2").mkdir()
    (tmp_path / "v2" / "config.json").write_text(json.dumps({"model_config": {}}))
    save_file(state, tmp_path / "v2" / "model.safetensors")
    with pytest.raises(VddError, match="v2 holds no VideoMAE that can be read"):
        VideoMAE(str(tmp_path / "v2"))
    import huggingface_hub

    def refuse(*a, **k):
        raise OSError("no route to host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(VddError, match=r"VideoMAE 'OpenGVLab/VideoMAEv2-giant' cannot be had .*no route to host"):
        embedders.pretrained("videomae")
