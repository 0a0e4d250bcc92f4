# SPDX-License-Identifier: MIT
"""The recipes of samples/recipes, each where its packages are installed."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as xml

import pytest
from conftest import MODEL, PROFILE, ROOT, SHAPES, runtime

import lbw

RECIPES = ROOT / "samples/recipes"
EVAL = SHAPES / "eval"


def recipe(name):
    """The module of a recipe."""
    spec = importlib.util.spec_from_file_location(name, RECIPES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def coco_labels(path):
    """The labels of the sample images as COCO has them; returns the number of images."""
    names = (SHAPES / "labels.txt").read_text().split()
    images, boxes = [], []
    for number, file in enumerate(sorted(EVAL.glob("*.xml"))):
        images.append({"id": number, "file_name": file.with_suffix(".jpg").name,
                       "width": 192, "height": 192})
        for thing in xml.parse(file).iter("object"):
            x0, y0, x1, y1 = (float(thing.find(f"bndbox/{k}").text)
                              for k in ("xmin", "ymin", "xmax", "ymax"))
            box = [x0 - 1, y0 - 1, x1 - x0 + 1, y1 - y0 + 1]
            if thing.find("name").text in names:
                boxes.append({"id": len(boxes) + 1, "image_id": number,
                              "iscrowd": int(thing.find("difficult").text),
                              "category_id": names.index(thing.find("name").text) + 1,
                              "bbox": box, "area": box[2] * box[3]})
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(names)]
    path.write_text(json.dumps({"images": images, "annotations": boxes,
                                "categories": categories}))
    return len(images)


@runtime
def test_ultralytics_export(tmp_path):
    """With Ultralytics' own export where it is installed, else with one that does the same."""
    onnx = pytest.importorskip("onnx")

    class Stand:
        def export(self, format):
            assert format == "onnx"
            model = onnx.load(str(MODEL))
            onnx.helper.set_model_props(model, {"names": "{0: 'a', 1: 'b'}", "stride": "16"})
            onnx.save(model, str(tmp_path / "model.onnx"))
            return str(tmp_path / "model.onnx")

    yolo = Stand()
    if importlib.util.find_spec("ultralytics"):
        import ultralytics

        os.chdir(tmp_path)
        yolo = ultralytics.YOLO("yolov8n.yaml")
    export = recipe("ultralytics_export").export
    size_of = os.path.getsize
    before = yolo.export(format="onnx")
    wanted, size = lbw.inspect(before).metadata, size_of(before)
    path = export(yolo, calibration=None, bits=4)
    assert lbw.inspect(path).metadata.keys() == wanted.keys()
    assert size_of(path) < size / 3


@runtime
def test_olive_pass(tmp_path):
    pytest.importorskip("olive.passes")
    from olive.model import ONNXModelHandler
    from olive.passes.olive_pass import create_pass_from_dict

    module = recipe("olive_pass")
    work = create_pass_from_dict(module.LbwQuantization, {"calibration": "none"},
                                 disable_search=True)
    made = work.run(ONNXModelHandler(model_path=str(MODEL)), str(tmp_path / "out"))
    assert os.path.getsize(made.model_path) < MODEL.stat().st_size / 4


@runtime
def test_data_reader(tmp_path, monkeypatch, capsys):
    for name in ("PIL.Image", "onnx", "onnxruntime.quantization"):
        pytest.importorskip(name)
    monkeypatch.chdir(tmp_path)
    recipe("data_reader").main(str(MODEL), str(SHAPES / "calib"))
    sizes = [int(line.split()[1].replace(",", "")) for line in
             capsys.readouterr().out.splitlines() if line.endswith(" bytes")]
    assert len(sizes) == 2 and sizes[1] < sizes[0]


@runtime
def test_pycocotools(tmp_path):
    pytest.importorskip("pycocotools")
    labels = tmp_path / "labels.json"
    assert coco_labels(labels) == 40
    ap = recipe("pycocotools_eval").average_precision(MODEL, str(EVAL), str(labels), PROFILE)
    ours = lbw.evaluate(MODEL, EVAL, EVAL, profile=PROFILE, score=0.01)[0].labels.ap
    assert ap == pytest.approx(ours, abs=1e-3)


@runtime
def test_supervision():
    pytest.importorskip("supervision.metrics")
    ap = recipe("supervision_eval").mean_average_precision(MODEL, str(EVAL), str(EVAL), PROFILE)
    ours = lbw.evaluate(MODEL, EVAL, EVAL, profile=PROFILE, score=0.01)[0].labels.ap
    assert ap == pytest.approx(ours, abs=0.02)  # its corners of VOC are a pixel off


@runtime
def test_other_runtimes(capsys):
    onnx = pytest.importorskip("onnx")
    numpy = pytest.importorskip("numpy")
    rng = numpy.random.default_rng(0)
    nodes, tensors, before = [], [], "x"
    for i, channels in enumerate((3, 64, 64)):
        weight = rng.normal(0, 0.1, (64, channels, 3, 3)).astype(numpy.float32)
        tensors.append(onnx.numpy_helper.from_array(weight, f"w{i}"))
        nodes.append(onnx.helper.make_node("Conv", [before, f"w{i}"], [f"c{i}"], pads=[1] * 4,
                                           kernel_shape=[3, 3]))  # which OpenCV 4 wants
        nodes.append(onnx.helper.make_node("Relu", [f"c{i}"], [f"y{i}"]))
        before = f"y{i}"
    ports = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, n, 32, 32])
             for name, n in (("x", 3), (before, 64))]
    graph = onnx.helper.make_graph(nodes, "g", ports[:1], ports[1:], tensors)
    model = onnx.helper.make_model(graph, ir_version=8,
                                   opset_imports=[onnx.helper.make_opsetid("", 13)])
    recipe("other_runtimes").main(lbw.quantize(model, calibration="none"))
    for line in capsys.readouterr().out.splitlines():
        print(line)
        if "not installed" not in line:
            assert float(line.split()[-1]) < 1e-4, line


@pytest.mark.skipif(not shutil.which("make"), reason="no make")
def test_make_converts_what_changed(tmp_path):
    models = tmp_path / "models"
    models.mkdir()
    for name in ("a", "b", "c"):
        shutil.copy(MODEL, models / f"{name}.onnx")
    (models / "b.args").write_text("--bits 2")

    def make():
        done = subprocess.run(
            ["make", "-f", RECIPES / "Makefile", "-j3", f"LBW={sys.executable} -m lbw",
             "ARGS=--bits 4 --calib none"], cwd=tmp_path, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert done.returncode == 0, done.stderr
        return sorted(word for word in done.stdout.split() if word.startswith("models/")
                      and word.endswith(".onnx"))

    assert make() == ["models/a.onnx", "models/b.onnx", "models/c.onnx"]
    assert make() == []
    bits = [{w.encoded for w in lbw.inspect(tmp_path / f"small/{n}.onnx")} - {""} for n in "abc"]
    assert bits == [{"packed 4"}, {"packed 2"}, {"packed 4"}]
    later = time.time() + 5
    os.utime(models / "a.onnx", (later, later))
    os.utime(models / "b.args", (later, later))
    assert make() == ["models/a.onnx", "models/b.onnx"]


def test_the_job_of_github():
    yaml = pytest.importorskip("yaml")
    job = yaml.safe_load((RECIPES / "github-actions.yml").read_text())["jobs"]["convert"]
    commands = [step["run"] for step in job["steps"] if "run" in step]
    for command in commands:
        subprocess.run(["sh", "-n", "-c", command], check=True)
    assert any("samples/recipes/Makefile" in command for command in commands)
