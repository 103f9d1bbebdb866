"""Pictures of methods: every arrow between boxes that are there, the way back dotted, what is updated coloured."""

import pytest
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from vddlib.core.errors import VddError
from vddlib.notebook.flows import FLOWS, draw
from vddlib.plots.flow import UPDATED, _rim


@pytest.mark.parametrize("method", FLOWS)
def test_every_arrow_is_between_boxes_and_the_gradient_reaches_what_it_updates(method):
    flow = FLOWS[method]
    ends = {name for arrow in (*flow.forward, *flow.back) for name in arrow}
    assert ends == set(flow.boxes) and set(flow.updated) <= set(flow.boxes)
    reached = {end for _, end in flow.back}
    assert set(flow.updated) <= reached  # nothing is updated that no gradient reaches
    assert len({(box.column, box.row) for box in flow.boxes.values()}) == len(flow.boxes)


@pytest.mark.parametrize("method", FLOWS)
def test_what_is_drawn(method):
    flow, patches = FLOWS[method], draw(method).axes[0].patches
    arrows = [one for one in patches if isinstance(one, FancyArrowPatch)]
    assert [one.get_linestyle() for one in arrows].count(":") == len(flow.back)
    assert len(arrows) == len(flow.back) + len(flow.forward)
    boxes = [one for one in patches if isinstance(one, FancyBboxPatch)]
    coloured = [one for one in boxes if one.get_linewidth() > 1]
    assert len(boxes) == len(flow.boxes) and len(coloured) == len(flow.updated)
    assert UPDATED.startswith("#")


def test_arrows_begin_at_the_rim():
    assert _rim((0, 0), (4, 0)) == pytest.approx((1.55 / 2, 0))
    assert _rim((0, 0), (0, -2)) == pytest.approx((0, -0.31))


def test_a_method_without_a_picture_is_named():
    with pytest.raises(VddError, match="tsgff"):
        draw("tsgff")
