"""Boxes drawn into frames: thin, told apart, and with the picture left as it is everywhere else."""

import numpy as np

from vddlib.distillers.optdistill.boxes import COLOURS, DRAWN_HEIGHT, outlined

FRAME = np.full((60, 80, 3), 200, np.uint8)
FACTOR = DRAWN_HEIGHT // 60


def drawn(picture: np.ndarray, number: int = 0) -> np.ndarray:
    return (picture == COLOURS[number]).all(-1)


def test__small_frames_are_enlarged_and_the_picture_stays():
    picture = outlined(FRAME, [(20, 10, 30, 40)])
    assert picture.shape == (DRAWN_HEIGHT, 80 * FACTOR, 3)
    assert (FRAME == 200).all()  # the frame itself is not drawn into
    inside = picture[14 * FACTOR : 46 * FACTOR, 24 * FACTOR : 46 * FACTOR]
    assert (inside == 200).all()
    assert (picture != 200).any(-1).mean() < 0.08


def test__boxes_are_solid_and_crops_dashed():
    y, x = 10 * FACTOR, slice(22 * FACTOR, 48 * FACTOR)
    assert drawn(outlined(FRAME, [(20, 10, 30, 40)]))[y, x].all()
    dashes = drawn(outlined(FRAME, [], crops=[(20, 10, 30, 40)]))[y, x]
    assert 0.3 < dashes.mean() < 0.7


def test__a_box_is_seen_where_its_crop_has_the_same_edge():
    box, crop = (30, 10, 10, 40), (10, 10, 50, 40)
    for picture in (outlined(FRAME, [box], crops=[crop]), outlined(FRAME, [box, crop])):
        assert drawn(picture)[10 * FACTOR, 31 * FACTOR : 39 * FACTOR].all()


def test__large_frames_keep_their_size():
    large = np.zeros((720, 1280, 3), np.uint8)
    assert outlined(large, [(10, 10, 50, 50)]).shape == large.shape
