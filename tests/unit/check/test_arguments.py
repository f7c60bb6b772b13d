"""The arguments of ``python -m dqtw.check``: nothing is pushed before all of them are known to be right."""

import pytest

from dqtw.check.__main__ import main


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("--seconds=-3", "'-3' is not a number of seconds greater than 0"),
        ("--seconds=0", "'0' is not a number of seconds greater than 0"),
        ("--seconds=nan", "'nan' is not a number of seconds greater than 0"),
        ("--seconds=inf", "'inf' is not a number of seconds greater than 0"),
        ("--seconds=1m", "'1m' is not a number of seconds greater than 0"),
        ("--clients=0", "'0' is not a whole number of at least 1"),
        ("--clients=many", "'many' is not a whole number of at least 1"),
    ],
)
def test_a_number_that_makes_no_run_is_refused(capsys: pytest.CaptureFixture[str], argument: str, said: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", "--http", "127.0.0.1:1", argument])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
