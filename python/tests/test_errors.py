# SPDX-License-Identifier: MIT
"""What goes wrong is an exception with the program's line, and leaves nothing behind."""

import pytest
from conftest import MODEL, PROFILE, SHAPES, SKIP, images, runtime

import lbw


def line(raised):
    text = str(raised.value)
    assert text and "\n" not in text
    return text


def test_the_line_is_the_programs(program, tmp_path):
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"this is no model")
    for model, kind in ((bad, lbw.FormatError), (tmp_path / "none.onnx", lbw.FileError)):
        with pytest.raises(kind) as raised:
            lbw.quantize(model, calibration="none")
        said = program("quantize", model, "-o", tmp_path / "out.onnx", "--calib", "none", ok=False)
        assert said == f"lbw: {line(raised)}"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.onnx"]


def test_kinds_are_pythons_too():
    assert issubclass(lbw.FormatError, ValueError)
    assert issubclass(lbw.ArgumentError, ValueError)
    assert issubclass(lbw.FileError, OSError)
    assert issubclass(lbw.OnnxRuntimeError, RuntimeError)
    assert issubclass(lbw.OutOfMemoryError, MemoryError)


@pytest.mark.parametrize(("options", "text"), [
    ({"bits": 7}, "bits: unknown grid '7'"),
    ({"bits": {"(": 4}}, "("),
    ({"encoding": "zip"}, "encoding: expected one of packed, dq, float"),
    ({"mu": "much"}, "mu: expected a number"),
    ({"mu": 7.0, "method": "threshold"}, ""),
    ({"num_samples": -1}, "num_samples: -1 is below 0"),
    ({"num_samples": 1.5}, "num_samples"),
    ({"profile": "yolo"}, "yolo"),
    ({"profile": {"extends": "yolox", "colour": "bgr"}}, "colour"),
    ({"preprocess": {"size": "41x"}}, "size: '41x' is not WIDTHxHEIGHT"),
    ({"preprocess": {"sizes": "41x41"}}, "sizes"),
    ({"calibration": 7}, "calibration: expected a folder"),
    ({"calibration": b"bytes"}, "calibration: expected a folder"),
    ({"plan": "4 real\n"}, "plan: line 1: expected GRID SCALE GROUP TENSOR"),
    ({"external_data": "a.data"}, "external_data: needs an output path"),
    ({"opset": 5}, "opset"),
    ({"encoding": "dq", "inline": True}, "inline: cannot be combined with encoding 'dq'"),
    ({"encoding": "float", "target": "any"}, "target: cannot be combined with encoding 'float'"),
    ({"external_threshold": 10}, "need external_data"),
])
def test_arguments(options, text):
    options.setdefault("calibration", "none")
    with pytest.raises((lbw.ArgumentError, lbw.FormatError)) as raised:
        lbw.quantize(MODEL, **options)
    assert text in line(raised)


def test_what_is_no_model():
    for model in (7, None, ["a.onnx"]):
        with pytest.raises(lbw.ArgumentError, match="model: expected a path"):
            lbw.inspect(model)
    with pytest.raises(lbw.FormatError):
        lbw.inspect(b"")
    with pytest.raises(lbw.ArgumentError, match="zero byte"):
        lbw.inspect("a\0b")


def test_the_folder_of_the_output_is_looked_at_first(tmp_path):
    with pytest.raises(lbw.FileError, match="cannot write"):
        lbw.quantize(MODEL, tmp_path / "no/where.onnx")


@runtime
def test_samples_that_do_not_fit():
    numpy = pytest.importorskip("numpy")
    cases = [
        (numpy.zeros((2, 3, 10, 10), numpy.float32), "input 'images': the array is 2x3x10x10"),
        ({"other": images(2), "more": images(2)}, "no array 'images'"),
        ([images(1)[0], numpy.zeros((1, 3, 8, 8))], "sample 1: input 'images'"),
        (numpy.zeros((2, 3, 192, 192), complex), "expected numbers"),
        ([], "no samples"),
        ({}, "no samples"),
        ([images(2)[:, 0]], "sample 0: holds 2 samples, expected one"),
        (iter([]), "no samples"),
    ]
    for samples, text in cases:
        with pytest.raises(lbw.ArgumentError) as raised:
            lbw.quantize(MODEL, bits=4, calibration=samples)
        assert text in line(raised)


@runtime
def test_exceptions_of_the_callers_own_come_through(tmp_path):
    class Mine(Exception):
        pass

    class Broken:
        def __len__(self):
            return 3

        def __getitem__(self, i):
            if i == 2:
                raise Mine("sample 2")
            return images(1)[0]

    def broken():
        yield images(1)[0]
        raise Mine("iterator")

    def progress(what, done, total):
        if done == 3:
            raise Mine(what)

    output = tmp_path / "out.onnx"
    for options in ({"calibration": Broken()}, {"calibration": broken()},
                    {"calibration": images(2), "progress": progress}):
        with pytest.raises(Mine):
            lbw.quantize(MODEL, output, bits=4, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_closed_detector_says_so():
    detector = lbw.Detector.__new__(lbw.Detector)
    with pytest.raises(lbw.ArgumentError):
        lbw.Detector(MODEL, profile="yolo")
    del detector


@runtime
def test_pictures_that_are_none():
    numpy = pytest.importorskip("numpy")
    with lbw.Detector(MODEL, profile=PROFILE) as detector:
        with pytest.raises(lbw.ArgumentError, match="expected height x width x 3"):
            detector(numpy.zeros((3, 4), numpy.uint8))
        with pytest.raises(lbw.FileError):
            detector("none.jpg")
    with pytest.raises(ValueError, match="closed"):
        detector("none.jpg")


def test_a_pattern_that_matches_nothing():
    """What the program warns of is a warning, at the line of the call."""
    with pytest.warns(UserWarning) as caught:
        lbw.quantize(MODEL, calibration="none", bits={"haed": 6, "head": 4}, skip="nosuchlayer")
    assert [str(w.message).partition(":")[0] for w in caught] == [
        "'haed=6' matches no weight", "'nosuchlayer' matches no weight",
        "rounded without calibration"]
    assert {w.filename for w in caught} == {__file__}


@runtime
def test_an_activation_that_is_not_there():
    with pytest.warns(UserWarning, match="'nosuchtensor' matches no activation"):
        lbw.plan(MODEL, bits=4, activations="int8", float_activations="nosuchtensor")


@runtime
def test_a_search_warns_too():
    with pytest.warns(UserWarning, match="'nosuchlayer' matches no weight") as caught:
        lbw.search(MODEL, SHAPES / "eval", SHAPES / "eval", profile=PROFILE, skip=[SKIP, "nosuchlayer"],
                   calibration="none", trials=1, max_images=4)
    assert sum("matches no weight" in str(w.message) for w in caught) == 1
