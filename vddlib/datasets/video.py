"""All reading and writing of videos: probe, decode, encode, and check whether seeking is exact.

decord reads. It seeks to wrong frames in H.264-in-AVI files, and sometimes near the end of others, so frames are always
decoded in order; `seek_is_exact` only reports. PyAV writes. Frames are ``uint8 [T, H, W, 3]`` RGB everywhere.
"""

import errno
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vddlib.core import files, parallel
from vddlib.core.errors import BrokenVideo, VddError, first_line
from vddlib.core.scratch import private_folder

EXTENSIONS = (".mp4", ".avi", ".webm", ".mkv", ".mov")
# What the number of frames in a header is held against. Even a frame in which nothing changes takes some bits, and a few
# bytes of the container around it: a byte is less than any real one takes. No camera's file plays 1000 frames a second, but
# the duration of a few frames may be rounded to nothing.
LEAST_BYTES, HIGHEST_RATE, FEW_FRAMES = 1, 1000, 10_000


@dataclass(frozen=True)
class Probe:
    """Facts about a video file: number of frames, frames per second, width and height in pixels."""

    frames: int
    fps: float
    width: int
    height: int


@lru_cache(maxsize=1)
def _decord():
    import decord  # late: it loads FFmpeg, which most commands do not need

    decord.logging.set_level(decord.logging.QUIET)
    return decord


def _open(path: Path):
    path = Path(path)
    if not path.is_file():
        raise BrokenVideo(f"{path}: no such video")
    if path.stat().st_size == 0:
        raise BrokenVideo(f"{path}: the file is empty; copy or download it again")
    _header_of_file(path)
    decord = _decord()
    try:
        # One thread: videos are read by parallel processes already.
        reader = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
        frames = len(reader)
    except Exception as error:
        raise BrokenVideo(f"{path}: not a readable video ({first_line(error, end=True)})") from None
    if frames == 0:
        raise BrokenVideo(f"{path}: holds no frame")
    return reader


def _rgb(frame) -> np.ndarray:
    """A decoded frame as ``uint8 [H, W, 3]``.

    decord pads rows, and where the padded row is a multiple of the width (8, 16, 24 and 48 pixels) it takes the padding for
    more channels: a frame 48 wide comes as ``[H, 48, 4]``. The pixels stand at the beginning of each row.
    """
    pixels = frame.asnumpy()
    height, width, channels = pixels.shape
    return pixels if channels == 3 else pixels.reshape(height, -1)[:, : 3 * width].reshape(height, width, 3)


def probe(path: Path) -> Probe:
    """Frames, fps and size of one video. Raises BrokenVideo (one line) where it cannot be read."""
    reader = _open(path)
    announced = _header_of_file(path).frames
    if len(reader) < 0.9 * announced:  # some slack: a header may be off by a few frames
        raise BrokenVideo(f"{path}: truncated: {len(reader)} of the {announced} frames it announces; copy it again")
    try:
        height, width = reader[0].shape[:2]
        return Probe(len(reader), float(reader.get_avg_fps()), width, height)
    except Exception as error:
        raise BrokenVideo(f"{path}: its first frame cannot be decoded ({first_line(error, end=True)})") from None


class Header(NamedTuple):
    """What a container says: its format, the codec, the number of frames (0: it does not say)."""

    format: str
    codec: str
    frames: int


