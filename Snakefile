# One job per params file on disk, then the tables and figures of that scale:
#
#     uv run snakemake --cores all quick      every method; also smoke, search, miniucf10, paper; quick is the default
#     uv run snakemake --cores all ablations  quick, and what it leaves out to stay short: IPC 1, ablations, controls, storage
#     uv run snakemake -n paper               lists the whole grid, each job with GPU memory (gpu_mb) and minutes (runtime)
#     uv run snakemake --cores all site       the executed notebooks of quick as pages in site/ (others: vdd site SCALE)
#     uv run snakemake --profile profiles/slurm paper         on a Slurm cluster (profiles/slurm/cluster.md)
#     uv run snakemake --cores all --keep-going miniucf10     continues with independent jobs when one fails
#
# params/SCALE/NOTEBOOK/VARIANT.yaml runs notebooks/NOTEBOOK.ipynb into runs/SCALE/NOTEBOOK/ (see vddlib/notebook/run.py). The files
# under figures/ are committed, so they are no rule's output: Snakemake would delete them before a run and after a failure.
# profiles/default/config.yaml says when something is run again.

import csv
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from vddlib.core.errors import VddError
from vddlib.core.params import read_params

SCALES = ["quick", "smoke", "search", "miniucf10", "paper"]
SCALES += sorted(folder.name for folder in Path("params").iterdir() if folder.name not in SCALES)
TABLES = ["20_tables_and_figures", "21_fair_protocols"]  # of all records of a scale
ABLATIONS = ["10_idtd_ablations/*", "12_tsgf_ablations/*", "14_storage_and_information/*"]  # of quick
ABLATIONS += ["08_vdsd/mtt_*", "08_vdsd/frepo_*", "15_latte_pool/*", "16_select_videos/*", "17_selection_ablations/*"]
ABLATIONS += ["18_cross_architecture/*", "19_action_segmentation/*", "24_controls/*", "22_searches/*", "*/*_ipc1"]
# Notebooks that need the teachers or sets of other notebooks run after those: beside them, they would occupy a core and wait.
NOTEBOOKS = sorted(path.stem for path in Path("notebooks").glob("*.ipynb"))
METHODS = [n for n in NOTEBOOKS if "03_" <= n < "14_" and not n.endswith("_ablations")]
AFTER = {"12_tsgf_ablations": ["11_tsgf"], "14_storage_and_information": METHODS}
AFTER["18_cross_architecture"] = METHODS
AFTER |= {name: ["15_latte_pool"] for name in ("16_select_videos", "17_selection_ablations")}
# With `--config shards=8` at the end of the command the costly step of these is done by so many jobs first (TSGF's batches,
# OptDistill's videos, MTT's experts and then whole sets, a pool's classes), and the run joins what they left in the cache.
IN_SHARES = ["04_dm", "06_mtt", "07_frepo", "08_vdsd", "09_idtd", "11_tsgf", "13_optdistill", "15_latte_pool"]
SHARES = int(config.get("shards", 1))
ASKED = [scale for scale in SCALES if scale in sys.argv]
WHOLE = "ablations" in sys.argv
VDD = "-m vddlib.cli run --quiet"

for scale in ASKED:
    if not any(Path("params", scale).glob("*/*.yaml")):
        raise WorkflowError(f"nothing to run: there is no params/{scale}/NOTEBOOK/VARIANT.yaml")


def records(scale, tables=False):
    """The provenance of every run of a scale."""
    found = sorted(Path("params", scale).glob("*/*.yaml"))
    if scale == "quick" and not WHOLE:
        found = [p for p in found if not any(p.with_suffix("").match(pattern) for pattern in ABLATIONS)]
    return [provenance(p) for p in found if (p.parent.name in TABLES) == tables]


def provenance(params):
    """The file that is written last, when the run of a params file is complete."""
    return Path("runs", *params.parts[1:]).with_suffix(".json").as_posix()


def dataset(params):
    """The dataset that a params file names, or the notebooks' default."""
    try:
        return read_params(params).get("dataset", "motions")
    except VddError:  # its own run says what is wrong
        return "motions"


def earlier(wildcards):
    """The runs that have to be finished first: those of AFTER on the same dataset."""
    mine = dataset(Path("params", wildcards.scale, wildcards.notebook, f"{wildcards.variant}.yaml"))
    found = (p for name in AFTER.get(wildcards.notebook, ()) for p in Path("params", wildcards.scale, name).glob("*.yaml"))
    return [provenance(p) for p in sorted(found) if dataset(p) == mine]


def shares(wildcards):
    """The notes of the jobs that do shares of a run; none where it is done in one."""
    place = f"runs/{wildcards.scale}/{wildcards.notebook}/{wildcards.variant}"
    several = SHARES > 1 and wildcards.notebook in IN_SHARES
    return [f"{place}.shard-{which}-of-{SHARES}.json" for which in range(SHARES)] if several else []


