"""Stories about links, with the transcripts that are expected; see `link_script`."""

import os
from pathlib import Path

import pytest

from .link_script import run_script, scripts


@pytest.mark.parametrize("script", scripts(), ids=lambda path: path.stem)
def test_a_story_goes_as_written(script: Path) -> None:
    written = script.read_text()
    goes = "\n\n".join(run_script(written)) + "\n"
    if os.environ.get("DQTW_UPDATE"):
        script.write_text(goes)
    else:
        assert goes == written
