"""The lines of split lists (UCF101's and HMDB51's): ``classInd.txt``, ``trainlist01.txt``, ``testlist01.txt``."""

import re
from collections.abc import Collection
from pathlib import Path

from vddlib.core.errors import VddError


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that are not blank. Raises VddError where it is missing or no text."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors put a mark before the first letter
    except UnicodeDecodeError:
        raise VddError(f"{path}: not a text file; get the split lists again") from None
    except OSError:
        raise VddError(f"{path}: the split list is missing; it comes with the dataset's annotations") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def class_names(path: Path) -> list[str]:
    """The classes of a ``classInd.txt``: a name a line, all of them after a number, or none. Raises VddError as above."""
    lines = read_lines(path)
    numbered = all(re.match(r"\d+\s+\S", line) for line in lines)
    return [line.split(maxsplit=1)[1] if numbered else line for line in lines]


def listed_video(line: str, classes: Collection[str]) -> tuple[str, tuple[str, ...]]:
    """Class and possible file names of a line ``CLASS/VIDEO.avi`` or ``CLASS/VIDEO.avi LABEL``; ('', ()) where it is neither.

    Names may hold spaces and quotes, and the path may stand in quotes. The last field is the label where it is an integer; a
    video without extension may end in one, too, so that the name with it comes second.
    """
    labelled = re.fullmatch(r"(.*\S)\s+\d+", line)
    texts = [labelled[1], line] if labelled else [line]
    files, class_name = [], ""
    for text in texts:
        if text.partition("/")[0] not in classes and text[0] == text[-1] and text[0] in "\"'":
            text = text[1:-1]
        name, slash, file = text.partition("/")
        if slash and file:
            class_name = class_name or name
            files.append(file)
    return class_name, tuple(files)