def _header(source: Path | bytes, name: object) -> Header:
    """The header of a file or of its bytes, with a number of frames that can be true.

    decord makes room for as many frames as the header announces, and takes the process down where that is too much. So a
    number that cannot be true is refused before decord sees the file. Raises BrokenVideo, which calls the video `name`.
    """
    import av

    try:
        with av.open(io.BytesIO(source) if isinstance(source, bytes) else str(source)) as container:
            track, size = container.streams.video[0], container.size
            seconds = (container.duration or 0) / av.time_base
            header = Header(container.format.name, track.codec_context.name, track.frames)
            # Where nothing is announced, decord reckons with duration and rate.
            frames = track.frames or seconds * float(track.average_rate or 0)
    except Exception as error:
        why = (
            "it holds no video"
            if isinstance(error, IndexError)
            else getattr(error, "strerror", None) or first_line(error)
        )
        raise BrokenVideo(f"{name}: not a readable video ({why})") from None
    if frames > size / LEAST_BYTES:
        raise BrokenVideo(f"{name}: broken: its header announces {frames:.0f} frames in {size} bytes; copy it again")
    if frames > max(FEW_FRAMES, HIGHEST_RATE * seconds) and seconds > 0:
        raise BrokenVideo(f"{name}: broken: its header announces {frames:.0f} frames in {seconds:g} s; copy it again")
    return header


def _header_of_file(path: Path) -> Header:
    """The same, read once per process and file as long as its size and time of change stay: clips are drawn often."""
    state = Path(path).stat()
    return _header_once(str(path), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=2**16)
def _header_once(path: str, size: int, changed: int) -> Header:
    return _header(Path(path), path)


def stream(path: Path) -> Iterator[np.ndarray]:
    """Every frame from the first to the last, decoded in order.

    Raises BrokenVideo where a frame announced by the file cannot be decoded.
    """
    reader = _open(path)
    for index in range(len(reader)):
        try:
            yield _rgb(reader.next())
        except (Exception, StopIteration) as error:
            raise BrokenVideo(
                f"{path}: decoding stops at frame {index} of {len(reader)} ({first_line(error, end=True)})"
            ) from None


def decode(path: Path, indices: Sequence[int]) -> np.ndarray:
    """The frames at `indices` (any order, repeats allowed) as ``uint8 [len(indices), H, W, 3]``.

    Decoded in order up to the last index and never by seeking, so that it is right for every container. Raises
    BrokenVideo where a frame does not exist.
    """
    wanted = sorted(set(int(i) for i in indices))
    if not wanted:
        raise VddError(f"{path}: no frame was asked for")
    keep, found = set(wanted), {}
    for index, frame in enumerate(stream(path)):
        if index in keep:
            found[index] = frame
        if index == wanted[-1]:
            break
    if wanted[0] < 0 or len(found) < len(wanted):
        raise BrokenVideo(f"{path}: has {index + 1} frames, frame {max(wanted)} was asked for")
    return np.stack([found[int(i)] for i in indices])


def check_bytes(data: bytes) -> None:
    """Raises BrokenVideo where the header of an encoded video in memory cannot be read, or cannot be true."""
    _header(data, f"a stored video of {len(data)} bytes")


def decode_bytes(data: bytes) -> np.ndarray:
    """All frames ``uint8 [T, H, W, 3]`` of an encoded video in memory, in order. Raises BrokenVideo."""
    check_bytes(data)
    # Through a file: decord's reader of bytes in memory takes the process down on files that its reader of files refuses.
    with private_folder() as folder:
        path = folder / "stored.mp4"
        path.write_bytes(data)
        try:
            return np.stack(list(stream(path)))
        except BrokenVideo as error:
            why = str(error).removeprefix(f"{path}: ").replace(str(path), "it")
            raise BrokenVideo(f"a stored video of {len(data)} bytes cannot be decoded ({why})") from None


def apart(work: Callable, path: Path, *arguments: Any) -> Any:
    """``work(path, *arguments)`` in a process that a broken file may take down. Raises BrokenVideo, also where it does."""
    try:
        return parallel.apart(work, path, *arguments)
    except parallel.Died as error:
        raise BrokenVideo(crash_reason(path, str(error))) from None


def decode_stored(data: bytes, limit: float = 60.0) -> np.ndarray:
    """`decode_bytes` of what a set on disk holds, which may be anybody's: in that process, for `limit` seconds at most."""
    try:
        return parallel.apart(decode_bytes, data, limit=limit)
    except parallel.Died as error:
        raise BrokenVideo(f"a stored video of {len(data)} bytes cannot be decoded ({error})") from None


