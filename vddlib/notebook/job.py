"""One run as paths: the notebook, its params file, the executed copy, and what lies beside it."""

from dataclasses import dataclass
from pathlib import Path

from vddlib.core import provenance
from vddlib.core.errors import VddError

SETS = "sets"  # in the scratch folder of a run: distilled sets; and the suffix of where they are kept beside it
SHARE, SHARE_DONE = "VDD_SHARD", "ShareDone"  # where a kernel finds its share, and how it says that this is done


@dataclass(frozen=True)
class Job:
    """One run: the project it belongs to, its two inputs, and the executed copy beside which the rest lies."""

    root: Path
    notebook: Path
    params: Path
    output: Path
    scale: str

    @property
    def label(self) -> str:
        """How the run is called in logs: quick/11_tsgf/motions_ipc5."""
        return self.name(self.output.with_suffix("")).removeprefix("runs/")

    @property
    def scratch(self) -> Path:
        """The kernel's own folder; its contents are moved to their names at success."""
        return self.output.with_name(f".{self.output.stem}.partial")

    @property
    def figures(self) -> Path:
        """Where the figures of this run go: figures/SCALE/NOTEBOOK/VARIANT, or beside an output of another name."""
        if not self.scale:
            return self.output.with_name(f"{self.output.stem}_figures")
        return self.root.joinpath("figures", self.scale, self.notebook.stem, self.output.stem)

    @property
    def sets(self) -> Path:
        """Where the distilled sets of this run are kept."""
        return self.beside(f".{SETS}")

    def beside(self, suffix: str) -> Path:
        """The file of this run with another suffix: .csv .json .log .failed.ipynb .sets"""
        return self.output.with_suffix(suffix)

    def name(self, path: Path) -> str:
        """A path as the project sees it, the same on every machine."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)


def plan(notebook: Path, params: Path, output: Path | None = None) -> Job:
    """Where a run of `notebook` with `params` goes; by default what the path params/SCALE/NAME/VARIANT.yaml says."""
    notebook, params = Path(notebook).resolve(), Path(params).resolve()
    root = provenance.project_root(params.parent)
    place = params.relative_to(root).parts if params.is_relative_to(root) else ()
    batched = len(place) == 4 and place[0] == "params"
    if output is not None:
        output = Path(output).resolve()
        if output.suffix != ".ipynb":
            raise VddError(f"{output}: the output is the executed notebook; give it a name that ends in .ipynb")
    elif not batched:
        raise VddError(f"{params}: not at params/SCALE/NOTEBOOK/VARIANT.yaml; say with --output where the run goes")
    elif place[2] != notebook.stem:
        raise VddError(f"{params}: lies under {place[2]}/, so it is for {place[2]}.ipynb and not for {notebook.name}")
    else:
        output = root.joinpath("runs", place[1], place[2], f"{params.stem}.ipynb")
    return Job(root, notebook, params, output, place[1] if batched else "")


def parse_share(text: str) -> tuple[int, int]:
    """(which, of how many) from "0/4". Raises VddError for what is no share."""
    which, _, count = text.partition("/")
    if not (which.isdigit() and count.isdigit() and int(which) < int(count)):
        raise VddError(f"--shard {text}: which part, of how many, as in 0/4; they count from 0")
    return int(which), int(count)
