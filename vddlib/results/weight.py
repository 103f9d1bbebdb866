"""The gate for what is committed: ``python -m vddlib.results.weight figures`` names what is too heavy (exit code 1)."""

import sys
from collections.abc import Sequence
from pathlib import Path

FILE_LIMIT = 1_000_000  # bytes
RECORDS_LIMIT = 5_000_000  # of records.csv, which has a row for every student of a scale
FOLDER_LIMIT = 40_000_000  # bytes


def problems(folder: Path, file_limit: int = FILE_LIMIT, folder_limit: int = FOLDER_LIMIT) -> list[str]:
    """A line for every file under `folder` of more than `file_limit` bytes, and one for the whole if it is too heavy.

    Records, one text per scale that grows with what was run, may have `RECORDS_LIMIT`.
    """
    sizes = {path: path.stat().st_size for path in sorted(Path(folder).rglob("*")) if path.is_file()}
    found = [
        f"{path}: {size / 1e6:.1f} MB; a file may have {file_limit / 1e6:g} MB (a picture: show fewer or smaller frames)"
        for path, size in sizes.items()
        if size > (RECORDS_LIMIT if path.name == "records.csv" else file_limit)
    ]
    total = sum(sizes.values())
    if total > folder_limit:
        found.append(f"{folder}: {total / 1e6:.1f} MB in all; it may have {folder_limit / 1e6:g} MB")
    return found


def main(arguments: Sequence[str]) -> int:
    """Check the folders that are named (``figures`` where none is); 1 where anything is too heavy or missing."""
    folders = [Path(name) for name in arguments] or [Path("figures")]
    found = [f"{folder}: there is no such folder" for folder in folders if not folder.is_dir()]
    found += [line for folder in folders for line in problems(folder)]
    print("\n".join(found) or f"{', '.join(map(str, folders))}: light enough")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
