"""OptDistill's stages run in the tests' own process, but for the tests of the stages themselves."""

import pytest

from tests.conftest import in_process
from vddlib.distillers.optdistill import stages


@pytest.fixture(autouse=True)
def stages_in_this_process(request, monkeypatch):
    """A worker takes seconds to start, since it imports torch; what it does to a video is the same here."""
    if not request.module.__name__.endswith("test_stages"):
        monkeypatch.setattr(stages, "run_each", in_process)
