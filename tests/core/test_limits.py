"""What the brackets of a parameter's comment say, and which values they refuse."""

import pytest

from vddlib.core.errors import VddError
from vddlib.core.limits import Limits
from vddlib.core.params import check_params, declared_parameters

CELL = """\
frames: int = 8  # frames in a clip [1 to 1000]
lr: float = 0.01  # learning rate [above 0 to 1.0e3]
momentum: float = 0.5  # of SGD [0 to below 1]
sampling: str = "stride"  # stride, even (SSv2) or middle [stride, even, middle]
device: str = "auto"  # cuda where there is one [auto, cpu, cuda, cuda:N]
protocol: str = "A"  # how students learn [A, A', A-regions, D+]
seeds: list[int] = [0, 1]  # a student each [0 to 2147483647; not empty; each once]
threshold: float | None = None  # least score [0 to 1]
names: list[str] = []  # [] skips it
options: dict = {
    "widths": [32, 64],
}  # of the network [0 to 4096]
methods: dict = {"random": {}}  # by name [not empty]
"""


def refusals(**values):
    with pytest.raises(VddError) as error:
        check_params(values, declared_parameters(CELL), "p.yaml", "n.ipynb")
    assert "\n" not in str(error.value)
    return str(error.value).removeprefix("p.yaml does not fit n.ipynb: ").split("; ")


def test_brackets_are_read_from_comments():
    found = {name: parameter.limits for name, parameter in declared_parameters(CELL).items()}
    assert found["frames"] == Limits(1, 1000)
    assert found["lr"] == Limits(0, 1000.0, above=True)
    assert found["momentum"] == Limits(0, 1, below=True)
    assert found["sampling"].choices == ("stride", "even", "middle")
    assert found["protocol"].choices == ("A", "A'", "A-regions", "D+")
    assert found["seeds"] == Limits(0, 2147483647, filled=True, distinct=True)
    assert found["options"] == Limits(0, 4096), "of a value over several lines it stands on the last"
    assert found["names"] == Limits() and found["methods"] == Limits(filled=True)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"frames": 0}, "frames must be 1 to 1000, not 0"),
        ({"frames": -3}, "frames must be 1 to 1000, not -3"),
        ({"frames": 1001}, "frames must be 1 to 1000, not 1001"),
        ({"lr": 0.0}, "lr must be above 0 to 1000.0, not 0.0"),
        ({"momentum": 1.0}, "momentum must be 0 to below 1, not 1.0"),
        ({"sampling": "strides"}, "sampling must be one of stride, even, middle, not 'strides'"),
        ({"device": "meta"}, "device must be one of auto, cpu, cuda, cuda:N, not 'meta'"),
        ({"device": "cuda:"}, "device must be one of auto, cpu, cuda, cuda:N, not 'cuda:'"),
        ({"seeds": []}, "seeds must not be empty"),
        ({"seeds": [3, 1, 3]}, "seeds must name each once, and 3 stands there twice"),
        ({"seeds": [0, -1]}, "seeds must be 0 to 2147483647, not -1"),
        ({"methods": {}}, "methods must not be empty"),
        ({"options": {"widths": [32, 10**9]}}, "options must be 0 to 4096, not 1000000000"),
        ({"options": {"widths": ["1e9"]}}, "options must be 0 to 4096, not '1e9'"),
        ({"threshold": 2.0}, "threshold must be 0 to 1, not 2.0"),
    ],
)
def test_values_outside_are_refused_by_name(values, said):
    assert refusals(**values) == [said]


def test_all_wrong_values_are_named_at_once():
    said = refusals(frames=0, lr="fast", sampling="x" * 1000, seeds=[])
    assert [line.split()[0] for line in said] == ["frames", "lr", "sampling", "seeds"]
    assert max(map(len, said)) < 200, "a long value is shortened"


def test_values_within_are_taken():
    values = {
        "frames": 1, "lr": 1000.0, "momentum": 0.0, "device": "cuda:3", "protocol": "D+", "threshold": None,
        "options": {"widths": [0, 4096], "norm": "batch", "bias": True}, "names": [],
    }  # fmt: skip
    assert check_params(values, declared_parameters(CELL), "p.yaml", "n.ipynb") == (values, [])


@pytest.mark.parametrize("said", ["1 - 9", "from 1 to 9", "1 to", "above 0", "0 to 9; perhaps", "one two", ""])
def test_brackets_that_say_nothing_are_named(said):
    with pytest.raises(VddError, match=r"the comment of k: .* says no limits; write"):
        declared_parameters(f"k: int = 1  # how many [{said}]")
