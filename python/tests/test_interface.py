# SPDX-License-Identifier: MIT
"""The interface: every option of the program, type hints, docstrings."""

import importlib.util
import inspect
import os
import pathlib
import re
import subprocess
import sys

import pytest
from conftest import ROOT

import lbw

FUNCTIONS = {
    "inspect": lbw.inspect, "plan": lbw.plan, "quantize": lbw.quantize, "tune": lbw.tune,
    "search": lbw.search, "compare": lbw.compare, "bench": lbw.bench, "eval": lbw.evaluate,
    "detect": lbw.detect, "convert": lbw.convert, "expand": lbw.expand, "grids": lbw.grids,
    "profiles": lbw.profiles,
}
# Options whose argument has another name.
NAMES = {
    "all": "all_weights", "calib": "calibration", "external": "external_data",
    "group": "per_channel", "no-fold": "keep_batchnorm", "no-native": "native",
    "no-sequential": "independent", "samples": "num_samples",
}
PREPROCESS = {"size", "resize", "color", "mean", "std", "pad", "layout", "multiple"}
# Options that need no argument, and why.
INSTEAD = {
    "help": "help()", "quiet": "nothing is printed", "json": "to_dict()",
    "layers": "layers of the result", "per-class": "classes of the result",
    "voc": "voc_11 and voc_all of the result", "digest": "digest of the result",
    "report": "_repr_html_()", "terms": 'bits="4x2"', "shift": 'bits="4x2d2"',
    "rtol": "relative_error of the result's rows", "log": "on_step",
    "save": "Detector; samples/recipes/pycocotools_eval.py",
    # drawing needs cairo, which wheels leave out
    "title": "the program",
}
OUTPUT_INSTEAD = {"detect": "the program", "search": "plan of the result"}
REFERENCE_INSTEAD = {"detect": "evaluate(reference=…)"}


def options(program, command):
    return re.findall(r"^ +(?:-., )? *--([a-z-]+)", program(command, "--help"), re.MULTILINE)


@pytest.mark.parametrize("command", FUNCTIONS)
def test_every_option_has_an_argument(program, command):
    arguments = inspect.signature(FUNCTIONS[command]).parameters
    found = options(program, command)
    assert "help" in found
    for option in found:
        if option in PREPROCESS and "preprocess" in arguments:
            continue
        if option in INSTEAD or (option == "output" and command in OUTPUT_INSTEAD) or (
                option == "reference" and command in REFERENCE_INSTEAD):
            continue
        name = NAMES.get(option, option.replace("-", "_"))
        assert name in arguments, f"lbw {command} --{option}"


def documented(name, text):
    return re.search(rf"\b{name}\b", text) is not None


def test_every_function_and_argument_is_documented():
    shared = inspect.getdoc(lbw.quantize) + inspect.getdoc(lbw.Detector)
    missing = []
    for name in lbw.__all__:
        thing = getattr(lbw, name)
        text = inspect.getdoc(thing)
        assert text and not text.startswith(f"{name}("), name
        if not inspect.isfunction(thing):
            continue
        for argument in inspect.signature(thing).parameters:
            if not documented(argument, text) and not documented(argument, shared):
                missing.append(f"{name}({argument})")
    assert not missing


def test_every_function_has_type_hints():
    for name in lbw.__all__:
        thing = getattr(lbw, name)
        if inspect.isfunction(thing):
            signature = inspect.signature(thing)
            assert signature.return_annotation is not inspect.Signature.empty
            for argument in signature.parameters.values():
                assert argument.annotation is not inspect.Parameter.empty, f"{name}({argument})"
    folder = pathlib.Path(lbw.__file__).parent
    assert (folder / "py.typed").exists() and (folder / "_lbw.pyi").exists()


@pytest.mark.skipif(not importlib.util.find_spec("mypy"), reason="mypy is not installed")
def test_mypy_accepts_a_typed_project(tmp_path):
    folder = pathlib.Path(lbw.__file__).parents[1]
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path)]
    environment = {**os.environ, "MYPYPATH": str(folder)}
    if "site-packages" in folder.parts:  # found there, by its py.typed
        environment.pop("MYPYPATH")
    consumer = ROOT / "python/tests/consumer.py"
    done = subprocess.run([*command, str(consumer)], env=environment,
                          stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stdout
    # a mistake is one: the hints are read
    wrong = tmp_path / "wrong.py"
    wrong.write_text("import lbw\nlbw.quantize('a.onnx', bpw='4')\nlbw.quantize(4.5)\n"
                     "lbw.quantize('a.onnx').kept.num_lost\n")
    done = subprocess.run([*command, str(wrong)], env=environment, stdout=subprocess.PIPE,
                          text=True)
    assert [line.split(":")[1] for line in done.stdout.splitlines() if ": error:" in line] == [
        "2", "3", "4"], done.stdout
