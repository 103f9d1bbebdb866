"""Videos and tables inline in a notebook: they play in JupyterLab and stand in the HTML that nbconvert makes."""

import base64
import html
from collections.abc import Sequence

import numpy as np
import pandas as pd
from IPython.display import HTML

from vddlib.core.errors import VddError
from vddlib.datasets.video import encode_bytes


def videos(
    clips: np.ndarray, titles: Sequence[str] | None = None, fps: float = 8, columns: int = 5, height: int = 112
) -> HTML:
    """Clips that play in a loop, `columns` to a line, with a title under each.

    clips: uint8 [N, T, H, W, 3]; height: of a picture on the page, pixels (small clips are enlarged, by nearest).
    Raises VddError for another shape or type, or a wrong number of titles.
    """
    clips = np.asarray(clips)
    if clips.ndim != 5 or clips.shape[-1] != 3 or clips.dtype != np.uint8:
        raise VddError(f"videos: clips are uint8 [N, T, H, W, 3], got {clips.dtype} {list(clips.shape)}")
    if titles is not None and len(titles) != len(clips):
        raise VddError(f"videos: {len(clips)} clips but {len(titles)} titles")
    times = max(1, -(-height // clips.shape[2]))  # enlarged before encoding: H.264 would smear single pixels
    cells = []
    for clip, title in zip(clips, titles if titles is not None else [""] * len(clips), strict=True):
        data = encode_bytes(clip.repeat(times, axis=1).repeat(times, axis=2), fps=fps, quality=20)
        source = f"data:video/mp4;base64,{base64.b64encode(data).decode()}"
        cells.append(
            '<figure style="margin:0">'
            f'<video src="{source}" height="{height}" autoplay loop muted playsinline controls '
            'style="image-rendering:pixelated;border-radius:3px;max-width:100%"></video>'
            '<figcaption style="font:12px sans-serif;text-align:center">'
            f"{html.escape(str(title))}</figcaption></figure>"
        )
    grid = f"display:grid;grid-template-columns:repeat({min(columns, max(len(cells), 1))},max-content);gap:8px 10px"
    return HTML(f'<div style="{grid}">{"".join(cells)}</div>')


def table(df: pd.DataFrame, decimals: int = 1) -> HTML:
    """A data frame as a plain table: floats with `decimals` places, nothing where nothing was measured."""

    def text(value) -> str:
        if not isinstance(value, str) and pd.isna(value):
            return ""
        return f"{value:.{decimals}f}" if isinstance(value, float) else html.escape(str(value))

    def row(values, tag: str) -> str:
        cells = []
        for column, value in zip(df, values, strict=True):
            side = "right" if pd.api.types.is_numeric_dtype(df[column]) else "left"
            cells.append(f'<{tag} style="text-align:{side};padding:2px 10px">{text(value)}</{tag}>')
        return f"<tr>{''.join(cells)}</tr>"

    body = "".join(row(values, "td") for values in df.itertuples(index=False, name=None))
    head = f'<thead style="border-bottom:1px solid #888">{row(list(df.columns), "th")}</thead>'
    return HTML(f'<table style="border-collapse:collapse;font-size:13px">{head}<tbody>{body}</tbody></table>')
