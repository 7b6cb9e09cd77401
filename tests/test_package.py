"""What `import skdistill` offers."""

import skdistill


def test_all_names_are_listed_and_there():
    assert set(skdistill.__all__) <= set(dir(skdistill))
    for name in skdistill.__all__:
        assert getattr(skdistill, name) is not None
