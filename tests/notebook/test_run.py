"""The runner on tiny notebooks: what it refuses, what it leaves behind, and how it survives what kills kernels."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from filelock import FileLock
from typer.testing import CliRunner

from vddlib.cli import app
from vddlib.core import params as parameter_files
from vddlib.core.errors import VddError
from vddlib.core.provenance import params_sha256
from vddlib.distillers import DistilledSet
from vddlib.notebook import run as runner

PARAMETERS = """\
ipc: int = 5  # clips per class
lr: float = 0.1  # of the student
seeds: list[int] = [0, 1]
rates: list[float] = [0.5]
name: str = "a"  # has = and # in it
soft: bool = False
size: int | None = None
frames = 16
extra: dict = {}
"""
KILL = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "Snakefile").write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(*cells, params="", name="11_tiny", variant="v", tags=("parameters",)):
    """A notebook and a params file in the working folder; the first cell is the parameter cell."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# A title")])
    for source in cells:
        notebook.cells.append(nbformat.v4.new_code_cell(source))
    notebook.cells[1].metadata.tags = list(tags)
    places = Path("notebooks", f"{name}.ipynb"), Path("params", "quick", name, f"{variant}.yaml")
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, places[0])
    places[1].write_text(params)
    return places


def left(name="11_tiny"):
    """What a run left, but for the lock."""
    return sorted(path.name for path in Path("runs", "quick", name).iterdir() if path.suffix != ".lock")


# --- parameters -------------------------------------------------------------------------------------------------------


def check(params: str):
    import yaml

    return parameter_files.check_params(
        yaml.safe_load(params), parameter_files.declared_parameters(PARAMETERS), "p.yaml", "n.ipynb"
    )


def test_declared_parameters():
    found = parameter_files.declared_parameters(PARAMETERS + "plain = [1, 2]\nnothing = None\n")
    assert found["name"] == parameter_files.Parameter("name", "str", "'a'")
    assert {name: p.kind for name, p in found.items()} == {
        "ipc": "int",
        "lr": "float",
        "seeds": "list[int]",
        "rates": "list[float]",
        "name": "str",
        "soft": "bool",
        "size": "int | None",
        "frames": "int",
        "extra": "dict",
        "plain": "list[int]",
        "nothing": "",
    }


@pytest.mark.parametrize(
    ("params", "value"),
    [
        ("lr: 1", {"lr": 1.0}),
        ("ipc: 5.0", {"ipc": 5}),
        ("size: null", {"size": None}),
        ("size: 3", {"size": 3}),
        ("rates: [1, 0.5]", {"rates": [1.0, 0.5]}),
        ("extra: {a: [1]}", {"extra": {"a": [1]}}),
        ("name: 1e-4", {"name": "1e-4"}),
    ],
)
def test_fitting_values_are_taken(params, value):
    fitted, notes = check(params)
    assert fitted == value and not notes
    assert [type(v) for v in fitted.values()] == [type(v) for v in value.values()]


