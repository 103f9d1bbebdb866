"""Real containers, exactness, and everything that can be wrong with a file."""

import numpy as np
import pytest

from tests.conftest import moving_square
from vddlib.core.errors import BrokenVideo, VddError
from vddlib.datasets import video


def write(path, frames, codec, options=None):
    import av

    with av.open(str(path), "w") as container:
        track = container.add_stream(codec, rate=25, options=options or {})
        track.height, track.width, track.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        for frame in frames:
            for packet in track.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")):
                container.mux(packet)
        for packet in track.encode():
            container.mux(packet)
    return path


def test_what_is_encoded_is_decoded(tmp_path):
    frames = moving_square(1, 0, 30)
    path = video.encode(tmp_path / "a.mp4", frames, quality=5)
    assert video.probe(path) == video.Probe(30, 25.0, 64, 48)
    back = np.stack(list(video.stream(path)))
    assert back.shape == frames.shape
    assert np.abs(back.astype(int) - frames).mean() < 6  # 4:2:0 and CRF 5


@pytest.mark.parametrize("size", [(16, 16), (32, 32), (34, 50), (112, 112), (160, 120)])
def test_the_same_frames_give_the_same_bytes(size):
    """Again and again, whatever lay in memory before (x264's lookahead broke this once)."""
    frames, junk, seen = moving_square(0, 1, 8, max(size[0], 18), max(size[1], 18)), [], set()
    for k in range(25):
        junk.append(np.random.default_rng(k).random(100_000 + 999 * k))
        if k % 3 == 0:
            junk.clear()
        seen.add(video.encode_bytes(frames.copy()))
    assert len(seen) == 1


def test_odd_sides_are_padded(tmp_path):
    path = video.encode(tmp_path / "a.mp4", moving_square(0, 0, 24, 33, 31))
    assert (video.probe(path).width, video.probe(path).height) == (34, 32)


def test_frames_come_in_the_order_asked_for(tmp_path):
    path = video.encode(tmp_path / "a.mp4", moving_square(1, 0, 30))
    reference = np.stack(list(video.stream(path)))
    wanted = [7, 3, 3, 29, 0]
    assert np.array_equal(video.decode(path, wanted), reference[wanted])


@pytest.mark.parametrize(("codec", "name"), [("mpeg4", "a.avi"), ("libx264", "a.mp4"), ("libx264", "a.avi")])
def test_decoding_is_right_even_where_seeking_is_not(tmp_path, codec, name):
    """H.264 in AVI is the trap: the verdict may be 'inexact', but decode() without seeking never is wrong."""
    import av

    path = write(tmp_path / name, moving_square(2, 0, 60), codec, {"bf": "2"} if codec == "libx264" else None)
    with av.open(str(path)) as container:
        reference = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
    ours = video.decode(path, [41, 5, 58])
    assert np.abs(ours.astype(int) - reference[[41, 5, 58]]).mean() < 3
    assert video.seek_is_exact(path) == ((codec, name) != ("libx264", "a.avi"))


def test_a_wrong_seek_is_noticed(tmp_path, monkeypatch):
    path = video.encode(tmp_path / "a.mp4", moving_square(1, 0, 30))
    assert video.seek_is_exact(path)
    opened = video._open(path)

    class Off:
        """A reader whose random access is one frame late, as decord's is on H.264 in AVI."""

        def __len__(self):
            return len(opened)

        def __getitem__(self, i):
            return opened[min(i + 1, len(opened) - 1)]

    real, calls = video._open, []

    def first_is_off(p):
        calls.append(p)
        return Off() if len(calls) == 1 else real(p)

    monkeypatch.setattr(video, "_open", first_is_off)
    assert not video.seek_is_exact(path)


def test_real_xvid_and_mp4_are_decoded_as_pyav_decodes_them(real_avi, real_data):
    import av

    for folder, pattern in ((real_avi, "*/*.avi"), (real_data / "ucf10" / "UCF-101", "PullUps/*g0[12]_c01.mp4")):
        for path in sorted(folder.glob(pattern))[:3]:
            with av.open(str(path)) as container:
                reference = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
            ours = np.stack(list(video.stream(path)))
            assert ours.shape == reference.shape
            assert np.abs(ours.astype(int) - reference).max() <= 3  # two builds of ffmpeg round colours differently
            assert np.array_equal(video.decode(path, [20, 3, len(ours) - 1]), ours[[20, 3, -1]])
            assert video.seek_is_exact(path)


def test_bad_files_are_named_in_one_line(tmp_path):
    good = video.encode(tmp_path / "good.mp4", moving_square(0, 0))
    avi = write(tmp_path / "good.avi", moving_square(0, 0, 60), "mpeg4")
    cases = {"empty.mp4": b"", "text.mp4": b"I am no video\n" * 99, "cut.mp4": good.read_bytes()[:-600],
             "cut.avi": avi.read_bytes()[: avi.stat().st_size // 2]}  # fmt: skip
    for name, data in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BrokenVideo, match=name) as error:
            video.probe(tmp_path / name)
        assert "\n" not in str(error.value)
    with pytest.raises(BrokenVideo, match="no such video"):
        video.probe(tmp_path / "absent.mp4")


def test_a_frame_beyond_the_end_is_refused(tmp_path):
    path = video.encode(tmp_path / "a.mp4", moving_square(0, 0, 24))
    with pytest.raises(BrokenVideo, match="has 24 frames, frame 30 was asked for"):
        video.decode(path, [1, 30])
    with pytest.raises(BrokenVideo, match="was asked for"):
        video.decode(path, [-1, 3])


def test_only_pictures_are_encoded():
    with pytest.raises(VddError, match="uint8"):
        video.encode_bytes(np.zeros((2, 8, 8, 3), np.float32))


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(VddError, match="disk is full"):
        video.encode(tmp_path / "a.mp4", moving_square(0, 0))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fps", [0.4, 12.5, 30000 / 1001])
def test_frames_per_second_are_kept(tmp_path, fps):
    path = video.encode(tmp_path / "v.mp4", np.zeros((6, 16, 16, 3), np.uint8), fps)
    assert video.probe(path).fps == pytest.approx(fps, rel=1e-4)


@pytest.mark.parametrize("width", [16, 24, 32, 40, 48, 64, 100])
def test_narrow_frames_have_three_channels(tmp_path, width):
    """decord gave frames 48 pixels wide four channels, and 16 wide six."""
    ramp = np.linspace(0, 255, width).astype(np.uint8)
    frames = np.stack(
        [np.broadcast_to(ramp, (16, width)), np.broadcast_to(ramp[::-1], (16, width)), np.full((16, width), 90)], -1
    )
    frames = np.stack([np.roll(frames, t, axis=1) for t in range(5)]).astype(np.uint8)
    data = video.encode_bytes(frames, 8, 1)
    (tmp_path / "v.mp4").write_bytes(data)
    for decoded in (video.decode_bytes(data), np.stack(list(video.stream(tmp_path / "v.mp4")))):
        assert decoded.shape == frames.shape
        assert np.abs(decoded.astype(int) - frames).mean() < 12  # 4:2:0 halves the colours' resolution
    assert video.seek_is_exact(tmp_path / "v.mp4")