def first_frames(path: Path, count: int) -> np.ndarray:
    """The first `count` frames ``uint8 [T, H, W, 3]`` of a video, or all where it has fewer. Raises BrokenVideo."""
    return np.stack(list(islice(stream(path), count)))


def crash_reason(path: Path, why: str) -> str:
    """Why the video at `path` is broken, where decoding took a process down or did not end."""
    return f"{path}: decoding it failed: {why}"


def seek_is_exact(path: Path, samples: int = 16) -> bool:
    """Whether random access gives the same frames as decoding in order, at `samples` places visited back and forth.

    H.264 in AVI, whose wrong seeks a sample can miss, never counts as exact, though it is still read to its end. The last
    frame is left out: asked for it first, decord sometimes gives the one before (5 times in 40 on an XVID file). Raises
    BrokenVideo where the video cannot be decoded to its end.
    """
    reader = _open(path)
    places = np.unique(np.linspace(0, max(0, len(reader) - 2), samples).round().astype(int))
    keep = set(places.tolist())
    reference = {i: frame for i, frame in enumerate(stream(path)) if i in keep}
    if _header_of_file(path)[:2] == ("avi", "h264"):
        return False
    order = places[np.argsort(-(np.arange(len(places)) % 2) * len(places) - np.arange(len(places)))]  # back and forth
    try:
        return all(np.array_equal(_rgb(reader[int(i)]), reference[int(i)]) for i in order)
    except Exception as error:
        raise BrokenVideo(f"{path}: seeking fails ({first_line(error, end=True)})") from None


def encode_bytes(frames: np.ndarray, fps: float = 25, quality: int = 23) -> bytes:
    """MP4 (H.264, yuv420p, CRF `quality`) of frames ``uint8 [T, H, W, 3]``; odd sides repeat their last row or column.

    One thread and no metadata: the same frames give the same bytes.
    """
    import av
    import cv2

    frames = np.ascontiguousarray(frames)
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        raise VddError(f"a video is uint8 [T, H, W, 3], not {frames.dtype} {list(frames.shape)}")
    frames = np.pad(frames, ((0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)), mode="edge")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        track = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        track.height, track.width, track.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        track.thread_count = 1
        # No B-frames, no macroblock tree: x264's lookahead for both gave other bytes for the same frames in every run.
        track.options = {
            "crf": str(quality),
            "preset": "medium",
            "threads": "1",
            "bf": "0",
            "x264-params": "no-mbtree=1",
        }
        for index, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420), format="yuv420p")
            picture.pts = index
            for packet in track.encode(picture):
                container.mux(packet)
        for packet in track.encode():
            container.mux(packet)
    return buffer.getvalue()


def stream_bytes(source: bytes | Path) -> int:
    """Bytes of the video stream of a file (a path, or its bytes): its packets, without the container around them.

    At small sizes the container is larger than the stream: around a blank clip of 8 frames it takes about 1.6 kB. Raises
    BrokenVideo where the file cannot be read.
    """
    import av

    try:
        with av.open(io.BytesIO(source) if isinstance(source, bytes) else str(source)) as container:
            return sum(packet.size for packet in container.demux(video=0))
    except (OSError, av.FFmpegError, IndexError) as error:
        name = "a stored video" if isinstance(source, bytes) else source
        raise BrokenVideo(f"{name}: not a readable video ({first_line(error, end=True)})") from None


def encode(path: Path, frames: np.ndarray, fps: float = 25, quality: int = 23) -> Path:
    """Write frames ``uint8 [T, H, W, 3]`` as an MP4 (see `encode_bytes`), whole or not at all."""
    path = Path(path)
    data = encode_bytes(frames, fps, quality)
    try:
        return files.write_atomic(path, data)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise VddError(f"{path}: the disk is full; free some space and run again; the run resumes here") from None
        raise
