from tests.soak.judge import Judge

def test_x() -> None:
    assert Judge
