"""The real Snakefile over a tiny project: what runs, what reruns, what is listed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
pytest.importorskip("snakemake")


def write_notebook(root, name, parameters, source):
    cells = [nbformat.v4.new_code_cell(parameters), nbformat.v4.new_code_cell(source)]
    cells[0].metadata.tags = ["parameters"]
    (root / "notebooks").mkdir(exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), root / "notebooks" / f"{name}.ipynb")


def write_params(root, place, text="ipc: 3"):
    path = root / "params" / f"{place}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def copy_workflow(root):
    """The real Snakefile and profiles, in a project of their own."""
    shutil.copy(ROOT / "Snakefile", root)
    shutil.copytree(ROOT / "profiles", root / "profiles")
    (root / "pyproject.toml").write_text("")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Two runs and the tables at quick, one run at paper."""
    root = tmp_path_factory.mktemp("project")
    copy_workflow(root)
    table = "from pathlib import Path\nPath('figures/quick').mkdir(parents=True, exist_ok=True)\n"
    table += "Path('figures/quick/table.md').write_text('| a table |')"
    for name, source in {"11_tiny": "print(ipc)", "20_tables_and_figures": table}.items():
        write_notebook(root, name, "ipc = 1", source)
    for place in ("quick/11_tiny/one", "quick/11_tiny/two", "quick/20_tables_and_figures/all", "paper/11_tiny/big"):
        write_params(root, place)
    return root


