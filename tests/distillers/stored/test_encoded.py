"""Clips stored as files: what is drawn of them, what they cost, and streams without what no decoder needs."""

import time

import cv2
import numpy as np
import pytest
import torch

from tests.conftest import moving_square
from vddlib.core.errors import BrokenVideo, VddError
from vddlib.datasets import video
from vddlib.datasets.video import decode_bytes, encode_bytes, probe, stream_bytes
from vddlib.distillers import DistilledSet, EncodedClips
from vddlib.distillers.stored.contract import encoded
from vddlib.distillers.stored.encoded import scaled
from vddlib.distillers.stored.sei import without_sei

MEAN, STD = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.3, 0.2])
G = torch.Generator()


def real(side=32, count=4):
    """``uint8 [count, 6, side, side, 3]``."""
    return np.stack([scaled(moving_square(label, 0, 6, 32, 32), side) for label in range(count)])


def content(side=32, size=32, quality=23):
    return EncodedClips(encoded(real(side), quality), 6, side, size, MEAN, STD)


def units(data):
    """Types of the NAL units in the first packet of an MP4 of H.264, read by hand."""
    import io

    import av

    with av.open(io.BytesIO(data)) as container:
        packet, place, found = bytes(next(container.demux(video=0))), 0, []
    while place < len(packet):
        found.append(packet[place + 4] & 31)
        place += 4 + int.from_bytes(packet[place : place + 4], "big")
    return found


@pytest.mark.parametrize("fps", [8, 25])
def test_streams_lose_the_encoder_s_notes_and_nothing_else(fps, tmp_path):
    data = encode_bytes(real()[0], fps, 23)
    bare = without_sei(data)
    assert units(data) == [6, 5] and units(bare) == [5]
    assert 500 < stream_bytes(data) - stream_bytes(bare) < 700
    assert np.array_equal(decode_bytes(bare), decode_bytes(data))
    assert without_sei(data) == bare and stream_bytes(without_sei(bare)) == stream_bytes(bare)
    (tmp_path / "bare.mp4").write_bytes(bare)
    assert (probe(tmp_path / "bare.mp4").frames, probe(tmp_path / "bare.mp4").fps) == (6, fps)


def test_clips_are_what_their_files_decode_to():
    stored = content()
    frames = np.stack([decode_bytes(data) for data in encoded(real())])
    assert np.array_equal(stored.pixels(G), frames)
    drawn = stored(torch.tensor([3, 1]), G)
    wanted = (torch.from_numpy(frames[[3, 1]]).float() / 255 - MEAN) / STD
    assert torch.allclose(drawn, wanted.permute(0, 4, 1, 2, 3), atol=1e-6)


def test_smaller_files_are_scaled_back_when_drawn():
    stored = content(side=16, size=32)
    small = decode_bytes(stored.file(2))
    assert small.shape == (6, 16, 16, 3) and stored.pixels(G).shape == (4, 6, 32, 32, 3)
    assert np.array_equal(stored.pixels(G)[2, 5], cv2.resize(small[5], (32, 32), interpolation=cv2.INTER_CUBIC))


def test_bytes_are_those_of_the_files():
    stored = content(side=16, size=32)
    sizes, files = stored.sizes(), encoded(real(16))
    assert stored.files() == files
    assert (sizes.uint8, sizes.float32) == (4 * 6 * 16 * 16 * 3, 4 * 4 * 6 * 16 * 16 * 3)
    assert sizes.stream == sum(map(stream_bytes, files)) and sizes.stream + sizes.container == sum(map(len, files))
    assert content(quality=45).sizes().stream < content().sizes().stream


def test_saved_and_loaded_is_the_same(tmp_path):
    made = DistilledSet(content(16, 32), torch.tensor([0, 0, 1, 1]), ("a", "b"), {"method": "random_encoded"})
    back = DistilledSet.load(made.save(tmp_path / "set"))
    assert type(back.content) is EncodedClips and back.state() == made.state()
    assert torch.equal(back.draw()[0], made.draw()[0]) and back.bytes_stream == made.bytes_stream


def test_files_that_are_not_as_their_set_says_are_refused():
    with pytest.raises(BrokenVideo, match=r"stored video 0 is \[6, 32, 32, 3\], not \[6, 16, 16, 3\]"):
        EncodedClips(encoded(real()), 6, 16, 32, MEAN, STD).pixels(G)
    state = content().state()
    with pytest.raises(VddError, match=r"4 files of \d+ bytes cannot end at"):
        EncodedClips.from_state(state | {"ends": state["ends"].flip(0)})
    with pytest.raises(VddError, match="frames are 1 to 8192, side and size 1 to 2048"):
        EncodedClips.from_state(state | {"size": torch.tensor(9000)})


def _hang(data):
    time.sleep(600)


def test_a_stored_video_that_hangs_its_decoder_is_refused(monkeypatch):
    """A hostile set must not take the process that looks at it along; fuzzing found mosaics that decord never ends."""
    with monkeypatch.context() as patch:
        patch.setattr(video, "decode_bytes", _hang)
        with pytest.raises(BrokenVideo, match=r"a stored video of 3 bytes .*it did not end within 2 seconds"):
            video.decode_stored(b"abc", limit=2)
    assert len(video.decode_stored(video.encode_bytes(moving_square(0, 0, 8)))) == 8