def test_exponent_read_as_text_becomes_a_number_and_is_said():
    fitted, notes = check("lr: 1e-4\nrates: [1e-3, 0.1]\nipc: 1e1")
    assert fitted == {"lr": 1e-4, "rates": [1e-3, 0.1], "ipc": 10}
    assert [note.split(":")[0] for note in notes] == ["lr", "rates", "ipc"]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ("ipcs: 3", "unknown parameter 'ipcs' (did you mean 'ipc'?)"),
        ("ipc: five", "ipc must be int, as in `ipc: 5`, not 'five'"),
        ("ipc: true", "ipc must be int"),
        ("ipc: 2.5", "ipc must be int"),
        ("ipc: null", "ipc must be int"),
        ("lr: fast", "lr must be float"),
        ("soft: 1", "soft must be bool"),
        ("name: 2015", "name must be str"),
        ("seeds: 3", "seeds must be list[int]"),
        ("seeds: [0, x]", "seeds must be list[int]"),
        ("size: big", "size must be int | None"),
        ("frames: many", "frames must be int"),
        ("extra: [1]", "extra must be dict"),
        ("ipc: five\nlr: fast", "lr must be float"),
    ],
)
def test_unfitting_values_are_refused_by_name(params, said):
    with pytest.raises(VddError) as error:
        check(params)
    assert said in str(error.value) and "p.yaml" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ("- 1\n- 2", "holds a list, not a mapping"),
        ("just text", "holds a str, not a mapping"),
        ("ipc: [1", "not YAML"),
        ("ipc: 5\n\tlr: 1", "line 2: not YAML"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_params_file_that_is_no_mapping(project, params, said):
    Path("p.yaml").write_bytes(params if isinstance(params, bytes) else params.encode())
    with pytest.raises(VddError, match=r"^p\.yaml") as error:
        parameter_files.read_params(Path("p.yaml"))
    assert said in str(error.value) and "\n" not in str(error.value)


def test_empty_params_file_gives_no_parameters(project):
    Path("p.yaml").write_text("# all defaults\n")
    assert parameter_files.read_params(Path("p.yaml")) == {}


def test_bad_inputs_are_one_line_and_leave_nothing(project):
    notebook, params = make(PARAMETERS)
    untagged, _ = make(PARAMETERS, name="12_untagged", tags=())
    Path("notebooks/13_text.ipynb").write_text("not json")
    Path("elsewhere.yaml").write_text("")
    cases = [
        ([notebook, "params/quick/11_tiny/absent.yaml"], "no such params file"),
        (["notebooks/absent.ipynb", params, "--output", "x.ipynb"], "no such notebook"),
        (["notebooks/13_text.ipynb", params, "--output", "x.ipynb"], "not a notebook"),
        ([untagged, "params/quick/12_untagged/v.yaml"], "0 cells are tagged `parameters`"),
        ([untagged, params], "for 11_tiny.ipynb and not for 12_untagged.ipynb"),
        ([notebook, "elsewhere.yaml"], "say with --output"),
        ([notebook, params, "--output", "x.html"], "ends in .ipynb"),
    ]
    for arguments, said in cases:
        result = CliRunner().invoke(app, ["run", *map(str, arguments)])
        assert result.exit_code == 2, result.output
        assert said in result.stderr and len(result.stderr.splitlines()) == 1
    assert not Path("runs").exists() and not Path("x.ipynb").exists()


# --- runs -------------------------------------------------------------------------------------------------------------


def test_a_whole_run(project, capfd):
    record = """
        import csv, os, pathlib
        held = b"x" * 2**28
        with pathlib.Path(os.environ["VDD_RUN"], "records.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["seed", "dataset_sha256", "device", "scale", "params", "threads"])
            for seed in (1, 0):
                about = [os.environ[name] for name in ("VDD_SCALE", "VDD_PARAMS_SHA256", "OMP_NUM_THREADS")]
                rows.writerow([seed, "abc", "cpu", *about])
        print("lr is", lr, "in", os.getcwd())
        held = None
    """
    source = "\n".join(line[8:] for line in record.strip("\n").splitlines())
    stale = Path("runs/quick/11_tiny")
    stale.mkdir(parents=True)
    (stale / "v.failed.ipynb").write_text("an older failure")
    output = runner.run(*make(PARAMETERS, source, params="lr: 1e-4\nipc: 2"))

    assert output.relative_to(project) == Path("runs/quick/11_tiny/v.ipynb")
    assert left() == ["v.csv", "v.ipynb", "v.json", "v.log"]
    executed = nbformat.read(output, as_version=4)
    assert f"lr is 0.0001 in {project.resolve()}" in executed.cells[-1].outputs[0].text
    assert executed.metadata.papermill.output_path == "runs/quick/11_tiny/v.ipynb"
    expected = params_sha256({"lr": 1e-4, "ipc": 2})
    assert output.with_suffix(".csv").read_text().splitlines()[1] == f"1,abc,cpu,quick,{expected},1"

    about = json.loads(output.with_suffix(".json").read_text())
    assert about["notebook"] == "notebooks/11_tiny.ipynb" and len(about["notebook_sha256"]) == 64
    assert about["params"] == "params/quick/11_tiny/v.yaml" and about["params_sha256"] == expected
    assert (about["scale"], about["variant"], about["parameters"]) == ("quick", "v", {"lr": 1e-4, "ipc": 2})
    assert (about["seeds"], about["dataset_sha256"], about["device"]) == ([0, 1], ["abc"], ["cpu"])
    assert about["peak_memory_mb"] > 256 and about["wall_seconds"] > 0 and about["started"]
    assert {"commit", "dirty", "lock_sha256", "python", "platform", "packages"} <= about.keys()

    printed = capfd.readouterr().err
    assert "[quick/11_tiny/v] lr: YAML reads '1e-4' as text" in printed
    assert "[quick/11_tiny/v] cell 4/4: import csv" in printed
    assert "[quick/11_tiny/v] lr is 0.0001" in printed


FAILURES = {
    "error": (
        ["print('before')", "def f():\n    raise ValueError('no')\nf()", "1"],
        "cell 4/5 (def f():)",
        "Error: no",
    ),
    "killed": (["print('before')", KILL, "print('after')"], "cell 4/5 (import os, signal)", "likely out of memory"),
    "killed_last": (["print('before')", KILL], "cell 4/4 (import os, signal)", "likely out of memory"),
    "exit": (["print('before')", "import sys; sys.exit(0)", "1"], "cell 4/5 (import sys", "left the rest"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_failure_names_its_cell_and_leaves_only_the_failed_copy(project, case):
    cells, where, what = FAILURES[case]
    old = Path("runs/quick/11_tiny")
    old.mkdir(parents=True)
    for suffix in (".ipynb", ".json", ".csv"):
        (old / f"v{suffix}").write_text("of an older run")
    result = CliRunner().invoke(app, ["run", "--quiet", *map(str, make("x = 1", *cells))])
    assert result.exit_code == 2
    message = result.stderr[result.stderr.index("vdd: ") :]
    assert f"quick/11_tiny/v failed in {where}" in message and what in message
    assert "runs/quick/11_tiny/v.failed.ipynb" in message and "Traceback" not in message
    assert len(message.splitlines()) == 3
    assert left() == ["v.failed.ipynb", "v.log"]
    code = [c for c in nbformat.read(old / "v.failed.ipynb", as_version=4).cells if c.cell_type == "code"]
    assert code[1].outputs[0].text == "before\n"
    if case == "killed":
        assert code[2].outputs[-1].ename == "KernelDied"
        assert [c.metadata.papermill.status for c in code] == ["completed", "completed", "failed", "pending"]


def command(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "vddlib.cli", "run", *map(str, arguments)], stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background inherits 'ignore'
    )  # fmt: skip


def test_figures_of_a_whole_run_take_the_place_of_the_last_ones(project):
    write = (
        "import json, os, time; from pathlib import Path\n"
        "folder = Path(os.environ['VDD_RUN'], 'figures'); folder.mkdir()\n"
        "(folder / 'a.png').write_text(str(k))\n"
        "(folder / 'a.json').write_text(json.dumps({'k': k // 2, 'time': time.time()}))\n"
        "if k == 3: raise ValueError('late')"
    )
    place = Path("figures/quick/11_tiny/v")
    paths = make("k: int = 0", write, params="k: 0\n")
    runner.run(*paths)
    first = (place / "a.json").read_text()
    (place / "stale.png").write_text("of an older notebook")
    paths[1].write_text("k: 1\n")
    runner.run(*paths)
    assert sorted(p.name for p in place.iterdir()) == ["a.json", "a.png"]
    assert (place / "a.png").read_text() == "1" and (place / "a.json").read_text() == first  # only its time had changed
    paths[1].write_text("k: 3\n")
    with pytest.raises(VddError, match="late"):
        runner.run(*paths)
    assert (place / "a.png").read_text() == "1"  # a failed run changes no figure


def test_sets_of_a_whole_run_are_kept_and_those_of_a_failed_one_are_not(project):
    keep = (
        "import torch; from vddlib.distillers import DistilledSet\n"
        "from vddlib.distillers.stored.clips import StoredClips; from vddlib.notebook import outputs\n"
        "content = StoredClips(torch.full((2, 4, 8, 8, 3), k, dtype=torch.uint8), torch.zeros(3), torch.ones(3))\n"
        "card = {'method': 'random', 'params': {}}\n"
        "outputs.keep({seed: DistilledSet(content, torch.tensor([0, 1]), ('a', 'b'), card) for seed in range(2 - k)})\n"
        "if k == 2: raise ValueError('late')"
    )
    paths, kept = make("k: int = 0", keep, params="k: 0\n"), Path("runs/quick/11_tiny/v.sets")
    runner.run(*paths)
    assert sorted(path.name for path in kept.iterdir()) == ["random_seed0", "random_seed1"]
    paths[1].write_text("k: 1\n")
    runner.run(*paths)
    assert [path.name for path in kept.iterdir()] == ["random_seed0"]
    assert DistilledSet.load(kept / "random_seed0").pixels.max() == 1
    paths[1].write_text("k: 2\n")
    with pytest.raises(VddError, match="late"):
        runner.run(*paths)
    assert not kept.exists()


def test_four_at_once(project):
    variants = [make("ipc = 1", "print(ipc * 11)", params=f"ipc: {i}", variant=f"v{i}") for i in range(1, 5)]
    running = [command(*variant) for variant in variants]
    for process in running:
        _, printed = process.communicate()
        assert process.returncode == 0, printed
    for i in range(1, 5):
        executed = nbformat.read(f"runs/quick/11_tiny/v{i}.ipynb", as_version=4)
        assert executed.cells[-1].outputs[0].text == f"{i * 11}\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_in_the_middle_and_run_again(project, number):
    cell = "import os, time\nprint('pid', os.getpid(), flush=True)\ntime.sleep(seconds)"
    arguments = make("seconds = 0", cell, params="seconds: 600")
    process, log = command(*arguments), Path("runs/quick/11_tiny/v.log")
    while not (log.exists() and "\npid " in log.read_text()):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.1)
    process.send_signal(number)
    _, printed = process.communicate()
    assert process.returncode == 128 + number
    assert printed.splitlines()[-1].startswith("vdd: stopped") and "Traceback" not in printed
    assert left() == ["v.log"]
    with pytest.raises(ProcessLookupError):
        os.kill(int(log.read_text().split("\npid ")[1].split()[0]), 0)
    if number == signal.SIGINT:
        arguments[1].write_text("seconds: 0")
        assert runner.run(*arguments, quiet=True).is_file()
        assert left() == ["v.ipynb", "v.json", "v.log"]


def test_the_same_run_twice_at_once_is_refused(project):
    arguments = make("x = 1")
    Path("runs/quick/11_tiny").mkdir(parents=True)
    with FileLock("runs/quick/11_tiny/.v.lock"), pytest.raises(VddError, match="by another `vdd run`"):
        runner.run(*arguments)


def test_full_disk_is_one_line_and_leaves_nothing(project, monkeypatch):
    def full(job, *_):
        job.output.write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(job.output))

    monkeypatch.setattr(runner, "_execute", full)
    result = CliRunner().invoke(app, ["run", "--quiet", *map(str, make("x = 1"))])
    assert result.exit_code == 2
    assert "vdd: the disk is full while writing" in result.stderr.splitlines()[-1]
    assert left() == ["v.log"]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
