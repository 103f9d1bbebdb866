"""What one params file asks to be computed: `Plan` has its values, and the parts that notebooks share as `Work`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vddlib.core.errors import VddError
from vddlib.datasets.catalog import CATALOG
from vddlib.distillers.matching.mtt import MTTOptions
from vddlib.evaluation.protocols import PROTOCOLS
from vddlib.notebook.flops import Forward, of_model

# Forward passes that one clip costs: looked at; its pixels learned through a frozen network (a backward pass without weights);
# a network's weights learned from it; differentiated through its gradient (three, and their backward pass of six); the same
# in an unrolled step, which is walked before it is walked back.
LOOK, FROZEN, LEARN, SECOND_ORDER, UNROLLED = 1, 2, 3, 9, 12
AT_ONCE = 512  # distilled clips whose graph is in memory together, in DM and IDTD (`clips_at_once`)
# Videos, classes, and features of a video in the mean, at the rate that MS-TCN sees.
LONG_VIDEOS = {"50salads": (50, 19, 5800), "gtea": (28, 11, 1100), "breakfast": (1712, 48, 2100)}
SGD, ADAM = 3, 4  # copies of the weights: themselves, their gradient, and what the optimiser keeps


@dataclass(frozen=True)
class Work:
    """`clips` clips, each at `passes` forward passes of a network; `together` of them have their graph in memory at once."""

    what: str
    network: Forward
    clips: float
    passes: float = LEARN
    together: int = 1
    copies: int = SGD

    @property
    def flops(self) -> float:
        """Floating-point operations."""
        return self.clips * self.passes * self.network.flops

    @property
    def memory(self) -> float:
        """Bytes on the device: weights, their companions, and what backward passes keep."""
        return self.network.weights * self.copies + self.together * self.network.kept


class Plan:
    """The values of one params file with the defaults of its notebook, and the dataset's published counts.

    Raises VddError for a dataset that is not in the catalogue.
    """

    def __init__(self, values: Mapping[str, Any]):
        self.p = dict(values)
        name = self.p["dataset"]
        if name not in CATALOG and name not in LONG_VIDEOS:
            raise VddError(f"how many videos {name} has is not known: its work cannot be counted")
        self.classes, self.train, self.test = 0, 0, 0
        if name in CATALOG:
            self.classes, (self.train, self.test) = CATALOG[name].num_classes, CATALOG[name].counts
        self.seeds = len(self.p["seeds"])
        self.p.setdefault("protocol", "D" if "method" in self.p else "A")  # notebooks of one paper do not ask

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["p"][name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def clips(self) -> int:
        """Of a set."""
        return self.classes * self.p.get("ipc", 0)

    def real(self, options: Mapping[str, Any], usual: int = 64) -> float:
        """Real clips per class and iteration: no more than a class has."""
        return min(options.get("batch_real", usual), self.train / self.classes)

    def network(self, name: str = "", frames: int = 0, **options: Any) -> Forward:
        """The student of the protocol, or the network `name`."""
        if not name:
            name = self.p.get("student") or PROTOCOLS[self.protocol].student
            options = {**self.student_options, **options}
        hashable = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
        return of_model(name, self.classes, frames or self.frames, self.size, tuple(sorted(hashable.items())))

    def trained(self, what: str, network: Forward, count: float, epochs: int, clips: float, batch: int) -> Work:
        """`count` networks, each over `epochs` passes of `clips` clips."""
        return Work(what, network, count * epochs * clips, LEARN, int(min(batch, clips)))

    def students(
        self, sets: float = 1, clips: float = 0, network: Forward | None = None, epochs: int = 0
    ) -> Iterator[Work]:
        """Students of every seed on so many sets, and their tests."""
        network = network or self.network()
        protocol = PROTOCOLS[self.protocol]
        size, epochs = clips or self.clips, epochs or self.epochs
        yield self.trained("students", network, sets * self.seeds, epochs, size, self.batch_size)
        yield Work("tests", network, sets * self.seeds * self.test * protocol.test_passes, LOOK)

    def teachers(self, count: int, epochs: int, batch: int, network: Forward) -> Work:
        """Networks trained on the whole training split."""
        return self.trained("teachers", network, count, epochs, self.train, batch)

    def dm(self, options: Mapping[str, Any], network: Forward, per_clip: int = 1, sets: int = 0) -> Iterator[Work]:
        """DM's sets (one of each seed, or `sets`): real clips looked at, distilled ones, `per_clip` views of each, moved."""
        steps, seen = (sets or self.seeds) * options["iterations"], self.clips * per_clip
        yield Work("real clips", network, steps * self.classes * self.real(options), LOOK)
        yield Work("distilled clips", network, steps * seen, FROZEN, min(AT_ONCE, seen), ADAM)

    def mtt(self, options: Mapping[str, Any], experts: Mapping[str, Any], network: Forward) -> Iterator[Work]:
        """MTT's experts, over the epochs that are read, and its unrolled students."""
        epochs = options.get("max_start_epoch", 10) - 1 + options.get("expert_epochs", 1)
        batch = experts.get("batch_size", 256)
        yield self.trained("experts", network, experts.get("count", 30), epochs, self.train, batch)
        walked = min(options.get("batch_syn", 256), self.clips)
        unrolled = options.get("syn_steps", 10)
        steps = self.seeds * options["iterations"] * unrolled
        # The graph of a gradient holds about three times what a forward pass keeps.
        graph = 3 * walked * network.kept
        room = 1e9 * options.get("graph_gb", MTTOptions.model_fields["graph_gb"].default)
        kept = min(unrolled, room // graph)  # steps whose graph is kept need no second walk
        passes = UNROLLED - LEARN * kept / unrolled
        yield Work("unrolled students", network, steps * walked, passes, round(3 * walked * max(1, kept)))

    def frepo(self, options: Mapping[str, Any], network: Forward) -> Iterator[Work]:
        """FRePo's regressions, and the training of the pool's networks."""
        steps = self.seeds * options["iterations"]
        yield Work("real clips", network, steps * self.classes * self.real(options, 10), LOOK)
        # A regression through a frozen network, and a step of its own training.
        yield Work("distilled clips, pool", network, steps * self.clips, FROZEN + LEARN, self.clips, ADAM * 10)

    def static_dc(self, options: Mapping[str, Any], images: int) -> Iterator[Work]:
        """Static-DC's images: gradients of real frames, and gradients through those of `images` distilled ones."""
        network = self.network("convnet", frames=1, **self.p.get("image_network", {}))
        steps, batch = self.seeds * options["iterations"], self.real(options)
        yield Work("real frames", network, steps * self.classes * batch, LEARN, round(batch))
        yield Work("distilled images", network, steps * images, SECOND_ORDER, 3 * max(1, images // self.classes))

    def teacher_network(self, frames: int = 0) -> Forward:
        """TSGF's teacher."""
        return self.network("minic3d_bn", frames=frames, **self.p.get("student_options", {}))

    def tsgf(self, options: Mapping[str, Any], sets: float = 0, clips: int = 0, frames: int = 0) -> Work:
        """The recovery of TSGF's sets (one of each seed, or `sets`) from a frozen teacher."""
        steps = (sets or self.seeds) * options.get("iterations", 1000)
        network, together = self.teacher_network(frames), min(100, self.classes)
        return Work("recovered clips", network, steps * (clips or self.clips), FROZEN, together, ADAM)
