# SPDX-License-Identifier: MIT
"""Conversions: the same bytes as the program's, whatever form model and samples come in."""

import json
import math

import pytest
from conftest import MODEL, PROFILE, SHAPES, SKIP, images, runtime

import lbw

CALIB = SHAPES / "calib"


def test_rounding_gives_the_bytes_of_the_program(program, tmp_path):
    for encoding in ("packed", "dq", "float"):
        path = tmp_path / f"{encoding}.onnx"
        program("quantize", MODEL, "-o", path, "--calib", "none", "-e", encoding)
        result = lbw.quantize(MODEL, calibration="none", encoding=encoding)
        assert result.model == path.read_bytes()
        assert result.path is None and result.bytes_after == len(result.model)


def test_results_print_without_their_tables():
    for result in (lbw.plan(MODEL, bits=4), lbw.inspect(MODEL)):
        assert len(result) == 83
        assert len(repr(result)) < 1000


@runtime
def test_calibration_gives_the_bytes_of_the_program(program, tmp_path):
    path, mine = tmp_path / "theirs.onnx", tmp_path / "mine.onnx"
    text = program("quantize", MODEL, "-o", path, "-c", CALIB, "-n", 4, "-p", PROFILE, "--json",
                   "-b", "3", "-b", "head=4x2", "--skip", "stem")
    result = lbw.quantize(str(MODEL), mine, calibration=CALIB, num_samples=4, profile=PROFILE,
                          bits={"": 3, "head": "4x2"}, skip="stem")
    assert mine.read_bytes() == path.read_bytes()
    assert result.path == str(mine) and result.model is None
    theirs, ours = json.loads(text), result.to_dict()
    for record in (theirs, ours):
        for row in record["weights"]:
            row.pop("seconds", None)
    assert ours.keys() <= theirs.keys()
    assert ours["weights"] == theirs["weights"]
    assert "4 images" in result.assumed and result.calibrated


def section(page):
    """What a page holds besides its head, without times."""
    return page[page.index('<section class="lbw-page"'):page.index("</section>")]


@runtime
def test_what_is_kept_is_the_programs(program, tmp_path):
    """With samples enough to hold some back, as by default: bytes, numbers and the page."""
    path, page = tmp_path / "theirs.onnx", tmp_path / "page.html"
    theirs = json.loads(program("quantize", MODEL, "-o", path, "-c", CALIB, "-n", 16, "-p",
                                PROFILE, "--json", "--report", page))
    result = lbw.quantize(MODEL, calibration=CALIB, num_samples=16, profile=PROFILE)
    assert result.model == path.read_bytes()
    kept = result.kept
    assert kept.num_samples == 2 and kept.is_of_boxes and kept.num_boxes > 0
    assert kept.share == 1 - kept.num_lost / kept.num_boxes
    assert same(result.to_dict()["kept"], theirs["kept"])
    assert section(result._repr_html_()) == section(page.read_text())
    assert f"{kept.num_lost} lost, {kept.num_invented} invented" in result._repr_html_()
    assert "data:image/jpeg" in result._repr_html_()


