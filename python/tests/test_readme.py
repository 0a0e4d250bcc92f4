# SPDX-License-Identifier: MIT
"""The example of README.md, with the output that it shows."""

import doctest

import pytest
from conftest import ROOT, runtime


@runtime
def test_the_example(tmp_path, monkeypatch):
    pytest.importorskip("numpy")
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    (tmp_path / "build").mkdir()
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testfile(str(ROOT / "README.md"), module_relative=False)
    assert failed == 0 and tried >= 6
