# SPDX-License-Identifier: MIT
"""The example of README.md, with the output that it shows."""

import doctest
import re

import pytest
from conftest import ROOT, runtime

NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


class Close(doctest.OutputChecker):
    """The same words; numbers as close as other processors compute them.

    AP and scores within .03, pixels within 3, bytes within 1 %: ONNX Runtime and BLAS add up in
    another order where they have other vector instructions.
    """

    def check_output(self, want, got, optionflags):
        if NUMBER.sub("#", want) != NUMBER.sub("#", got):
            return False
        for a, b in zip(NUMBER.findall(want), NUMBER.findall(got)):
            wanted, found = (float(x.replace(",", "")) for x in (a, b))
            if abs(wanted - found) > (0.03 if "." in a else max(3, 0.01 * wanted)):
                return False
        return True


def test_close_tells_wrong_from_close():
    check = Close().check_output
    assert check("cross 0.9 at 53, 106\n", "cross 0.9 at 52, 107\n", 0)
    assert not check("cross 0.9 at 53, 106\n", "cross 0.9 at 43, 106\n", 0)
    assert not check("cross 0.9 at 53, 106\n", "ring 0.9 at 53, 106\n", 0)
    assert not check("AP 0.67\n", "AP 0.60\n", 0)


@runtime
def test_the_example(tmp_path, monkeypatch):
    pytest.importorskip("numpy")
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    (tmp_path / "build").mkdir()
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "README.md").read_text()
    example = doctest.DocTestParser().get_doctest(text, {}, "README.md", None, 0)
    runner = doctest.DocTestRunner(checker=Close())
    failed, tried = runner.run(example)
    assert failed == 0 and tried >= 6
