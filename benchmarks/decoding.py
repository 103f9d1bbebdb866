"""Frames per second and exactness of video readers, by container and codec.

From the project's root, `uv run python benchmarks/decoding.py`; see benchmarks/README.md.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from vddlib.core import provenance
from vddlib.core.progress import say

FILES = {  # container and codec: what is written, and by which encoder
    "MP4, H.264": (".mp4", "libx264"),
    "AVI, H.264": (".avi", "libx264"),
    "AVI, MPEG-4 (XVID)": (".avi", "mpeg4"),
    "WebM, VP9": (".webm", "libvpx-vp9"),
}
LIMIT = 120.0  # seconds for one reader and file: decord can hang
NOTES = (
    """frames/s: all frames in order, decoded to RGB, per second of processor time of one process; the median of the
repetitions. in order: whether these are the frames that PyAV decodes, as many, none more than two grey levels off in the mean.
seeks: at how many of 16 places, visited from the end and again, random access gives the frame that is there in order.""",
    "ours: `vddlib.datasets.video.stream`, that is decord, in order; seeks: `video.decode`, which decodes in order up to them.",
)


def moving(frames: int, width: int = 320, height: int = 240) -> Iterator[np.ndarray]:
    """Frames ``uint8 [H, W, 3]`` of noise on which squares move, no two alike."""
    rng = np.random.default_rng(0)
    ground = rng.integers(0, 90, (height, width, 3), np.uint8)
    for t in range(frames):
        frame = np.roll(ground, t, axis=1).copy()
        for k in range(4):
            top, left = (7 * t * (k + 1)) % (height - 40), (11 * t + 80 * k) % (width - 40)
            frame[top : top + 40, left : left + 40] = 120 + 30 * k
        yield frame


def write(path: Path, codec: str, frames: int) -> None:
    """A video of these frames, at 25 per second with a key frame every 12, as cameras and web sites cut them."""
    import av

    with av.open(str(path), "w") as container:
        track = container.add_stream(codec, rate=Fraction(25))
        track.width, track.height, track.pix_fmt, track.gop_size = 320, 240, "yuv420p", 12
        track.bit_rate = 2_000_000
        for frame in moving(frames):
            for packet in track.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")):
                container.mux(packet)
        for packet in track.encode():
            container.mux(packet)


def ours(path: Path) -> tuple[Callable, Callable]:
    """(all frames in order, one frame by its number)."""
    from vddlib.datasets import video

    return lambda: video.stream(path), lambda place: video.decode(path, [place])[0]


def decord(path: Path) -> tuple[Callable, Callable]:
    """Its reader, seeking."""
    import decord

    reader = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
    return lambda: (reader[i].asnumpy() for i in range(len(reader))), lambda place: reader[place].asnumpy()


def pyav(path: Path) -> tuple[Callable, Callable]:
    """In order; a seek goes to the key frame before and decodes up to the time stamp."""
    import av

    def frames() -> Iterator[np.ndarray]:
        with av.open(str(path)) as container:
            container.streams.video[0].thread_count = 1
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format="rgb24")

    def one(place: int) -> np.ndarray:
        with av.open(str(path)) as container:
            track = container.streams.video[0]
            wanted = int(place / track.average_rate / track.time_base) + (track.start_time or 0)
            container.seek(wanted, stream=track)
            for frame in container.decode(track):
                if frame.pts is not None and frame.pts >= wanted:
                    return frame.to_ndarray(format="rgb24")
        raise EOFError(place)

    return frames, one


def opencv(path: Path) -> tuple[Callable, Callable]:
    """VideoCapture; a seek sets its frame number."""
    import cv2

    cv2.setNumThreads(1)

    def frames() -> Iterator[np.ndarray]:
        capture = cv2.VideoCapture(str(path))
        while (read := capture.read())[0]:
            yield read[1][..., ::-1]

    def one(place: int) -> np.ndarray:
        capture = cv2.VideoCapture(str(path))
        capture.set(cv2.CAP_PROP_POS_FRAMES, place)
        return capture.read()[1][..., ::-1]

    return frames, one


def torchcodec(path: Path) -> tuple[Callable, Callable]:
    """Its decoder, with one thread and exact seeks."""
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(str(path), num_ffmpeg_threads=1, seek_mode="exact", dimension_order="NHWC")
    return lambda: (decoder[i].numpy() for i in range(len(decoder))), lambda place: decoder[place].numpy()


READERS = {"ours": ours, "decord": decord, "PyAV": pyav, "OpenCV": opencv, "torchcodec": torchcodec}


def measured(reader: str, path: Path, repeat: int) -> dict:
    """One reader on one file: a row, in a process that can be ended (see `LIMIT`)."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.decoding",
        "--one",
        reader,
        "--file",
        str(path),
        "--repeat",
        str(repeat),
    ]
    root = Path(__file__).parents[1]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, cwd=root, check=False)
    except subprocess.TimeoutExpired:
        return {"said": f"did not end within {LIMIT:.0f} s"}
    if done.returncode:
        return {"said": (done.stderr.strip().splitlines() or ["ended without a word"])[-1][:90]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def alone(reader: str, path: Path, repeat: int) -> dict:
    """The same in this process."""
    wanted = list(pyav(path)[0]())
    times, got = [], []
    for _ in range(repeat):
        begun = time.process_time()
        frames, one = READERS[reader](path)  # opening counts, as for readers that open when they are asked
        got = list(frames())
        times.append(time.process_time() - begun)
    same = len(got) == len(wanted) and all(_near(a, b) for a, b in zip(got, wanted, strict=True))
    places = np.linspace(0, len(wanted) - 2, 16).astype(int)
    order = places[np.argsort(-(np.arange(16) % 2) * 16 - np.arange(16))]  # back and forth
    right = sum(_near(one(int(place)), wanted[place]) for place in order)
    return {"frames/s": len(got) / float(np.median(times)), "in order": "yes" if same else "NO", "seeks": f"{right}/16"}


def _near(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two frames are one: converters round colours differently, and neighbours differ by far more."""
    return one.shape == other.shape and float(np.abs(one.astype(int) - other).mean()) <= 2


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def decoding(
    frames: Annotated[int, typer.Option(min=20, help="frames of each file")] = 300,
    repeat: Annotated[int, typer.Option(min=1, help="times that each file is read")] = 3,
    output: Annotated[Path, typer.Option(help="folder of the table")] = Path("benchmarks/results"),
    one: Annotated[str, typer.Option(hidden=True)] = "",
    file: Annotated[Path, typer.Option(hidden=True)] = Path(),
):
    """Every reader that is installed on every container, into OUTPUT/decoding.{md,csv,tex,json}."""
    if one:
        typer.echo(json.dumps(alone(one, file, repeat)))
        return
    import pandas as pd

    from vddlib.results import write_table

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for number, (what, (suffix, codec)) in enumerate(FILES.items()):
            path = Path(folder) / f"{number}{suffix}"
            write(path, codec, frames)
            for reader in READERS:
                say(f"{what}: {reader}")
                rows.append({"file": what, "reader": reader} | measured(reader, path, repeat))
    facts = provenance.collect({"frames": frames, "repeat": repeat})
    header = f"{frames} frames of 320 x 240, {provenance.device_name()}, commit {facts['commit'][:10]}."
    table = pd.DataFrame(rows, columns=["file", "reader", "frames/s", "in order", "seeks", "said"])
    write_table(table.dropna(axis=1, how="all"), output, "decoding", facts, header, NOTES)
    say(f"\n{(output / 'decoding.md').read_text(encoding='utf-8')}")


if __name__ == "__main__":
    app()