def length(wildcards):
    """Priority: later notebooks take longer and start first, so that no core idles at the end while one of them runs."""
    number = wildcards.get("notebook", "").split("_")[0]
    return int(number) if number.isdigit() else 0


def cores(wildcards):
    return 4 if wildcards.scale == "paper" else 1


def forecasts(scale):
    """By NOTEBOOK/VARIANT what `vdd forecast` computed for the jobs of a scale."""
    table = Path("figures", scale, "forecast.csv")
    return {row["job"]: row for row in csv.DictReader(table.open())} if table.is_file() else {}


WEEK = 7 * 24 * 60  # what most partitions allow at most; a job that is ended goes on when it is submitted again
FORECAST = {scale: forecasts(scale) for scale in SCALES}


def forecast(wildcards):
    """A job's forecast; of what none was computed for, a row of zeros."""
    row = FORECAST[wildcards.scale].get(f"{wildcards.notebook}/{wildcards.variant}", {})
    return {name: float(row.get(name, 0)) for name in ("GPU hours", "GPU memory (GiB)", "CPU core-hours")}


def gpu_memory(wildcards):
    """MiB on the GPU."""
    return round(1024 * forecast(wildcards)["GPU memory (GiB)"])


def memory(wildcards, attempt):
    """MiB of a node; more at each further attempt, as Slurm kills what takes more than it asked for."""
    return attempt * {"paper": 32000, "miniucf10": 6000}.get(wildcards.scale, 4000)


def minutes(wildcards, attempt):
    """Three times the hours on a GPU and on its four cores, as both are computed and not measured; at least two hours. More at
    each further attempt: what was finished stays, so that a job goes on where it was ended."""
    job = forecast(wildcards)
    return min(WEEK, attempt * max(120, round(180 * (job["GPU hours"] + job["CPU core-hours"] / cores(wildcards)))))


def said(wildcards):
    """The forecast behind a job's name in the list."""
    job = forecast(wildcards)
    return ": {GPU hours:.1f} GPU hours, {GPU memory (GiB):.0f} GiB (computed)".format(**job) if any(job.values()) else ""


wildcard_constraints:
    scale="|".join(SCALES),
    notebook="[^/]+",
    variant=r"(?:(?!\.shard-\d+-of-)[^/])+",
    part=r"\d+",
    parts=r"\d+",


ruleorder: tables > run


for target, scale in [*zip(SCALES, SCALES), ("ablations", "quick")]:

    rule:
        name:
            target
        input:
            records(scale),
            records(scale, tables=True),
        message:
            "everything has been run"


rule run:
    input:
        notebook="notebooks/{notebook}.ipynb",
        params="params/{scale}/{notebook}/{variant}.yaml",
        earlier=ancient(earlier),
        shares=ancient(shares),
    output:
        "runs/{scale}/{notebook}/{variant}.json",
    params:
        forecast=said,
        shard="",
    threads: cores
    priority: length
    resources:
        gpu=lambda wildcards: int(wildcards.scale == "paper"),
        gpu_mb=gpu_memory,
        mem_mb=memory,
        runtime=minutes,
    message:
        "{wildcards.scale}/{wildcards.notebook}/{wildcards.variant}{params.forecast}"
    shell:
        "{sys.executable:q} {VDD} --threads {threads} {params.shard} {input.notebook:q} {input.params:q}"  # :q: any folder's name


use rule run as share with:
    input:
        notebook="notebooks/{notebook}.ipynb",
        params="params/{scale}/{notebook}/{variant}.yaml",
        earlier=ancient(earlier),
    output:
        "runs/{scale}/{notebook}/{variant}.shard-{part}-of-{parts}.json",
    params:
        shard="--shard {part}/{parts}",
    message:
        "{wildcards.scale}/{wildcards.notebook}/{wildcards.variant}, share {wildcards.part} of {wildcards.parts}"


use rule run as tables with:
    input:
        notebook="notebooks/{notebook}.ipynb",
        params="params/{scale}/{notebook}/{variant}.yaml",
        records=lambda wildcards: records(wildcards.scale),
    output:
        "runs/{scale}/{notebook}/{variant}.json",
    wildcard_constraints:
        notebook="|".join(TABLES),
    message:
        "{wildcards.scale}/{wildcards.notebook}/{wildcards.variant}"


rule site:
    message:
        "site/: pages of the executed notebooks of quick"
    shell:
        "{sys.executable:q} -m vddlib.cli site quick"


onsuccess:
    for scale in ASKED or SCALES[:1]:
        print(f"\nTables and figures: figures/{scale}/    executed notebooks: runs/{scale}/\n")
        for name in ("table.md", "fair_table.md"):  # the paper's protocols, and one for all
            table = Path("figures", scale, name)
            if table.is_file():
                print(table.read_text())


onerror:
    print("\nA run failed; its .log and .failed.ipynb under runs/ hold what it printed.")
    print("When the cause is fixed, the same command resumes; with --keep-going it first finishes the other runs.")