def snakemake(project, *arguments, python=sys.executable):
    """Exit code, everything printed."""
    command = [str(python), "-m", "snakemake", "--cores", "2", *arguments]
    done = subprocess.run(command, cwd=project, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


def ran(printed):
    """The runs that were announced, in no order."""
    return sorted(line.split(": ")[1] for line in printed.splitlines() if line.startswith("Job ") and "/" in line)


def test_quick_runs_everything_once_and_reruns_what_was_touched(project):
    code, printed = snakemake(project)  # quick is the default
    assert code == 0, printed
    assert ran(printed) == ["quick/11_tiny/one", "quick/11_tiny/two", "quick/20_tables_and_figures/all"]
    assert "figures/quick/" in printed and "| a table |" in printed

    assert "Nothing to be done" in snakemake(project, "quick")[1]
    with (project / "Snakefile").open("a") as file:
        file.write('\nVDD += " --threads 1"\n')
    assert "Nothing to be done" in snakemake(project, "quick")[1], "changed code reruns nothing by itself"

    (project / "params/quick/11_tiny/two.yaml").touch()
    before = (project / "runs/quick/11_tiny/one.json").read_bytes()
    code, printed = snakemake(project, "quick")
    assert code == 0, printed
    assert ran(printed) == ["quick/11_tiny/two", "quick/20_tables_and_figures/all"]
    assert (project / "runs/quick/11_tiny/one.json").read_bytes() == before
    assert "Nothing to be done" in snakemake(project, "quick")[1]


def test_notebooks_that_share_a_cache_run_one_after_the_other(project):
    first = "import time\ntime.sleep(1)"
    then = "from pathlib import Path\nassert Path('runs/smoke/11_tsgf/one.json').is_file()"
    for name, source in {"11_tsgf": first, "12_tsgf_ablations": then}.items():
        write_notebook(project, name, "ipc = 1\ndataset = 'motions'", source)
    wanted = {
        "11_tsgf/one": "ipc: 1",
        "12_tsgf_ablations/same": "ipc: 1",
        "12_tsgf_ablations/named": "dataset: motions",
    }
    for place, text in wanted.items():
        write_params(project, f"smoke/{place}", text)
    code, printed = snakemake(project, "smoke")
    assert code == 0, printed
    assert ran(printed) == sorted(f"smoke/{place}" for place in wanted)

    (project / "params/smoke/11_tsgf/one.yaml").touch()
    code, printed = snakemake(project, "smoke")
    assert ran(printed) == ["smoke/11_tsgf/one"], printed
    shutil.rmtree(project / "params/smoke")
    shutil.rmtree(project / "runs/smoke")


SHARED = """
import os
from pathlib import Path
class ShareDone(Exception): pass
share = os.environ.get("VDD_SHARD", "")
if share:
    Path(f"did{share[0]}").touch()
    raise ShareDone
assert Path("did0").is_file() and Path("did1").is_file()
"""


def test_shares_are_jobs_that_the_run_waits_for(tmp_path):
    copy_workflow(tmp_path)
    write_notebook(tmp_path, "11_tsgf", "ipc = 1", SHARED)
    write_params(tmp_path, "smoke/11_tsgf/one")
    code, printed = snakemake(tmp_path, "smoke", "--config", "shards=2")
    assert code == 0, printed
    assert ran(printed) == ["smoke/11_tsgf/one", *(f"smoke/11_tsgf/one, share {which} of 2" for which in range(2))]
    assert (tmp_path / "runs/smoke/11_tsgf/one.json").is_file()
    assert "Nothing to be done" in snakemake(tmp_path, "smoke", "--config", "shards=2")[1]


def test_quick_leaves_ablations_to_their_own_target(project):
    left = {
        "12_tsgf_ablations/components",
        "13_optdistill/compare_k_ipc1",
        "13_optdistill/motions_ipc1",
        "24_controls/all",
    }
    for place in (*left, "13_optdistill/motions_ipc5"):
        path = write_params(project, f"quick/{place}")
        shutil.copy(project / "notebooks/11_tiny.ipynb", project / "notebooks" / f"{path.parent.name}.ipynb")
    try:
        quick, whole = ({*ran(snakemake(project, "-n", target)[1])} for target in ("quick", "ablations"))
    finally:
        for name in {place.split("/")[0] for place in left}:
            shutil.rmtree(project / "params/quick" / name)
    assert "quick/13_optdistill/motions_ipc5" in quick
    assert whole - quick == {f"quick/{place}" for place in left}


def test_dry_run_lists_the_grid(project):
    code, printed = snakemake(project, "-n", "paper")
    assert code == 0 and ran(printed) == ["paper/11_tiny/big"]
    assert not (project / "runs/paper").exists()
    forecast = project / "figures/paper/forecast.csv"  # what `vdd forecast` writes
    forecast.parent.mkdir(parents=True)
    forecast.write_text("job,GPU hours,GPU memory (GiB),CPU core-hours\n11_tiny/big,2.5,20.0,4.0\n")
    code, printed = snakemake(project, "-n", "paper", "--verbose")
    forecast.unlink()
    assert code == 0 and "paper/11_tiny/big: 2.5 GPU hours, 20 GiB (computed)" in printed


def test_scale_without_params(project):
    code, printed = snakemake(project, "-n", "miniucf10")
    assert code != 0 and "there is no params/miniucf10/NOTEBOOK/VARIANT.yaml" in printed


def test_failed_run_fails_the_batch_and_keeps_committed_figures(project):
    figure = project / "figures/smoke/records.csv"
    figure.parent.mkdir(parents=True)
    figure.write_text("committed")
    for place in ("smoke/11_tiny/bad", "smoke/20_tables_and_figures/all"):
        write_params(project, place, "ipcs: 3")
    code, printed = snakemake(project, "smoke")
    assert code != 0 and "unknown parameter 'ipcs' (did you mean 'ipc'?)" in printed
    assert figure.read_text() == "committed"
    assert not list(project.glob("runs/smoke/*/*"))


def environment_within(folder):
    """The interpreter of an environment in `folder` that has what this one has, as a clone's own .venv would."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(os.path.realpath(sys.executable))
    (folder / "pyvenv.cfg").write_text(f"home = {Path(os.path.realpath(sys.executable)).parent}\n")
    library = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (folder / "lib" / library).mkdir(parents=True)
    (folder / "lib" / library / "site-packages").symlink_to(Path(nbformat.__file__).parents[1])
    return folder / "bin" / "python"


@pytest.mark.skipif(os.name == "nt", reason="such names are none on Windows")
@pytest.mark.parametrize("name", ['a "clone"', "it's $HOME", "`id` {braces} & *;"])
def test_a_clone_in_a_folder_with_an_odd_name(tmp_path, name):
    root = tmp_path / name
    root.mkdir()
    copy_workflow(root)
    write_notebook(root, "11_tiny", "ipc = 1", "import sys\nprint(ipc, sys.executable)")
    write_params(root, "quick/11_tiny/one")
    python = environment_within(root / ".venv")
    code, printed = snakemake(root, "quick", python=python)
    assert code == 0, printed
    executed = nbformat.read(root / "runs/quick/11_tiny/one.ipynb", as_version=4)
    assert executed.cells[-1].outputs[0].text == f"3 {python}\n"


def test_a_broken_params_file_stops_only_its_own_run(project):
    """The order of runs is read from params files; what one of them holds is for its own run to refuse."""
    write_notebook(project, "11_tsgf", "ipc = 1\ndataset = 'motions'", "1")
    write_notebook(project, "12_tsgf_ablations", "ipc = 1\ndataset = 'motions'", "1")
    places = {"11_tsgf/good": "ipc: 1", "11_tsgf/list": "- 1", "12_tsgf_ablations/bad": "ipc: [1"}
    for place, text in places.items():
        write_params(project, f"smoke/{place}", text)
    try:
        code, printed = snakemake(project, "--keep-going", "smoke")
        assert code != 0 and "holds a list, not a mapping" in printed and "Traceback" not in printed
        assert (project / "runs/smoke/11_tsgf/good.json").is_file()
    finally:
        shutil.rmtree(project / "params/smoke")
        shutil.rmtree(project / "runs/smoke")
