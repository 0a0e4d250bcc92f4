# SPDX-License-Identifier: MIT
"""Boxes, average precision, comparison and search: the program's numbers."""

import json

import pytest
from conftest import MODEL, PROFILE, SHAPES, SKIP, images, runtime

import lbw

EVAL = SHAPES / "eval"
pytestmark = runtime


@pytest.fixture(scope="module")
def small():
    return lbw.quantize(MODEL, bits=4, calibration=SHAPES / "calib", num_samples=4, profile=PROFILE)


def test_boxes_are_the_programs(program):
    picture = EVAL / "eval21.jpg"
    theirs = json.loads(program("detect", MODEL, picture, "-p", PROFILE, "--json"))
    (ours,) = lbw.detect(MODEL, picture, profile=PROFILE)
    assert ours.image == str(picture)
    assert [b.name for b in ours] == [b["class"] for b in theirs]
    for mine, other in zip(ours, theirs):  # printed with nine digits
        assert [mine.score, mine.x, mine.y, mine.width, mine.height] == pytest.approx(
            [other["score"], *other["box"]], rel=1e-8)
    assert ours.boxes[0].xyxy[2] == ours.boxes[0].x + ours.boxes[0].width


def test_a_folder_and_a_list_of_pictures():
    with lbw.Detector(MODEL, profile=PROFILE, score=0.3) as detector:
        one = detector(EVAL / "eval03.jpg")
    folder = lbw.detect(MODEL, EVAL, profile=PROFILE, score=0.3)
    assert len(folder) == 40 and folder[3] == one
    several = lbw.detect(MODEL, [EVAL / "eval03.jpg", EVAL / "eval04.jpg"], profile=PROFILE,
                         score=0.3)
    assert several == folder[3:5]


def test_an_array_is_a_picture():
    numpy = pytest.importorskip("numpy")
    pil = pytest.importorskip("PIL.Image")
    path = EVAL / "eval21.jpg"
    array = numpy.asarray(pil.open(path).convert("RGB"))
    (ours,) = lbw.detect(MODEL, array, profile=PROFILE)
    (file,) = lbw.detect(MODEL, path, profile=PROFILE)
    assert ours.image is None
    assert [b.name for b in ours] == [b.name for b in file]


def test_evaluation_is_the_programs(program, small, tmp_path):
    path = tmp_path / "small.onnx"
    path.write_bytes(bytes(small))
    theirs = json.loads(program("eval", MODEL, path, "-p", PROFILE, "-i", EVAL, "-l", EVAL,
                                "-r", MODEL, "-n", 10, "--json", "--per-class"))
    ours = lbw.evaluate([MODEL, small], EVAL, EVAL, profile=PROFILE, reference=MODEL,
                        max_images=10)
    assert ours.num_images == theirs["images"] == 10
    for mine, other in zip(ours, theirs["models"]):
        assert [mine.size, mine.labels.ap, mine.labels.ap75, mine.agreement.ap50] == (
            pytest.approx([other["size"], other["labels"]["ap"], other["labels"]["ap75"],
                           other["agreement"]["ap50"]], rel=1e-8))
        assert (mine.num_lost, mine.num_invented) == (
            other["agreement"]["lost"], other["agreement"]["invented"])
        assert mine.classes.keys() == other["classes"].keys()
    rows = ours.to_rows()
    assert rows[1]["ap"] == ours[1].labels.ap and rows[0]["model"] == str(MODEL)
    assert "<table>" in ours._repr_html_()
    json.dumps(ours.to_dict())


def test_comparison_is_the_programs(program, small, tmp_path):
    numpy = pytest.importorskip("numpy")
    path, data = tmp_path / "small.onnx", tmp_path / "x.npy"
    path.write_bytes(bytes(small))
    numpy.save(data, images(2))
    theirs = json.loads(program("compare", MODEL, path, "-d", data, "--json"))
    ours = lbw.compare(MODEL, small, data=images(2))
    assert ours.num_samples == 2
    (row,), (other,) = ours, theirs["outputs"]
    assert row.name == other["output"]
    assert row.max_error == pytest.approx(other["max_error"], rel=1e-8)


def test_search_is_the_programs(program):
    text = program("search", MODEL, "-i", EVAL, "-l", EVAL, "-p", PROFILE, "-c",
                   SHAPES / "calib", "-n", 2, "--trials", 2, "--max-images", 4, "-q",
                   "--skip", SKIP)
    seen = []
    ours = lbw.search(MODEL, EVAL, EVAL, profile=PROFILE, calibration=SHAPES / "calib",
                      num_samples=2, trials=2, max_images=4, skip=SKIP, on_trial=seen.append)

    def plan(text):  # without the log, which holds times
        return [line for line in text.splitlines() if not line.startswith("#")]

    assert plan(ours.plan) == plan(text)
    assert seen and list(ours) == seen and seen[-1].number == len(seen)
    result = lbw.quantize(MODEL, calibration="none", plan=ours)
    assert {layer.bits for layer in result} - {None}


def test_bench(small):
    rows = lbw.bench([MODEL, small], runs=3, threads=1)
    assert [row.name for row in rows] == [str(MODEL), "model"]
    assert rows[0].speed.median == 1 and rows[1].seconds.low <= rows[1].seconds.median


def test_the_operator_library_fits_the_runtime():
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    try:
        path = lbw.native_library()
    except lbw.OnnxRuntimeError as error:
        pytest.skip(str(error))
    if tuple(map(int, onnxruntime.__version__.split(".")[:2])) < (1, 17):
        pytest.skip(f"ONNX Runtime {onnxruntime.__version__} is older than the library")
    options.register_custom_ops_library(path)
    onnxruntime.InferenceSession(str(MODEL), options, providers=["CPUExecutionProvider"])


def test_search_takes_models_and_samples_from_memory():
    ours = lbw.search(MODEL.read_bytes(), EVAL, profile=PROFILE, calibration=images(2),
                      trials=1, max_images=2, skip=SKIP)
    assert ours.best.number == 1
