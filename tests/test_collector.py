"""The collector is off while something is loaded, and then as it was."""

import gc

import pytest

from toffee_pipeline.collector import collector_paused


def test_it_is_back_after_an_error_and_stays_off_where_it_was_off():
    with pytest.raises(ImportError), collector_paused():
        assert not gc.isenabled()
        raise ImportError
    assert gc.isenabled()
    with collector_paused():
        with collector_paused():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