@pytest.mark.parametrize(("call", "part"), [("mkdir", "runs"), ("open", ".v.lock"), ("mkdir", ".v.partial")])
def test_runs_that_cannot_be_written_are_one_line(project, monkeypatch, number, call, part):
    real = getattr(os, call)

    def refused(path, *arguments, **named):
        if Path(path).name == part:
            raise OSError(number, os.strerror(number), str(path))
        return real(path, *arguments, **named)

    arguments = make("x = 1")
    monkeypatch.setattr(os, call, refused)
    result = CliRunner().invoke(app, ["run", *map(str, arguments)])
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    assert f"{part}: cannot be written ({os.strerror(number)}); this run goes to runs/quick/11_tiny/" in line


def test_a_cell_that_cannot_read_the_cache_is_told_what_to_do(project, monkeypatch):
    monkeypatch.setenv("VDD_CACHE", str(project / "theirs"))
    cell = "import errno, os\nraise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.environ['VDD_CACHE'] + '/a')"
    with pytest.raises(
        runner.RunFailed, match="theirs/a'; this is in the cache: set VDD_CACHE to a folder of your own"
    ):
        runner.run(*make("x = 1", cell), quiet=True)
    with pytest.raises(runner.RunFailed) as error:
        runner.run(*make("x = 1", cell.replace("VDD_CACHE", "VDD_RUN")), quiet=True)
    assert "VDD_CACHE" not in str(error.value).splitlines()[1]


def test_kernel_sockets_are_private_files(tmp_path):
    from vddlib.notebook.kernel import new_kernel

    assert new_kernel(Path("/tmp/x")).transport == ("tcp" if os.name == "nt" else "ipc")
    assert new_kernel(Path("/tmp", "x" * 100)).transport == "tcp", "a socket's path may not be that long"