def same(a, b):
    """Equal but for the nine digits that the program prints."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == (pytest.approx(b, rel=1e-8) if isinstance(a, float) else b)


@runtime
def test_what_is_kept_of_an_unknown_detector(program, tmp_path):
    """By its outputs, on generated images, of which as many more are drawn."""
    theirs = json.loads(program("quantize", MODEL, "-o", tmp_path / "a.onnx", "-c",
                                "generated:2", "--skip", SKIP, "-b", 2, "--json"))
    result = lbw.quantize(MODEL, bits=2, calibration="generated:2", skip=SKIP)
    assert result.model == (tmp_path / "a.onnx").read_bytes()
    assert same(result.to_dict()["kept"], theirs["kept"])
    assert result.kept.outputs[0].snr < 80 and result.kept.num_samples == 4
    assert lbw.quantize(MODEL, calibration="none").kept is None


@runtime
def test_keeping_a_share_of_the_boxes(program, tmp_path):
    path = tmp_path / "theirs.onnx"
    program("quantize", MODEL, "-o", path, "-c", CALIB, "-p", PROFILE, "--keep", "80%",
            "--skip", SKIP)
    result = lbw.quantize(MODEL, keep=0.8, calibration=CALIB, profile=PROFILE, skip=SKIP)
    assert result.model == path.read_bytes()
    assert result.kept.num_samples == 16 and result.is_keep_met and result.kept.share >= 0.8
    with pytest.raises(lbw.ArgumentError, match="keep: cannot be combined with bpw"):
        lbw.quantize(MODEL, keep=0.8, bpw=4)
    with pytest.raises(lbw.ArgumentError, match="keep: '98' is not a share"):
        lbw.quantize(MODEL, keep="98")
    with pytest.raises(lbw.ArgumentError, match='keep: needs bits="auto"'):
        lbw.quantize(MODEL, keep="98%", bits=4)


def test_a_model_is_a_path_bytes_or_a_proto():
    onnx = pytest.importorskip("onnx")
    by_path = lbw.quantize(MODEL, calibration="none")
    by_bytes = lbw.quantize(MODEL.read_bytes(), calibration="none")
    proto = onnx.load(str(MODEL))
    before = proto.SerializeToString()
    by_proto = lbw.quantize(proto, calibration="none")
    assert proto.SerializeToString() == before
    assert by_path.model == by_bytes.model
    assert lbw.inspect(by_proto).digest == lbw.inspect(by_path).digest
    onnx.checker.check_model(by_proto.proto())


@runtime
def test_samples_come_as_a_file_an_array_a_dict_a_list_or_an_iterator(program, tmp_path):
    numpy = pytest.importorskip("numpy")
    samples = images(6)
    file = tmp_path / "samples.npz"
    numpy.savez(file, images=samples)
    program("quantize", MODEL, "-o", tmp_path / "theirs.onnx", "-c", file, "--skip", SKIP,
            "-b", 4)
    wanted = (tmp_path / "theirs.onnx").read_bytes()

    class Lazy:
        """Neither a list nor an array; counts what is alive."""

        asked = []

        def __len__(self):
            return len(samples)

        def __getitem__(self, i):
            self.asked.append(i)
            return {"images": samples[i]}

    forms = {
        "file": file,
        "array": samples,
        "without the batch axis": samples[:, 0],
        "dict": {"images": samples},
        "list": list(samples),
        "list without the batch axis": [s[0] for s in samples],
        "lazy sequence": Lazy(),
        "iterator": (s for s in samples),
        "iterator of dicts": ({"images": s} for s in samples),
    }
    for name, form in forms.items():
        assert lbw.quantize(MODEL, bits=4, calibration=form, skip=SKIP).model == wanted, name
    assert Lazy.asked == [0, 0, *range(6)]  # the first also for its shape


@runtime
def test_an_endless_iterator_is_asked_no_more_than_num_samples():
    samples = images(3)
    asked = []

    def endless():
        while True:
            asked.append(1)
            yield samples[len(asked) % 3]

    result = lbw.quantize(MODEL, bits=4, calibration=endless(), num_samples=3, skip=SKIP)
    assert len(asked) == 3
    assert "3 samples" in result.assumed


@runtime
def test_samples_of_other_types_and_orders_are_converted():
    numpy = pytest.importorskip("numpy")
    samples = (images(3) * 255).astype(numpy.uint8)
    wanted = lbw.quantize(MODEL, bits=4, calibration=samples.astype(numpy.float32),
                          skip=SKIP).model
    fortran = numpy.asfortranarray(samples)
    big_endian = samples.astype(">f4")
    for form in (samples, fortran, big_endian, samples[:, :, :, ::-1][:, :, :, ::-1]):
        assert lbw.quantize(MODEL, bits=4, calibration=form, skip=SKIP).model == wanted


def test_plans_go_round():
    plan = lbw.plan(MODEL, bits={"": 4, "head8": None})
    kept = [w for w in plan if w.bits is None]
    assert {w.tensor for w in kept} > {w.tensor for w in plan if "head8" in w.node}
    assert all(w.reason for w in kept)
    edited = plan.text.replace("4     real", "3     real")
    result = lbw.quantize(MODEL, calibration="none", plan=edited)
    assert {layer.bits for layer in result} == {"3", None}
    assert lbw.quantize(MODEL, calibration="none", plan=plan).model == (
        lbw.quantize(MODEL, calibration="none", bits={"": 4, "head8": None}).model)


def test_plan_is_the_programs(program):
    assert lbw.plan(MODEL, bits=5).text == program("plan", MODEL, "-b", 5)
    assert lbw.plan(MODEL, bits=4).to_dict() == json.loads(program("plan", MODEL, "-b", 4,
                                                                   "--json"))


@runtime
def test_bits_by_what_they_cost(program, tmp_path):
    path = tmp_path / "theirs.onnx"
    options = ["-c", CALIB, "-n", 4, "-p", PROFILE, "--skip", SKIP]
    program("quantize", MODEL, "-o", path, "--bpw", 4.5, *options)
    common = dict(calibration=CALIB, num_samples=4, profile=PROFILE, skip=SKIP)
    result = lbw.quantize(MODEL, bpw=4.5, **common)
    assert result.model == path.read_bytes()
    assert result.budget.bits <= 4.5 and result.budget.by_boxes
    plan = lbw.plan(MODEL, bpw=4.5, **common)
    assert plan.text == program("plan", MODEL, "--bpw", 4.5, *options)
    assert any(w.predicted_loss > 0 for w in plan if w.bits)
    assert lbw.quantize(MODEL, bits=4, calibration="none").budget is None
    with pytest.raises(lbw.ArgumentError, match="bpw: needs bits"):
        lbw.plan(MODEL, bits=4, bpw=4.5)


def test_inspect_is_the_programs(program):
    theirs = json.loads(program("inspect", MODEL, "--json"))
    ours = lbw.inspect(MODEL)
    assert (ours.opset, ours.ir_version, ours.size) == (
        theirs["opset"], theirs["ir_version"], theirs["bytes"])
    assert [p.shape for p in ours.inputs] == [p["shape"] for p in theirs["inputs"]]
    assert [w.shape for w in ours] == [w["shape"] for w in theirs["weights"]]
    assert ours.metadata == theirs["metadata"]
    assert ours.digest == program("inspect", MODEL, "--digest").split()[0]
    json.dumps(ours.to_dict())


def test_encodings_go_round(tmp_path):
    packed = lbw.quantize(MODEL, calibration="none")
    dq = lbw.convert(packed, encoding="dq")
    assert dq.num == packed.num_converted
    expanded = lbw.expand(dq, tmp_path / "float.onnx")
    digests = {lbw.inspect(m).digest for m in (packed, dq, tmp_path / "float.onnx")}
    assert len(digests) == 1 and expanded.num == dq.num


def test_per_tensor_scales(program, tmp_path):
    program("quantize", MODEL, "-o", tmp_path / "a.onnx", "--calib", "none", "--group", "tensor",
            "--scale", "pow2", "--method", "threshold", "--mu", "0.7")
    result = lbw.quantize(MODEL, calibration="none", per_channel=False, scale="pow2",
                          method="threshold", mu=0.7)
    assert result.model == (tmp_path / "a.onnx").read_bytes()


def test_external_data(tmp_path):
    result = lbw.quantize(MODEL, tmp_path / "a.onnx", calibration="none",
                          external_data="a.data")
    assert (tmp_path / "a.data").stat().st_size > 100_000
    assert lbw.inspect(result.path).digest == (
        lbw.inspect(lbw.quantize(MODEL, calibration="none")).digest)


@runtime
def test_tuning_gives_the_bytes_of_the_program(program, tmp_path):
    program("tune", MODEL, "-o", tmp_path / "a.onnx", "-c", CALIB, "-n", 4, "-p", PROFILE,
            "--steps", 2, "--batch", 2, "--skip", SKIP, "-b", 4)
    steps = []
    result = lbw.tune(MODEL, bits=4, calibration=CALIB, num_samples=4, profile=PROFILE, steps=2,
                      batch=2, on_step=steps.append, skip=SKIP)
    assert result.model == (tmp_path / "a.onnx").read_bytes()
    assert [s["step"] for s in steps] == [0, 1, 2]
    assert result.training.num_steps == 2 and result.training.num_train == 3


@runtime
def test_activations():
    result = lbw.quantize(MODEL, bits=4, calibration=CALIB, num_samples=4, profile=PROFILE,
                          activations="int8")
    edges = result.to_dict()["activations"]
    assert any(edge["type"] == "int8" for edge in edges)
    assert any(edge["cost"] is not None for edge in edges)
    assert result.range_power == 4 and math.isnan(result.squares_agreement)  # too few samples
    with pytest.raises(lbw.ArgumentError, match="activations: int8 needs calibration"):
        lbw.quantize(MODEL, bits=4, calibration="none", activations="int8")
    with pytest.raises(lbw.ArgumentError, match="activations"):
        lbw.quantize(MODEL, bits=4, calibration="none", activations="int3")
    with pytest.raises(lbw.ArgumentError, match="float_activations: needs"):
        lbw.quantize(MODEL, bits=4, float_activations="head")
    edges = lbw.plan(MODEL, bits=4, activations="int8", float_activations="head").to_dict()
    kept = [e for e in edges["activations"] if e["type"] == "float" and "head" in e["node"]]
    assert kept


@runtime
def test_the_power_of_ranges_is_chosen():
    result = lbw.quantize(MODEL, bits=2, calibration=CALIB, num_samples=20, profile=PROFILE,
                          activations="int8")
    fourths, squares = result.fourths_agreement, result.squares_agreement
    assert 0 < fourths < 1 and 0 < squares < 1
    assert result.range_power == (2 if squares > fourths else 4)
    assert result.to_dict()["ranges"]["agreement"] == pytest.approx({"4": fourths, "2": squares})


@runtime
def test_activations_of_an_older_opset(program, tmp_path):
    onnx = pytest.importorskip("onnx")
    numpy = pytest.importorskip("numpy")
    make, rng = onnx.helper, numpy.random.default_rng(0)
    tensors = [onnx.numpy_helper.from_array(rng.random((32, 32, 3, 3), numpy.float32) - 0.5, n)
               for n in ("v", "w")]
    nodes = [make.make_node("Conv", ["x", "v"], ["a"], pads=[1] * 4),
             make.make_node("Relu", ["a"], ["b"]),
             make.make_node("Conv", ["b", "w"], ["y"], pads=[1] * 4)]
    ports = [make.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1, 32, 8, 8]) for n in "xy"]
    model = make.make_model(make.make_graph(nodes, "g", ports[:1], ports[1:], tensors),
                            ir_version=6, opset_imports=[make.make_opsetid("", 10)])
    path, data = tmp_path / "old.onnx", tmp_path / "x.npy"
    onnx.save(model, str(path))
    numpy.save(data, rng.random((4, 1, 32, 8, 8), numpy.float32))
    program("quantize", path, "-o", tmp_path / "a.onnx", "-b", 4, "-c", data, "--activations",
            "int8")
    result = lbw.quantize(path, bits=4, calibration=data, activations="int8")
    assert result.model == (tmp_path / "a.onnx").read_bytes()
    assert lbw.inspect(result).opset >= 13


def test_tables():
    result = lbw.quantize(MODEL, calibration="none")
    page = result._repr_html_()
    assert page.startswith("<style>") and "shapes.onnx" in page
    assert "rounded without calibration" in page
    assert page.count("<tr>") == len(result) + 1
    assert "http" not in page and "<script" not in page
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(result)
    assert len(table) == len(result) and "snr" in table.columns


def test_grids_and_profiles(program):
    theirs = json.loads(program("grids", "--json"))
    theirs = theirs["grids"] if isinstance(theirs, dict) else theirs
    assert [g.name for g in lbw.grids()] == [g["name"] for g in theirs]
    names = [p.name for p in lbw.profiles()]
    assert "yolox" in names and all(name in program("profiles") for name in names)
